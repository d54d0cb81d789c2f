// Finds and kills every process of one server. Backends call setsid(), so neither the postmaster's death nor a signal to its
// process group ends them: an orphan goes on and acknowledges its commit. Upholds that after `killAll` says nothing remains,
// nothing can acknowledge a write from this data directory. Uses /proc and signals alone: works with a frozen disk, a dead
// postmaster, a removed or renamed binary.

import { join } from 'node:path';
import { sleepMs } from '../clock.ts';
import {
  isGone,
  isProcessAlive,
  listPids,
  type ProcessStatus,
  processExecutable,
  processTitle,
  processWorkingDirectory,
  readProcessStatus,
  sendSignal,
} from '../process.ts';
import { readTextFile } from './files.ts';
import type { PostgresHost } from './host.ts';

export interface ServerProcess extends ProcessStatus {
  /** 'postgres: node-1: walreceiver streaming 0/3000148' or the postmaster's command line. */
  readonly title: string;
}

const SERVER_PROGRAMS = new Set(['postgres', 'postmaster']);
const DELETED = / \(deleted\)$/;

/** Every living process of this data directory, its postmaster's title last only by pid; zombies are gone. 1 to 3 ms. */
export function findProcesses(host: PostgresHost): ServerProcess[] {
  const found: ServerProcess[] = [];
  for (const pid of listPids()) {
    if (!runsServer(pid) || !worksIn(pid, host.realDataDir)) continue;
    const status = readProcessStatus(pid);
    if (status !== null && !isGone(status)) found.push({ ...status, title: processTitle(pid) });
  }
  return found;
}

/** By name, not by path: an upgrade of the package replaces the file under a running server. */
function runsServer(pid: number): boolean {
  const executable = processExecutable(pid)?.replace(DELETED, '');
  return executable !== undefined && SERVER_PROGRAMS.has(executable.slice(executable.lastIndexOf('/') + 1));
}

function worksIn(pid: number, folder: string): boolean {
  return processWorkingDirectory(pid)?.replace(DELETED, '') === folder;
}

export interface KillEvidence {
  readonly reason: string;
  /** Processes that were sent SIGKILL. */
  readonly killed: number;
  /** Empty, or what would not die in time: processes in state D hang in the kernel. */
  readonly remaining: readonly ServerProcess[];
  readonly ms: number;
}

const BETWEEN_ROUNDS_MS = 1;

/**
 * Kills every process of the server and proves it. The postmaster is stopped first, lest it answers the death of its
 * children with a restart; then everything else, then the postmaster, again and again until none is found or `timeoutMs`
 * is over. Does nothing, quickly, when nothing runs.
 */
export async function killAll(host: PostgresHost, reason: string, timeoutMs = 2_000): Promise<KillEvidence> {
  const startedMs = performance.now();
  const killed = new Map<string, ServerProcess>();
  for (;;) {
    const found = findProcesses(host);
    // A dying process loses its program first and is then no longer found; it counts until it is a zombie.
    const dying = [...killed.values()].filter(({ pid, startTicks }) => isProcessAlive(pid, startTicks));
    const ms = performance.now() - startedMs;
    const remaining = new Map([...dying, ...found].map((process) => [process.pid, process]));
    if (remaining.size === 0 || ms > timeoutMs) {
      return { reason, killed: killed.size, remaining: [...remaining.values()], ms };
    }
    const parents = new Set(found.map((process) => process.parentPid));
    const [postmasters, others] = partition(found, (process) => parents.has(process.pid));
    for (const { pid } of postmasters) sendSignal(pid, 'SIGSTOP');
    for (const process of [...others, ...postmasters]) {
      if (sendSignal(process.pid, 'SIGKILL') === 'sent')
        killed.set(`${process.pid}/${process.startTicks}`, process);
    }
    await sleepMs(BETWEEN_ROUNDS_MS);
  }
}

/** Waits until no process of the server is left. */
export async function awaitGone(host: PostgresHost, timeoutMs: number): Promise<readonly ServerProcess[]> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const processes = findProcesses(host);
    if (processes.length === 0 || performance.now() >= deadlineMs) return processes;
    await sleepMs(5);
  }
}

/** A running postmaster, as its lock file and /proc agree on it. */
export interface Postmaster {
  readonly pid: number;
  readonly startTicks: number;
  readonly port: number;
  /** 'starting', 'ready', 'standby' (accepts no connections) or 'stopping'; '' before the first was written. */
  readonly status: string;
  readonly shmId: number | null;
}

/** The lock file's content, whoever wrote it; null when there is none. */
export interface LockFile {
  /** Negative for a single-user server. */
  readonly pid: number;
  readonly port: number;
  readonly shmId: number | null;
  readonly status: string;
}

/** Parses postmaster.pid: pid, directory, start, port, socket folder, address, shared memory, status, a line each. */
export function parseLockFile(text: string): LockFile | null {
  const lines = text.split('\n');
  const pid = Number.parseInt(lines[0] ?? '', 10);
  if (!Number.isInteger(pid) || pid === 0) return null;
  const shmId = Number.parseInt(lines[6]?.trim().split(/\s+/)[1] ?? '', 10);
  return {
    pid,
    port: Number.parseInt(lines[3] ?? '', 10) || 0,
    shmId: Number.isInteger(shmId) ? shmId : null,
    status: lines[7]?.trim() ?? '',
  };
}

export async function readLockFile(host: PostgresHost): Promise<LockFile | null> {
  const text = await readTextFile(join(host.dataDir, 'postmaster.pid'));
  return text === null ? null : parseLockFile(text);
}

/**
 * The postmaster that runs on this directory, whoever started it. The pid in the lock file alone proves nothing (it may
 * belong to another program by now): the process must be a server at work in this directory.
 */
export async function findPostmaster(host: PostgresHost): Promise<Postmaster | null> {
  const lock = await readLockFile(host);
  if (lock === null || lock.pid < 0 || !runsServer(lock.pid) || !worksIn(lock.pid, host.realDataDir))
    return null;
  const status = readProcessStatus(lock.pid);
  if (status === null || isGone(status)) return null;
  return {
    pid: lock.pid,
    startTicks: status.startTicks,
    port: lock.port,
    status: lock.status,
    shmId: lock.shmId,
  };
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  const yes: T[] = [];
  const no: T[] = [];
  for (const item of items) (test(item) ? yes : no).push(item);
  return [yes, no];
}
