/**
 * Which processes belong to one host of the embedded runtime, and how to end all of them at once, as a power cut would.
 * A process belongs to a host when it carries the host's mark in its environment, when it is one of the programs that run
 * there and names the host's folder, when it is a PostgreSQL that works below it, or when it descends from such a process.
 * Somebody's editor, shell or `tail` in that folder is none of these and is never touched.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { sleepMs } from '../../adapters/clock.ts';
import {
  isGone,
  listPids,
  processExecutable,
  processTitle,
  processWorkingDirectory,
  readProcessStatus,
  sendSignal,
} from '../../adapters/process.ts';

/** The environment variable that marks every process of a host; its value is the host's folder. */
export const hostMark = 'LEASEHOLD_HOST_FOLDER';

const hostPrograms = new Set([
  'node',
  'bash',
  'sh',
  'dash',
  'postgres',
  'initdb',
  'pg_ctl',
  'pg_basebackup',
  'pg_rewind',
  'pg_controldata',
  'haproxy',
  'pgbouncer',
]);

/** A fork may slip in between a look and a kill; so many looks are far more than it takes. */
const maxRounds = 50;
const roundMs = 20;

/** The pids of all living processes of the host whose folder this is; zombies are gone. Never this process. */
export function hostProcesses(folder: string): number[] {
  const parents = new Map<number, number>();
  for (const pid of listPids()) {
    const status = readProcessStatus(pid);
    if (status !== null && !isGone(status)) parents.set(pid, status.parentPid);
  }
  const own = new Set<number>();
  for (const pid of parents.keys()) {
    if (pid !== process.pid && pid !== 1 && belongsTo(pid, folder)) own.add(pid);
  }
  // Parents may come after their children: repeated until nothing is added, at most once a process.
  for (let grown = true; grown; ) {
    grown = false;
    for (const [pid, parent] of parents) {
      if (own.has(parent) && !own.has(pid) && pid !== process.pid) {
        own.add(pid);
        grown = true;
      }
    }
  }
  return [...own];
}

function belongsTo(pid: number, folder: string): boolean {
  if (environment(pid).includes(`${hostMark}=${folder}\0`)) return true;
  const title = processTitle(pid);
  const program = basename(processExecutable(pid) ?? title.split(' ')[0] ?? '').replace(/:$/, '');
  if (!hostPrograms.has(program)) return false;
  if (title.includes(`${folder}/`)) return true;
  return program === 'postgres' && (processWorkingDirectory(pid) ?? '').startsWith(`${folder}/`);
}

/** Empty for processes of users one may not look at, and for PostgreSQL, which writes its title over it. */
function environment(pid: number): string {
  try {
    return `${readFileSync(`/proc/${pid}/environ`, 'latin1')}\0`;
  } catch {
    return '';
  }
}

/**
 * Ends all processes of a host at once: all are stopped first, so that none sees another die and reacts, then killed.
 * Throws when some are still there after a second.
 */
export async function killHostProcesses(folder: string): Promise<void> {
  for (let round = 0; round < maxRounds; round += 1) {
    const found = hostProcesses(folder);
    if (found.length === 0) return;
    for (const pid of found) sendSignal(pid, 'SIGSTOP');
    for (const pid of new Set([...found, ...hostProcesses(folder)])) sendSignal(pid, 'SIGKILL');
    await sleepMs(roundMs);
  }
  throw new Error(`processes of ${folder} survive SIGKILL: ${hostProcesses(folder).join(', ')}`);
}
