/** One subcommand of `npm run bench`: what it takes, and what it does. */
import type { Command } from 'commander';

export interface SuiteCommand {
  /** With its options and their defaults; how it is named and described. */
  readonly command: () => Command;
  /**
   * `options` as that command has read them: strings and booleans, checked here. Returns the exit code. Throws what keeps it from measuring,
   * with a message that names the option. `names`: what stands on the command line beside the options, for a command that takes any.
   */
  readonly run: (options: unknown, signal: AbortSignal, names: readonly string[]) => Promise<number>;
}
