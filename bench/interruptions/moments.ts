/**
 * Moments in the life of a host at which somebody may want to kill something: a line in the agent's log, an open entry of its
 * journal, a program at work on its data directory. Looked for in small steps from the outside; nothing in the product knows
 * of it.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sleepMs } from '../../adapters/clock.ts';
import { processExecutable, processTitle } from '../../adapters/process.ts';
import { hostProcesses } from '../../local/runtime/process-family.ts';

/** What is known of a host from the outside. */
export interface WatchedHost {
  /** The folder that is the host's disk. */
  readonly folder: string;
  readonly logFile: string;
}

/** Made when the watch begins; asked again and again, whether the moment is there. */
export type Moment = (host: WatchedHost) => () => boolean;

const lookEveryMs = 1;

/** Resolves true at the moment, false when it has not come in time. */
export async function moment(host: WatchedHost, what: Moment, limitMs: number): Promise<boolean> {
  return await reached(what(host), limitMs);
}

export async function reached(isThere: () => boolean, limitMs: number): Promise<boolean> {
  const untilMs = performance.now() + limitMs;
  while (!isThere()) {
    if (performance.now() > untilMs) return false;
    await sleepMs(lookEveryMs);
  }
  return true;
}

/** A new line of the agent's log has all of these in it. */
export function logged(...parts: readonly string[]): Moment {
  return ({ logFile }) => {
    let at = sizeOf(logFile);
    let rest = '';
    return () => {
      const text = readFrom(logFile, at);
      at += Buffer.byteLength(text, 'latin1');
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      return lines.some((line) => parts.every((part) => line.includes(part)));
    };
  };
}

interface OpenEntry {
  readonly verb: string;
  readonly steps: readonly { readonly step: string }[];
}

/** The journal's open entry of that verb has come to that step. */
export function journalled(verb: string, step: string): Moment {
  return ({ folder }) =>
    () =>
      openEntries(folder).some((entry) => entry.verb === verb && entry.steps.at(-1)?.step === step);
}

/** What the host's journal has open. */
export function openVerbs(folder: string): string[] {
  return openEntries(folder).map(({ verb }) => verb);
}

function openEntries(folder: string): readonly OpenEntry[] {
  try {
    const text = readFileSync(join(folder, 'state', 'journal.json'), 'utf8');
    return (JSON.parse(text) as { open: readonly OpenEntry[] }).open;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A program of that name works on the host. */
export function programRuns(name: string): Moment {
  return ({ folder }) =>
    () =>
      programsOf(folder, name).length > 0;
}

export function programsOf(folder: string, name: string): number[] {
  return hostProcesses(folder).filter(
    (pid) => basename(processExecutable(pid) ?? processTitle(pid).split(' ')[0] ?? '') === name,
  );
}

function sizeOf(path: string): number {
  return readFrom(path, 0).length;
}

/** What a file has beyond a position; nothing when there is no such file. As latin1, so that bytes are characters. */
function readFrom(path: string, position: number): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const length = Math.max(0, fstatSync(file).size - position);
    const buffer = Buffer.alloc(length);
    const read = length === 0 ? 0 : readSync(file, buffer, 0, length, position);
    return buffer.toString('latin1', 0, read);
  } finally {
    closeSync(file);
  }
}
