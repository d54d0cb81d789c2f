/**
 * Keeps one program of a host running, as systemd would with `Restart=always`: restarted after a short delay, given up when
 * it ends too often. It leads a session of its own and writes to a file, so that it outlives the runtime; a later runtime
 * finds it by the pid and start time it left behind, and goes on watching it.
 *
 * States: `stopped` (not wanted) -> start -> `running` -> ended by itself -> `waiting` (for the delay) -> `running`, or
 * `failed` when the limit is reached; stop or release leads from each of them to `stopped`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { sleepMs } from '../../adapters/clock.ts';
import { isProcessAlive, readProcessStatus, sendSignal } from '../../adapters/process.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';

export interface SupervisedProgram {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly logFile: string;
  /** Where pid and start time are left for a later runtime. */
  readonly pidFile: string;
  /** Changes with everything the program is started with: a process of another revision is replaced, not taken over. */
  readonly revision: string;
}

export type SupervisionState = 'stopped' | 'running' | 'waiting' | 'failed';

export interface RestartPolicy {
  readonly delayMs: number;
  /** More starts than this within `withinMs`, and the program is given up. */
  readonly limit: number;
  readonly withinMs: number;
}

export const defaultRestartPolicy: RestartPolicy = { delayMs: 100, limit: 20, withinMs: 60_000 };

interface Identity {
  readonly pid: number;
  readonly startTicks: number;
  readonly revision: string;
}

/** A log that has grown beyond this is set aside at the next start; one older log is kept. */
const logLimitBytes = 20 * 1024 * 1024;
/** How often a process that is not our child is looked at. */
const pollMs = 100;

export class SupervisedProcess {
  readonly program: SupervisedProgram;
  readonly #policy: RestartPolicy;
  readonly #onChange: (process: SupervisedProcess) => void;
  #identity: Identity | null = null;
  #state: SupervisionState = 'stopped';
  #starts: number[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** `onChange` is called whenever state or pid have changed. */
  constructor(
    program: SupervisedProgram,
    onChange: (process: SupervisedProcess) => void,
    policy: RestartPolicy = defaultRestartPolicy,
  ) {
    this.program = program;
    this.#policy = policy;
    this.#onChange = onChange;
  }

  get state(): SupervisionState {
    return this.#state;
  }

  /** Null while it does not run. */
  get pid(): number | null {
    return this.#identity?.pid ?? null;
  }

  /**
   * Takes over the process that an earlier runtime left, if it still runs; says whether it did. One of another revision is
   * killed: what it did, it does again when it is started anew.
   */
  async adopt(): Promise<boolean> {
    if (this.#state !== 'stopped') return false;
    const left = readJsonFile<Identity>(this.program.pidFile);
    if (left === null || !isProcessAlive(left.pid, left.startTicks)) return false;
    if (left.revision !== this.program.revision) {
      await killProcess(left);
      return false;
    }
    this.#runs(left);
    this.#pollUntilGone(left);
    return true;
  }

  start(): void {
    if (this.#state === 'running' || this.#state === 'waiting') return;
    this.#starts = [];
    this.#spawn();
  }

  /** The signal, then SIGKILL when it has not ended within `graceMs`; resolves when it is gone. */
  async stop(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    const identity = this.release();
    if (identity === null) return;
    sendSignal(identity.pid, signal);
    // A process that was stopped would not see the signal before the grace is over.
    sendSignal(identity.pid, 'SIGCONT');
    const until = performance.now() + graceMs;
    while (isProcessAlive(identity.pid, identity.startTicks)) {
      if (performance.now() > until) sendSignal(identity.pid, 'SIGKILL');
      await sleepMs(10);
    }
    rmSync(this.program.pidFile, { force: true });
  }

  /** From now on its end is not noticed and it is not started again; the process itself is left alone. */
  release(): Identity | null {
    const identity = this.#identity;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#identity = null;
    this.#changeTo('stopped');
    return identity;
  }

  #spawn(): void {
    const now = performance.now();
    this.#starts = [...this.#starts.filter((at) => now - at < this.#policy.withinMs), now];
    if (this.#starts.length > this.#policy.limit) {
      this.#changeTo('failed');
      return;
    }
    const child = this.#launch();
    const pid = child.pid;
    const status = pid === undefined ? null : readProcessStatus(pid);
    if (pid === undefined || status === null) {
      this.#ended();
      return;
    }
    const identity = { pid, startTicks: status.startTicks, revision: this.program.revision };
    writeJsonFile(this.program.pidFile, identity);
    child.once('exit', () => {
      if (this.#identity?.pid === pid) this.#ended();
    });
    this.#runs(identity);
  }

  #launch(): ChildProcess {
    const { argv, env, cwd, logFile } = this.program;
    const [file, ...args] = argv;
    setAsideLargeLog(logFile);
    const log = openSync(logFile, 'a', 0o640);
    try {
      const child = spawn(file, args, { cwd, env: { ...env }, stdio: ['ignore', log, log], detached: true });
      // The exit is seen as such; a program that cannot be started has no pid.
      child.on('error', () => undefined);
      child.unref();
      return child;
    } finally {
      closeSync(log);
    }
  }

  #runs(identity: Identity): void {
    this.#identity = identity;
    this.#changeTo('running');
  }

  #pollUntilGone(identity: Identity): void {
    this.#timer = setTimeout(() => {
      if (this.#identity !== identity) return;
      if (isProcessAlive(identity.pid, identity.startTicks)) this.#pollUntilGone(identity);
      else this.#ended();
    }, pollMs);
  }

  #ended(): void {
    this.#identity = null;
    this.#changeTo('waiting');
    this.#timer = setTimeout(() => this.#spawn(), this.#policy.delayMs);
  }

  #changeTo(state: SupervisionState): void {
    this.#state = state;
    this.#onChange(this);
  }
}

async function killProcess({ pid, startTicks }: Identity): Promise<void> {
  while (isProcessAlive(pid, startTicks)) {
    sendSignal(pid, 'SIGKILL');
    await sleepMs(10);
  }
}

function setAsideLargeLog(logFile: string): void {
  const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  if (size > logLimitBytes) renameSync(logFile, `${logFile}.1`);
}
