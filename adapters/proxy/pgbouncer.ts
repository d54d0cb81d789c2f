/**
 * One PgBouncer in transaction pooling: starts it or adopts the one that outlived the agent, pauses and resumes it. PAUSE lets each
 * open transaction end, closes the server connections and makes clients wait: nothing is cut, so a switchover costs a client time and
 * no error. The pause is bounded by the caller; when it does not come about in time it is undone.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunAs } from '../process.ts';
import type { KeptProcess } from './kept-process.ts';
import {
  adoptKept,
  isRunning,
  logLength,
  logSince,
  signalKept,
  startKept,
  stopKept,
  writeWhole,
} from './kept-process.ts';
import type { PgbouncerConfig, PoolUser } from './pgbouncer-config.ts';
import { renderPgbouncerConfig, renderUserlist, secretInUserlist } from './pgbouncer-config.ts';
import type { PoolCounts } from './pgbouncer-console.ts';
import { ConsoleLine, countPools } from './pgbouncer-console.ts';
import type { ProgramFailure } from './program-failure.ts';

export interface PgbouncerOptions extends Omit<PgbouncerConfig, 'authFile' | 'consoleUser' | 'socketFolder'> {
  /** Path of the program. */
  readonly program: string;
  /** Existing folder for its files and socket, which `runAs` may enter and write. */
  readonly folder: string;
  readonly logFile: string;
  readonly runAs: RunAs | null;
  readonly users: readonly PoolUser[];
}

export type PauseResult =
  /** No transaction is open, no server connection either; every client waits. */
  | { readonly kind: 'paused'; readonly tookMs: number }
  /** Transactions were still open after the time-out; PgBouncer is not paused. */
  | { readonly kind: 'timed-out'; readonly openTransactions: number; readonly tookMs: number }
  | { readonly kind: 'unreachable'; readonly detail: string };

export type ResumeResult =
  | { readonly kind: 'resumed' }
  | { readonly kind: 'was-not-paused' }
  | { readonly kind: 'unreachable'; readonly detail: string };

export type PoolsResult =
  | { readonly kind: 'pools'; readonly counts: PoolCounts }
  | { readonly kind: 'unreachable'; readonly detail: string };

const consoleUser = 'leasehold_console';
const commandTimeoutMs = 1_000;
const startTimeoutMs = 5_000;
const stopTimeoutMs = 1_000;
/** A login takes 2 to 10 ms. */
const loginPatienceMs = 25;
const undoLookMs = 100;
/** Each takes up to a second more where nothing is answered: some ten minutes at least, and nobody serves clients meanwhile. */
const mostUndoLooks = 6_000;

const configFile = (folder: string) => join(folder, 'pgbouncer.ini');
const userlistFile = (folder: string) => join(folder, 'userlist.txt');
const pidFile = (folder: string) => join(folder, 'pgbouncer.pid');

export class Pgbouncer {
  #options: PgbouncerOptions;
  readonly #process: KeptProcess;
  readonly #commands: ConsoleLine;
  /** Kept open for PAUSE alone. */
  readonly #pauser: ConsoleLine;
  /** Ends the undoing of a pause of which nobody knows whether it is in force. */
  #stopUndo = new AbortController();
  #undoing: Promise<void> = Promise.resolve();
  readonly adopted: boolean;

  private constructor(options: PgbouncerOptions, kept: KeptProcess, password: string, adopted: boolean) {
    this.#options = options;
    this.#process = kept;
    const access = { socketFolder: options.folder, port: options.listen.port, user: consoleUser, password };
    this.#commands = new ConsoleLine(access, commandTimeoutMs);
    this.#pauser = new ConsoleLine(access, commandTimeoutMs);
    this.adopted = adopted;
  }

