/** Options of the benches' command lines: what is wrong is named, with what is taken; `--help` says what there is. */
import { Command, CommanderError } from 'commander';
import type { Fault } from '../local/faults/fault.ts';
import type { SynchronousMode } from './history/check-losses.ts';

/** An option's value that is not taken: the message names the option, what it was, and what it takes. */
export class InvalidOption extends Error {
  override readonly name = 'InvalidOption';

  constructor(option: string, value: string, takes: string) {
    super(`--${option} ${value}: ${takes}`);
  }
}

/** A command line that ends with 0 after `--help`, and with 2 for what it does not know. */
export function benchCommand(script: string, description: string): Command {
  return endsBySaying(new Command(`npm run ${script} --`).description(description));
}

/** The command line of one suite of `npm run bench`. */
export function suiteOptions(suite: string, description: string): Command {
  return endsBySaying(new Command(suite).description(description));
}

function endsBySaying(command: Command): Command {
  return command.exitOverride((error) => {
    throw new CommanderError(error.exitCode === 0 ? 0 : 2, error.code, error.message);
  });
}

/** The options of this process's command line. Commander has said already what is wrong with them. */
export function readCommandLine<Options extends object>(command: Command): Options {
  try {
    return command.parse().opts<Options>();
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode);
    throw error;
  }
}

const modes: readonly SynchronousMode[] = ['off', 'on', 'strict'];

export function readMode(value: string): SynchronousMode {
  return readOne('mode', value, modes);
}

export function readOne<Name extends string>(option: string, value: string, known: readonly Name[]): Name {
  const found = known.find((name) => name === value);
  if (found === undefined) throw new InvalidOption(option, value, `one of ${known.join(', ')}`);
  return found;
}

/** Several with commas between them, each once, in the order of `known`; `all` is each of them. */
export function readSome<Name extends string>(option: string, value: string, known: readonly Name[]): Name[] {
  if (value === 'all') return [...known];
  const wanted = value.split(',');
  const stranger = wanted.find((name) => !known.some((one) => one === name));
  if (stranger !== undefined) throw new InvalidOption(option, value, `all, or of ${known.join(', ')}`);
  return known.filter((name) => wanted.includes(name));
}

export const readModes = (value: string): SynchronousMode[] => readSome('modes', value, modes);

/** As the cluster file has it: `netns` gives each host a network of its own, and needs root. */
export type HostDriverName = 'loopback' | 'netns';

export function readHosts(value: string): HostDriverName {
  return readOne('hosts', value, ['loopback', 'netns']);
}

/** Those that can be done to such hosts by whoever runs this; `volumes` where hosts may be given some. */
export function possibleFaults(
  faults: readonly Fault[],
  hosts: HostDriverName,
  { volumes }: { readonly volumes: boolean } = { volumes: false },
): Fault[] {
  const isRoot = process.getuid?.() === 0;
  return faults.filter(({ needs }) => {
    if (needs === 'netns') return hosts === 'netns';
    return needs === 'any' || (volumes && isRoot);
  });
}

/** A number above zero; where it must be whole, from `least` on (0 when it is left out). */
export function readNumber(
  name: string,
  value: string,
  { whole = false, least = 0 }: { readonly whole?: boolean; readonly least?: number } = {},
): number {
  const number = Number(value);
  const fits = whole
    ? Number.isSafeInteger(number) && number >= least
    : Number.isFinite(number) && number > 0;
  if (value === '' || !fits) {
    const takes = whole ? `a whole number${least > 0 ? `, at least ${least}` : ''}` : 'a number above 0';
    throw new InvalidOption(name, value, takes);
  }
  return number;
}
