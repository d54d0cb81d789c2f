/**
 * The agent's hold on its guard: starts it, feeds it absolute deadlines through a FIFO, notices when it is gone. The
 * guard (guard.sh) is a process of its own that outlives the agent, so that PostgreSQL is stopped before the lease's
 * deadline also when the agent is killed, hung or stopped. Upholds that one guard reads the FIFO: two would share the lines
 * of one pipe letter by letter.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import {
  isProcessAlive,
  minimalEnvironment,
  readProcessStatus,
  runProgram,
  sendSignal,
} from '../adapters/process.ts';
import { fenceBudget, type Hold } from '../core/lease/lease-clock.ts';

export interface GuardConfig {
  readonly script: string;
  readonly fifo: string;
  readonly dataDirectory: string;
  readonly postgresProgram: string;
  readonly logFile: string;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Guard {
  readonly #config: GuardConfig;
  #fd: number | null = null;
  #ensuring: Promise<'found' | 'started'> | null = null;

  constructor(config: GuardConfig) {
    this.#config = config;
  }

  /**
   * Finds the guard that a former agent left, with the deadline that it was told, or starts one, which knows of none: the
   * caller tells it, or ends what may be writable. Throws when neither can be had. One at a time: a second call joins.
   */
  ensure(): Promise<'found' | 'started'> {
    this.#ensuring ??= this.#ensure().finally(() => {
      this.#ensuring = null;
    });
    return this.#ensuring;
  }

  async #ensure(): Promise<'found' | 'started'> {
    if (this.isAlive() && this.#open()) return 'found';
    this.#close();
    await this.#endFormer();
    await this.#ensureFifo();
    const log = openSync(this.#config.logFile, 'a', 0o600);
    const { script, fifo, dataDirectory, postgresProgram } = this.#config;
    const child = spawn('bash', [script, fifo, dataDirectory, postgresProgram], {
      detached: true,
      stdio: ['ignore', log, log],
      env: minimalEnvironment(),
    });
    child.once('error', () => undefined);
    closeSync(log);
    child.unref();
    if (child.pid === undefined)
      throw new Error('the guard could not be started: no bash, or no process to be had');
    await this.#awaitReady(child.pid);
    return 'started';
  }

  pid(): number | null {
    try {
      const pid = Number.parseInt(readFileSync(`${this.#config.fifo}.pid`, 'latin1'), 10);
      return Number.isInteger(pid) ? pid : null;
    } catch {
      return null;
    }
  }

  /** A zombie is gone, and a stopped guard guards nothing. */
  isAlive(): boolean {
    const pid = this.pid();
    if (pid === null) return false;
    const status = readProcessStatus(pid);
    if (status === null || ['Z', 'X', 'T', 't'].includes(status.state)) return false;
    return this.#isGuard(pid);
  }

  /** Tells the guard until when PostgreSQL may live. False when nobody reads: there is no guard. */
  set(hold: Hold | null): boolean {
    if (hold === null) return this.#write('none\n');
    const atMs = hold.sentAtMs + fenceBudget(hold.ttlMs).guardKillAfterMs;
    return this.#write(`deadline ${Math.floor(atMs / 10)}\n`);
  }

  /** Ends the guard. Only when PostgreSQL is down: nothing is guarded any more. */
  quit(): void {
    this.#write('quit\n');
    this.#close();
  }

  #isGuard(pid: number): boolean {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return argv[0] === 'bash' && argv[2] === this.#config.fifo;
    } catch {
      return false;
    }
  }

  /** A guard that was stopped would come back, and take every other letter from its successor. */
  async #endFormer(): Promise<void> {
    const pid = this.pid();
    if (pid === null || !this.#isGuard(pid)) return;
    sendSignal(pid, 'SIGKILL');
    for (let round = 0; round < 100 && isProcessAlive(pid) && this.#isGuard(pid); round += 1) await pause(5);
  }

  async #ensureFifo(): Promise<void> {
    const { fifo } = this.#config;
    const found = statSync(fifo, { throwIfNoEntry: false });
    if (found?.isFIFO()) return;
    rmSync(fifo, { force: true });
    const made = await runProgram(['mkfifo', '-m', '600', fifo], { timeoutMs: 5_000 });
    if (made.kind !== 'exited' || made.exitCode !== 0) throw new Error(`mkfifo ${fifo} failed`);
  }

  async #awaitReady(pid: number): Promise<void> {
    for (let round = 0; round < 200; round += 1) {
      if (this.pid() === pid && this.isAlive() && this.#open()) return;
      await pause(10);
    }
    throw new Error('the guard did not come up within 2 s');
  }

  #open(): boolean {
    if (this.#fd !== null) return true;
    try {
      // Without a reader this fails at once (ENXIO) instead of hanging.
      this.#fd = openSync(this.#config.fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      return true;
    } catch {
      return false;
    }
  }

  #close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #write(line: string): boolean {
    if (!this.#open() || this.#fd === null) return false;
    try {
      writeSync(this.#fd, line);
      return true;
    } catch {
      // EPIPE: the guard died. EAGAIN: it is stopped and its pipe is full.
      this.#close();
      return false;
    }
  }
}