  /** Adopts the PgBouncer of this folder if it runs, and gives it today's settings and users; starts one otherwise. */
  static async open(
    options: PgbouncerOptions,
  ): Promise<{ kind: 'open'; pgbouncer: Pgbouncer } | ProgramFailure> {
    const running = await adoptKept(pidFile(options.folder));
    const password =
      (running && (await consolePassword(options.folder))) ?? randomBytes(24).toString('base64url');
    await writeFiles(options, password);
    if (running) {
      const adopted = new Pgbouncer(options, running, password, true);
      const ready = await adopted.#becomeReady();
      if (ready === null) {
        await adopted.#commands.run('RELOAD');
        return { kind: 'open', pgbouncer: adopted };
      }
      // It runs and does not answer: nobody is served by it, so another takes its place.
      adopted.detach();
      await stopKept(running, pidFile(options.folder), 'SIGTERM', stopTimeoutMs);
    }
    const logged = await logLength(options.logFile);
    let kept: KeptProcess;
    try {
      kept = await startKept({
        program: options.program,
        args: [configFile(options.folder)],
        pidFile: pidFile(options.folder),
        logFile: options.logFile,
        runAs: options.runAs,
      });
    } catch (error) {
      return { kind: 'not-started', program: 'pgbouncer', detail: (error as Error).message };
    }
    const started = new Pgbouncer(options, kept, password, false);
    const problem = await started.#becomeReady();
    const log = await logSince(options.logFile, logged);
    // It goes on when a port is taken, with its unix socket alone.
    const deaf = /cannot listen on .*/.exec(log)?.[0];
    if (problem === null && deaf === undefined) return { kind: 'open', pgbouncer: started };
    await started.stop();
    return { kind: 'not-started', program: 'pgbouncer', detail: `${problem ?? deaf}\n${log}` };
  }

  get pid(): number {
    return this.#process.pid;
  }

