/**
 * Starts a program that outlives this process, and finds it again after a restart. A pid alone proves nothing (it may belong to
 * somebody else by now), so the process's start time from /proc is kept beside it, and a zombie counts as gone.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, chown, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunAs } from '../process.ts';
import { isProcessAlive, minimalEnvironment, readProcessStatus, sendSignal } from '../process.ts';

export interface KeptProcess {
  readonly pid: number;
  /** Clock ticks since boot at which the process began: with the pid it names one process for as long as the host is up. */
  readonly startTicks: number;
}

export interface KeptProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly pidFile: string;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /** Null: as the user this process runs as. */
  readonly runAs: RunAs | null;
}

/** Whether this very process still runs. A zombie does not. */
export function isRunning(kept: KeptProcess): boolean {
  return isProcessAlive(kept.pid, kept.startTicks);
}

/** Starts the program in a session of its own and writes its pid file. Rejects when the program cannot be executed. */
export async function startKept(options: KeptProgram): Promise<KeptProcess> {
  const log = openSync(options.logFile, 'a', 0o640);
  try {
    const child = spawn(options.program, options.args, {
      detached: true,
      cwd: '/',
      env: minimalEnvironment(),
      stdio: ['ignore', log, log],
      ...(options.runAs === null ? {} : { uid: options.runAs.uid, gid: options.runAs.gid }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const { pid } = child;
    if (pid === undefined) throw new Error(`${options.program} was spawned without a pid`);
    const kept = { pid, startTicks: readProcessStatus(pid)?.startTicks ?? 0 };
    await writeWhole(options.pidFile, `${JSON.stringify(kept)}\n`, { mode: 0o644, owner: null });
    return kept;
  } finally {
    closeSync(log);
  }
}

/** The process that the pid file names, if it still runs; null otherwise. */
export async function adoptKept(pidFile: string): Promise<KeptProcess | null> {
  let named: unknown;
  try {
    named = JSON.parse(await readFile(pidFile, 'utf8'));
  } catch {
    return null;
  }
  if (typeof named !== 'object' || named === null) return null;
  const { pid, startTicks } = named as Record<string, unknown>;
  if (typeof pid !== 'number' || typeof startTicks !== 'number') return null;
  const kept = { pid, startTicks };
  return isRunning(kept) ? kept : null;
}

/** Asks with `signal`, waits up to `timeoutMs`, then kills. Resolves when the process is gone and its pid file removed. */
export async function stopKept(
  kept: KeptProcess,
  pidFile: string,
  signal: NodeJS.Signals,
  timeoutMs: number,
): Promise<void> {
  signalKept(kept, signal);
  const deadline = performance.now() + timeoutMs;
  while (isRunning(kept) && performance.now() < deadline) await sleep(5);
  signalKept(kept, 'SIGKILL');
  // A killed process is gone within a scheduler's tick, unless it hangs in the kernel, where nobody can help.
  const killedDeadline = performance.now() + 2_000;
  while (isRunning(kept) && performance.now() < killedDeadline) await sleep(5);
  await rm(pidFile, { force: true });
}

/** Sends a signal to this very process; does nothing when it is gone. */
export function signalKept(kept: KeptProcess, signal: NodeJS.Signals): void {
  if (isRunning(kept)) sendSignal(kept.pid, signal);
}

/** Writes a file so that a reader sees the old text or the new one, with the owner that must read it. */
export async function writeWhole(
  path: string,
  text: string,
  access: { mode: number; owner: RunAs | null },
): Promise<void> {
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  await writeFile(draft, text, { mode: access.mode, flag: 'wx' });
  if (access.owner !== null) await chown(draft, access.owner.uid, access.owner.gid);
  await rename(draft, path);
}

/** How long a log is now, to read later what came after. */
export async function logLength(logFile: string): Promise<number> {
  return (await stat(logFile).catch(() => null))?.size ?? 0;
}

/** What was logged after `offset`, no more than its last lines. Empty when it cannot be read. */
export async function logSince(logFile: string, offset: number, lines = 20): Promise<string> {
  const text = (await readFile(logFile).catch(() => Buffer.alloc(0))).subarray(offset).toString('utf8');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/** Gives a folder to the user that uses it, and to nobody else. */
export async function ownFolder(folder: string, owner: RunAs | null): Promise<void> {
  await chmod(folder, 0o700);
  if (owner !== null) await chown(folder, owner.uid, owner.gid);
}
