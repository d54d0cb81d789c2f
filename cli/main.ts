/**
 * The `leasehold` command line: one file a command under `commands/`. Exit codes: 0 done, 1 it did not work (the reason is on
 * the error stream), 2 wrong usage, 130 and 143 after a signal.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { InvalidInput } from '../core/wire/fields.ts';
import { CliError } from './cli-error.ts';
import { addAuthoritiesCommand } from './commands/authorities.ts';
import { addDownCommand } from './commands/down.ts';
import { addDrillCommand, addDrillsCommand } from './commands/drill.ts';
import { addEventsCommand } from './commands/events.ts';
import { addForgetCommand } from './commands/forget.ts';
import { addHistoryCommand } from './commands/history.ts';
import { addInitCommand } from './commands/init.ts';
import { addLostWritesCommand } from './commands/lost-writes.ts';
import { addFailoverCommand, addSwitchoverCommand } from './commands/operation.ts';
import { addStatusCommand } from './commands/status.ts';
import { addUnfenceCommand } from './commands/unfence.ts';
import { addUpCommand } from './commands/up.ts';
import { addUpgradeCommand } from './commands/upgrade.ts';
import { say } from './terminal.ts';

function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const program = new Command('leasehold')
    .description('PostgreSQL high availability on EC2 with a serverless AWS control plane')
    .version(version)
    .exitOverride();
  for (const add of [
    addUpCommand,
    addDownCommand,
    addInitCommand,
    addStatusCommand,
    addSwitchoverCommand,
    addFailoverCommand,
    addUnfenceCommand,
    addUpgradeCommand,
    addForgetCommand,
    addEventsCommand,
    addHistoryCommand,
    addLostWritesCommand,
    addDrillCommand,
    addDrillsCommand,
    addAuthoritiesCommand,
  ]) {
    add(program);
  }
  for (const command of program.commands) command.exitOverride();
  return program;
}

async function main(): Promise<number> {
  try {
    await createProgram().parseAsync(process.argv);
    return 0;
  } catch (error) {
    // Commander has said it already; --help and --version end here too, with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof CliError || error instanceof InvalidInput)) throw error;
    say(`leasehold: ${error.message}`);
    return error instanceof CliError ? error.exitCode : 1;
  }
}

// The pipe that output went to may be closed: `leasehold events | head`.
process.stdout.on('error', () => process.exit(0));
process.exitCode = await main();