  isRunning(): boolean {
    return isRunning(this.#process);
  }

  /**
   * Waits at most `timeoutMs` for the open transactions to end. On `timed-out` the pause is undone, unless `onTimeout` is
   * `stay`: then clients keep waiting (the caller ends the rest and asks again).
   */
  async pause(timeoutMs: number, onTimeout: 'resume' | 'stay' = 'resume'): Promise<PauseResult> {
    const begin = performance.now();
    const deadline = begin + timeoutMs;
    const tookMs = () => performance.now() - begin;
    await this.#askAnew();
    await this.#letLoginsFinish(Math.min(deadline, begin + loginPatienceMs));
    const answer = await this.#pauser.run('PAUSE', Math.max(1, deadline - performance.now()));
    if (answer.kind === 'answered') return { kind: 'paused', tookMs: tookMs() };
    if (answer.kind === 'refused' && !/already/.test(answer.detail))
      return { kind: 'unreachable', detail: answer.detail };
    // Paused before, or not in time: what counts is whether a server connection is left.
    let open = await this.#openServers();
    while (answer.kind === 'refused' && open !== null && open > 0 && performance.now() < deadline) {
      await sleep(2);
      open = await this.#openServers();
    }
    if (open === 0 && (await this.isPaused()) === true) return { kind: 'paused', tookMs: tookMs() };
    const stays = open !== null && open > 0 && onTimeout === 'stay';
    if (open !== null && open > 0 && !stays) {
      const resumed = await this.resume();
      if (resumed.kind === 'unreachable') open = null;
    }
    if (answer.kind === 'unreachable' && !stays) this.#undoPause();
    return open === null
      ? { kind: 'unreachable', detail: 'the console does not answer' }
      : this.#notPaused(open, tookMs());
  }

  /**
   * Holds the clients now, whatever is open: for a caller who ends the server connections himself, at the latest `timeoutMs` after.
   * `was-paused`: somebody else's pause is in force and stays so.
   */
  async hold(timeoutMs: number): Promise<{ readonly kind: 'held' | 'was-paused' | 'unreachable' }> {
    await this.#askAnew();
    const answer = await this.#pauser.run('PAUSE', timeoutMs);
    if (answer.kind === 'answered') return { kind: 'held' };
    if (answer.kind === 'refused') return { kind: 'was-paused' };
    if (await this.isPaused()) return { kind: 'held' };
    this.#undoPause();
    return { kind: 'unreachable' };
  }

  /** Lets clients through. */
  async resume(): Promise<ResumeResult> {
    const answer = await this.#commands.run('RESUME');
    switch (answer.kind) {
      case 'answered':
        return { kind: 'resumed' };
      case 'refused':
        return /not paused/.test(answer.detail)
          ? { kind: 'was-not-paused' }
          : { kind: 'unreachable', detail: answer.detail };
      case 'unreachable':
        return answer;
    }
  }

  /**
   * Whether clients are held; null when PgBouncer does not answer. 1.18 has no command that shows it, but refuses to KILL while
   * paused before it looks at what to kill; and it never kills its own console, which is what it is asked here.
   */
  async isPaused(): Promise<boolean | null> {
    const answer = await this.#commands.run('KILL pgbouncer');
    return answer.kind === 'refused' ? /already/.test(answer.detail) : null;
  }

  /** Who may log in from now on; connections that are open stay. False: it does not answer, and has the new list on disk. */
  async setUsers(users: readonly PoolUser[]): Promise<boolean> {
    const { folder } = this.#options;
    const password = await consolePassword(folder);
    if (password === null) return false;
    this.#options = { ...this.#options, users };
    await writeFiles(this.#options, password);
    return await this.reload();
  }

  /** Has it read its files anew, certificates too; connections that stand go on. False when it does not answer. */
  async reload(): Promise<boolean> {
    return (await this.#commands.run('RELOAD')).kind === 'answered';
  }

  async pools(): Promise<PoolsResult> {
    const answer = await this.#commands.run('SHOW POOLS');
    if (answer.kind !== 'answered') return { kind: 'unreachable', detail: answer.detail };
    return { kind: 'pools', counts: countPools(answer.rows) };
  }

  /** Makes both console connections now, so that the next pause does not pay for them. */
  async prepare(): Promise<void> {
    await Promise.all([this.#commands.prepare(), this.#pauser.prepare()]);
  }

  /** Lets go of the console; PgBouncer goes on. */
  detach(): void {
    this.#stopUndo.abort();
    this.#commands.drop();
    this.#pauser.drop();
  }

  /** Ends PgBouncer; its clients are disconnected. */
  async stop(): Promise<void> {
    this.detach();
    await stopKept(this.#process, pidFile(this.#options.folder), 'SIGTERM', stopTimeoutMs);
  }

  /** Ends PgBouncer as a crash would. For tests and for one that hangs. */
  crash(): void {
    signalKept(this.#process, 'SIGKILL');
  }

  /** PAUSE breaks off a login, and PgBouncer takes that for a failed one: it would turn away clients right after the RESUME. */
  async #letLoginsFinish(deadline: number): Promise<void> {
    for (;;) {
      const pools = await this.pools();
      if (pools.kind !== 'pools' || pools.counts.serversLoggingIn === 0 || performance.now() >= deadline)
        return;
      await sleep(2);
    }
  }

  /** What is asked for now counts, not that an earlier pause was given up. */
  async #askAnew(): Promise<void> {
    this.#stopUndo.abort();
    await this.#undoing;
  }

  /**
   * A PAUSE that was sent and not answered may come into force at any later moment, as when a PgBouncer that hung goes on, and also
   * after its connection was dropped. Until it answers twice in a row that clients are let through, it is looked at, and resumed.
   */
  #undoPause(): void {
    this.#stopUndo.abort();
    this.#stopUndo = new AbortController();
    this.#undoing = this.#undoUntilCalm(this.#stopUndo.signal);
  }

  async #undoUntilCalm(signal: AbortSignal): Promise<void> {
    let calm = 0;
    for (let looks = 0; looks < mostUndoLooks && calm < 2 && this.isRunning(); looks += 1) {
      const paused = await this.isPaused();
      if (signal.aborted) return;
      if (paused === true) await this.resume();
      calm = paused === false ? calm + 1 : 0;
      await sleep(undoLookMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #openServers(): Promise<number | null> {
    const pools = await this.pools();
    if (pools.kind !== 'pools') return null;
    const { serversActive, serversIdle, serversBusy, serversLoggingIn } = pools.counts;
    return serversActive + serversIdle + serversBusy + serversLoggingIn;
  }

  #notPaused(openTransactions: number, tookMs: number): PauseResult {
    // The line that asked is still waiting for its answer, or was dropped: have a fresh one ready.
    this.#pauser.drop();
    void this.#pauser.prepare();
    return { kind: 'timed-out', openTransactions, tookMs };
  }

  /** Null when the console answers; else what was wrong at the end of the wait. */
  async #becomeReady(): Promise<string | null> {
    const deadline = performance.now() + startTimeoutMs;
    let problem = 'it ended at once';
    while (this.isRunning() && performance.now() < deadline) {
      const answer = await this.#commands.prepare();
      if (answer.kind === 'answered') {
        await this.#pauser.prepare();
        return null;
      }
      problem = answer.detail;
      await sleep(10);
    }
    return problem;
  }
}

async function consolePassword(folder: string): Promise<string | null> {
  const text = await readFile(userlistFile(folder), 'utf8').catch(() => '');
  return secretInUserlist(text, consoleUser);
}

async function writeFiles(options: PgbouncerOptions, password: string): Promise<void> {
  const access = { mode: 0o600, owner: options.runAs };
  const users = [{ name: consoleUser, secret: password }, ...options.users];
  await writeWhole(userlistFile(options.folder), renderUserlist(users), access);
  const config = {
    ...options,
    socketFolder: options.folder,
    authFile: userlistFile(options.folder),
    consoleUser,
  };
  await writeWhole(configFile(options.folder), renderPgbouncerConfig(config), access);
}
