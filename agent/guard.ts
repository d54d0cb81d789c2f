/**
 * The agent's hold on its guard: starts it, feeds it absolute deadlines through a FIFO, notices when it is gone. The
 * guard (guard.sh) is a process of its own that outlives the agent, so that PostgreSQL is stopped before the lease's
 * deadline also when the agent is killed, hung or stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { minimalEnvironment, readProcessStatus, runProgram } from '../adapters/process.ts';
import { fenceBudget, type Hold } from '../core/lease/lease-clock.ts';

export interface GuardConfig {
  readonly script: string;
  readonly fifo: string;
  readonly dataDirectory: string;
  readonly postgresProgram: string;
  readonly logFile: string;
}

export class Guard {
  readonly #config: GuardConfig;
  #fd: number | null = null;
  #child: ChildProcess | null = null;

  constructor(config: GuardConfig) {
    this.#config = config;
  }

  /** Starts a guard, or finds the one that a former agent left. Throws when neither can be had. */
  async ensure(): Promise<void> {
    if (this.isAlive() && this.#open()) return;
    this.#close();
    if (!existsSync(this.#config.fifo)) {
      const made = await runProgram(['mkfifo', '-m', '600', this.#config.fifo], { timeoutMs: 5_000 });
      if (made.kind !== 'exited' || made.exitCode !== 0)
        throw new Error(`mkfifo ${this.#config.fifo} failed`);
    }
    const log = openSync(this.#config.logFile, 'a', 0o600);
    const { script, fifo, dataDirectory, postgresProgram } = this.#config;
    this.#child = spawn('bash', [script, fifo, dataDirectory, postgresProgram], {
      detached: true,
      stdio: ['ignore', log, log],
      env: minimalEnvironment(),
    });
    closeSync(log);
    this.#child.unref();
    const pid = this.#child.pid;
    if (pid === undefined) throw new Error('the guard could not be started: bash is missing');
    await this.#awaitReady();
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
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(this.#config.fifo);
    } catch {
      return false;
    }
  }

  async #awaitReady(): Promise<void> {
    for (let round = 0; round < 200; round += 1) {
      if (this.isAlive() && this.#open()) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
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
