// Runs other programs with bounds on time and output, as an unprivileged user where asked, and reads /proc: who is alive,
// since when, and which processes are only zombies. A zombie counts as gone: it holds no file, no memory and no lock, but
// kill(pid, 0) calls it alive until its parent reaps it, which takes seconds under some init processes.
//
// /proc is read synchronously on purpose: it never waits for a disk, and a fence must not queue behind hung file operations
// in libuv's thread pool.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';

/** The unprivileged user a child process runs as; supplementary groups are dropped. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface ProgramOptions {
  /** Null: as the user this process runs as. */
  readonly runAs?: RunAs | null;
  /** Added to a minimal environment (PATH, C locale). Secrets belong here or in files, never in argv. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  readonly timeoutMs: number;
  /** Ends the program as a time-out would. */
  readonly signal?: AbortSignal;
}

interface ProgramOutput {
  /** The last 64 KiB. */
  readonly stdout: string;
  /** The last 8 KiB. */
  readonly stderrTail: string;
  readonly ms: number;
}

/** How a program ended; `not-started` covers a missing binary and a refused uid. */
export type ProgramResult =
  | ({ readonly kind: 'exited'; readonly exitCode: number } & ProgramOutput)
  | ({ readonly kind: 'killed'; readonly signal: string } & ProgramOutput)
  | ({ readonly kind: 'timed-out' } & ProgramOutput)
  | { readonly kind: 'not-started'; readonly reason: string };

const STDOUT_BYTES = 64 * 1024;
const STDERR_BYTES = 8 * 1024;
/** Between SIGTERM and SIGKILL, for a program that has run out of time. */
const TERM_GRACE_MS = 500;

/** What every child gets: nothing of this process's environment but where to find programs. Messages are parsed: C locale. */
export function minimalEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C', LC_ALL: 'C', ...extra };
}

/** Runs a program to its end. Its whole process group is ended when the time is up, so that no helper process survives it. */
export function runProgram(argv: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('runProgram needs a program');
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: options.cwd ?? '/',
      env: minimalEnvironment(options.env),
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...(options.runAs ? { uid: options.runAs.uid, gid: options.runAs.gid } : {}),
    });
    const stdout = keepTail(child.stdout, STDOUT_BYTES);
    const stderr = keepTail(child.stderr, STDERR_BYTES);
    // A program that ends without reading its input is no error of ours; its exit code tells.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');

    const ending = endAtDeadline(child, options);
    child.once('error', (error) => {
      ending.cancel();
      if (child.pid === undefined) resolve({ kind: 'not-started', reason: error.message });
    });
    child.once('close', (exitCode, signal) => {
      ending.cancel();
      const output = { stdout: stdout(), stderrTail: stderr(), ms: performance.now() - startedMs };
      if (child.pid === undefined) return;
      if (ending.ran()) resolve({ kind: 'timed-out', ...output });
      else if (signal !== null) resolve({ kind: 'killed', signal, ...output });
      else resolve({ kind: 'exited', exitCode: exitCode ?? -1, ...output });
    });
  });
}

function endAtDeadline(child: ChildProcess, options: ProgramOptions) {
  let ran = false;
  let killTimer: NodeJS.Timeout | undefined;
  const end = () => {
    if (ran || child.pid === undefined) return;
    ran = true;
    signalGroup(child.pid, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(child.pid ?? 0, 'SIGKILL'), TERM_GRACE_MS);
  };
  const timer = setTimeout(end, options.timeoutMs);
  options.signal?.addEventListener('abort', end, { once: true });
  if (options.signal?.aborted) queueMicrotask(end);
  return {
    ran: () => ran,
    cancel: () => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      options.signal?.removeEventListener('abort', end);
    },
  };
}

/** The group a detached child leads; group 0 would be our own. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid > 1) sendSignal(-pid, signal);
}

function keepTail(stream: NodeJS.ReadableStream, limitBytes: number): () => string {
  let chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > 4 * limitBytes) {
      chunks = [Buffer.concat(chunks).subarray(-limitBytes)];
      bytes = limitBytes;
    }
  });
  return () => Buffer.concat(chunks).subarray(-limitBytes).toString('utf8');
}

/** Sends a signal; a process that is gone is an answer, not an error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): 'sent' | 'gone' | 'denied' {
  try {
    process.kill(pid, signal);
    return 'sent';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ESRCH') return 'gone';
    if (code === 'EPERM') return 'denied';
    throw error;
  }
}

/** One process as /proc shows it. `startTicks` (clock ticks since boot) with the pid names a process for good; pids recur. */
export interface ProcessStatus {
  readonly pid: number;
  readonly parentPid: number;
  /** R, S, D, T, Z and so on, as in proc(5). */
  readonly state: string;
  readonly startTicks: number;
}

/** A process's state, or null when there is none with that pid. */
export function readProcessStatus(pid: number): ProcessStatus | null {
  const stat = unlessGone(() => shortText(`/proc/${pid}/stat`));
  if (stat === null) return null;
  // The name is in parentheses and may hold anything: fields are counted from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parentPid] = fields;
  const startTicks = fields[19];
  if (state === undefined || parentPid === undefined || startTicks === undefined) return null;
  return { pid, parentPid: Number(parentPid), state, startTicks: Number(startTicks) };
}

/** Whether a process exists and is more than a zombie; with `startTicks`, whether it is still the same one. */
export function isProcessAlive(pid: number, startTicks?: number): boolean {
  const status = readProcessStatus(pid);
  if (status === null || isGone(status)) return false;
  return startTicks === undefined || status.startTicks === startTicks;
}

/** Zombie or dead: nothing but an exit code is left of it. */
export function isGone(status: ProcessStatus): boolean {
  return status.state === 'Z' || status.state === 'X' || status.state === 'x';
}

/** Whether a signal has been sent to a process and not been taken by it yet; null when there is no such process. */
export function hasPendingSignal(pid: number, signalNumber: number): boolean | null {
  const status = procText(`/proc/${pid}/status`);
  if (status === null) return null;
  // Of the thread and of the process, as hexadecimal masks; the lowest bit is signal 1.
  const masks = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)].map((match) => match[1] ?? '0');
  return masks.some((mask) => (BigInt(`0x${mask}`) >> BigInt(signalNumber - 1)) % 2n === 1n);
}

/** Every pid there is. */
export function listPids(): number[] {
  const pids: number[] = [];
  for (const name of readdirSync('/proc')) if (/^[0-9]+$/.test(name)) pids.push(Number(name));
  return pids;
}

/** The program a process runs; null for kernel threads, zombies, and processes of users one may not look at. */
export function processExecutable(pid: number): string | null {
  return procLink(`/proc/${pid}/exe`);
}

/** The directory a process works in, by its present name even if it was renamed; null as for `processExecutable`. */
export function processWorkingDirectory(pid: number): string | null {
  return procLink(`/proc/${pid}/cwd`);
}

/** A process's command line, arguments separated by blanks: for servers that set it, their title. */
export function processTitle(pid: number): string {
  return (procText(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

const shortBytes = Buffer.alloc(4_096);

/** A file of /proc that is less than a page, in half the time of `readFileSync`: a living postmaster is looked for 20 times a second. */
function shortText(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = readSync(file, shortBytes, 0, shortBytes.length, 0);
    return shortBytes.toString('latin1', 0, bytes);
  } finally {
    closeSync(file);
  }
}

function procText(path: string): string | null {
  return unlessGone(() => readFileSync(path, 'latin1'));
}

function procLink(path: string): string | null {
  return unlessGone(() => readlinkSync(path));
}

function unlessGone<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return null;
    throw error;
  }
}
