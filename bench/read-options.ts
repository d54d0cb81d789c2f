/** Options of the benches' command lines: what is wrong is named, with what is taken. */
import type { SynchronousMode } from './history/check-losses.ts';

const modes: readonly SynchronousMode[] = ['off', 'on', 'strict'];

export function readMode(value: string): SynchronousMode {
  const mode = modes.find((known) => known === value);
  if (mode === undefined) throw new Error(`--mode ${value}: one of ${modes.join(', ')}`);
  return mode;
}

/** A number above zero; a seed must be whole. */
export function readNumber(name: string, value: string, options: { whole?: boolean } = {}): number {
  const number = Number(value);
  const fits = options.whole === true ? Number.isSafeInteger(number) && number >= 0 : number > 0;
  if (value === '' || !fits) {
    throw new Error(`--${name} ${value}: a ${options.whole === true ? 'whole ' : ''}number`);
  }
  return number;
}
