/**
 * Runs a bench as a program: Ctrl-C and SIGTERM end it in order, with everything it started, and the exit code says how it ended.
 */
import { interruptedCode } from '../cli/cli-error.ts';
import { InvalidOption } from './read-options.ts';

/**
 * The exit code: what `main` returns, 1 for what it throws (told on the error stream), 2 where that is an option that is not taken, 130 or
 * 143 after a signal.
 */
export async function runBench(main: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const interruption = new AbortController();
  let interrupted: keyof typeof interruptedCode | null = null;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      interrupted ??= name;
      interruption.abort(new Error(`interrupted by ${name}`));
    });
  }
  let code = 1;
  try {
    code = await main(interruption.signal);
  } catch (error) {
    if (error instanceof InvalidOption) code = 2;
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  return interrupted === null ? code : interruptedCode[interrupted];
}
