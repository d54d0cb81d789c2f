// Runs executions of state machines: starts, stops, redrives and resumes them and keeps those that have closed. Nothing
// here polls: what happens next is caused by a call, by a task's end or by a timer. Invariant: what a method has returned
// is in the journal, so a process may be killed at any moment and `resume` goes on from there.

import { answerTask, type TaskAnswer, type TokenVerdict } from './answer-task.ts';
import { type AslClock, systemClock } from './clock.ts';
import { compileDefinition, DefinitionError, type Machine } from './definition.ts';
import { driveLane, resumeLane } from './drive.ts';
import { type Execution, type ExecutionState, foldRecords, type Lane } from './execution.ts';
import { DamagedJournalError, type ExecutionStore, StoreError } from './execution-store.ts';
import { type Failure, TIMEOUT_ERROR } from './failure.ts';
import type { HistoryEvent } from './history.ts';
import { executionArn, keyOf, newExecution, type StateMachine, startChange } from './new-execution.ts';
import { redriveChange, whyNotRedrivable } from './redrive.ts';
import {
  cancelAll,
  commit,
  endOf,
  type InvokeTask,
  isOpen,
  type Machinery,
  type Run,
  waitUntil,
} from './run.ts';
import { renewHeartbeats } from './task.ts';

export interface EngineOptions {
  store: ExecutionStore;
  invokeTask: InvokeTask;
  clock?: AslClock;
  /** Shown in the history of tasks. */
  region?: string;
  /** In [0, 1), for retries with jitter. */
  random?: () => number;
  /** How many executions may be open at once. */
  mostOpen?: number;
  /** How many closed executions are kept; the oldest go first, and with them the claim on their names. */
  mostClosed?: number;
  /** Told of each event once it is in the journal. */
  onEvent?: (executionArn: string, event: HistoryEvent) => void;
  /** Told of records that could not be written; each is tried again after a second. */
  onFault?: (executionArn: string, error: StoreError) => void;
}

export type StartResult =
  | { kind: 'started'; execution: Execution }
  | { kind: 'already-exists'; execution: Execution }
  | { kind: 'limit-exceeded'; limit: number };

export type RedriveResult =
  | { kind: 'redriven'; execution: Execution }
  | { kind: 'unknown' }
  | { kind: 'not-redrivable'; reason: string };

export interface ResumeReport {
  /** ARNs of the executions that go on. */
  resumed: string[];
  /** Executions that cannot be read or understood; they are left as they are. */
  damaged: { key: string; reason: string }[];
}

const STORE_RETRY_MS = 1000;
const MOST_COMPILED = 64;
const MOST_OPEN = 1000;
const MOST_CLOSED = 500;

/** An engine over one store. Call `resume` once, before anything else, when the store may hold executions. */
export class AslEngine {
  readonly #options: EngineOptions;
  readonly #clock: AslClock;
  readonly #machinery: Machinery;
  readonly #open = new Map<string, Run>();
  readonly #closed = new Map<string, Execution>();
  readonly #compiled = new Map<string, { definition: string; machine: Machine }>();
  readonly #finishWaiters = new Map<string, ((execution: Execution) => void)[]>();
  #quietWaiters: (() => void)[] = [];
  #busy = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#machinery = {
      clock: this.#clock,
      store: options.store,
      invokeTask: options.invokeTask,
      region: options.region ?? 'us-east-1',
      random: options.random ?? Math.random,
      drive: (run, lane) => this.#drive(run, lane),
      guard: (run, change) => this.#guard(run, change),
      onEvents: (run, events) => {
        for (const event of events) options.onEvent?.(run.execution.arn, event);
      },
      onClosed: (run) => {
        this.#open.delete(run.execution.arn);
        this.#keepClosed(run.execution);
      },
    };
  }

  /** Compiles a definition ahead of its first execution. Throws `DefinitionError` when it is not understood in full. */
  prepare(definition: string): void {
    this.#compile(definition);
  }

  /**
   * Starts an execution of this name with this input (JSON text), or returns the open one that was started with the same
   * bytes. Throws `DefinitionError`, and `StoreError` when it could not be written down: then nothing was started.
   */
  start(stateMachine: StateMachine, name: string, input: string): StartResult {
    const known = this.describe(executionArn(stateMachine.arn, name));
    if (known !== undefined) {
      const same = known.status === 'RUNNING' && known.input === input;
      return { kind: same ? 'started' : 'already-exists', execution: known };
    }
    const limit = this.#options.mostOpen ?? MOST_OPEN;
    if (this.#open.size >= limit) return { kind: 'limit-exceeded', limit };
    const { machine } = this.#compile(stateMachine.definition);
    const execution = newExecution(stateMachine, name, input, machine, this.#clock.now());
    const run = this.#openRun({ execution, lanes: new Map(), events: [] });
    commit(this.#machinery, run, startChange(this.#machinery, run.execution, machine));
    this.#goOn(run);
    return { kind: 'started', execution: run.execution };
  }

  /** Aborts an execution; one that has closed already is returned as it is. */
  stop(arn: string, error: string | null, cause: string | null): Execution | undefined {
    const run = this.#open.get(arn);
    if (run === undefined) return this.#closed.get(arn);
    const failure = { error, cause, heartbeat: false };
    commit(this.#machinery, run, endOf(this.#machinery, 'ABORTED', failure, 0));
    return run.execution;
  }

  /** Takes an unsuccessful execution up again where it ended. Repeating a redrive with its token changes nothing. */
  redrive(arn: string, token: string | null): RedriveResult {
    const known = this.describe(arn);
    if (known === undefined) return { kind: 'unknown' };
    const repeated = known.status === 'RUNNING' && token !== null && known.redriveToken === token;
    if (repeated) return { kind: 'redriven', execution: known };
    const nowMs = this.#clock.now();
    const reason = whyNotRedrivable(known, this.history(arn)?.length ?? 0, nowMs);
    const state = reason === undefined ? foldRecords(this.#options.store.read(keyOf(known))) : undefined;
    if (state === undefined) return { kind: 'not-redrivable', reason: reason ?? 'Its journal is gone' };
    const run = this.#openRun(state);
    this.#options.store.reopen(run.key);
    commit(this.#machinery, run, redriveChange(run, token, nowMs));
    this.#closed.delete(arn);
    this.#goOn(run);
    return { kind: 'redriven', execution: run.execution };
  }

  /** Takes the answer of a task that calls back; `accepted` means that it is written down. */
  answer(token: string, answer: TaskAnswer): TokenVerdict {
    const executions = {
      open: (arn: string) => this.#open.get(arn),
      isKnown: (arn: string) => this.#closed.has(arn),
    };
    return answerTask(this.#machinery, token, answer, executions);
  }

  describe(arn: string): Execution | undefined {
    return this.#open.get(arn)?.execution ?? this.#closed.get(arn);
  }

  /** Why this execution cannot be redriven, as AWS words it; undefined when it can. */
  redriveObstacle(execution: Execution): string | undefined {
    return whyNotRedrivable(execution, 0, this.#clock.now());
  }

  /** All executions of a state machine, those that started last first. */
  list(stateMachineArn: string): Execution[] {
    const all = [...this.#closed.values(), ...[...this.#open.values()].map((run) => run.execution)];
    return all
      .filter((each) => each.stateMachineArn === stateMachineArn)
      .sort((a, b) => b.startMs - a.startMs);
  }

  history(arn: string): readonly HistoryEvent[] | undefined {
    const run = this.#open.get(arn);
    if (run !== undefined) return run.events;
    const execution = this.#closed.get(arn);
    if (execution === undefined) return undefined;
    return this.#options.store.read(keyOf(execution)).flatMap((record) => record.events ?? []);
  }

  /** Resolves when the execution has closed; rejects when there is none of this ARN. */
  finished(arn: string): Promise<Execution> {
    const execution = this.#closed.get(arn);
    if (execution !== undefined) return Promise.resolve(execution);
    if (!this.#open.has(arn)) return Promise.reject(new Error(`there is no execution ${arn}`));
    return new Promise((resolve) => {
      this.#finishWaiters.set(arn, [...(this.#finishWaiters.get(arn) ?? []), resolve]);
    });
  }

  /**
   * Takes up every execution in the store. A task that was in flight is invoked again, one whose token was handed out
   * goes on waiting for it. Heartbeats start anew, for nobody could have taken them; all other deadlines stand.
   */
  resume(): ResumeReport {
    const report: ResumeReport = { resumed: [], damaged: [] };
    // Closed executions in the order in which they closed, so that the oldest is the first to be forgotten.
    const stored = this.#options.store
      .list()
      .sort((a, b) => (a.summary?.stopMs ?? 0) - (b.summary?.stopMs ?? 0));
    for (const { key, summary } of stored) {
      try {
        if (summary !== undefined) this.#closed.set(summary.arn, this.#sharing(summary));
        else report.resumed.push(...this.#takeUp(key));
      } catch (error) {
        if (!(error instanceof DamagedJournalError) && !(error instanceof DefinitionError)) throw error;
        report.damaged.push({ key, reason: error.message });
      }
    }
    return report;
  }

  /** Resolves when no lane is being carried on, i.e. all wait for tasks or timers. */
  whenQuiet(): Promise<void> {
    return this.#busy === 0 ? Promise.resolve() : new Promise((resolve) => this.#quietWaiters.push(resolve));
  }

  /** Lets go of everything without ending it: timers stop, tasks are told that nobody waits. */
  close(): void {
    for (const run of this.#open.values()) {
      run.halted = true;
      cancelAll(run);
    }
  }

  /** Opens what the journal says is open, files what it says is closed. Returns the ARN of what goes on, if any. */
  #takeUp(key: string): string[] {
    const state = foldRecords(this.#options.store.read(key));
    if (state === undefined) this.#options.store.remove(key);
    else if (state.execution.status !== 'RUNNING') this.#keepClosed(state.execution);
    if (state?.execution.status !== 'RUNNING') return [];
    const run = this.#openRun(state);
    renewHeartbeats(this.#machinery, run);
    this.#goOn(run);
    return [run.execution.arn];
  }

  #goOn(run: Run): void {
    this.#open.set(run.execution.arn, run);
    const { deadlineMs } = run.execution;
    if (deadlineMs !== null) {
      const failure: Failure = { error: TIMEOUT_ERROR, cause: null, heartbeat: false };
      const end = () => commit(this.#machinery, run, endOf(this.#machinery, 'TIMED_OUT', failure, 0));
      waitUntil(this.#machinery, run, 0, 'deadline', deadlineMs, end);
    }
    for (const lane of [...run.lanes.values()]) if (isOpen(run)) resumeLane(this.#machinery, run, lane);
  }

  #openRun(state: ExecutionState): Run {
    const { machine } = this.#compile(state.execution.definition);
    const execution = this.#sharing(state.execution);
    const empty = { pending: new Map(), driven: new Set<Lane>(), halted: false };
    return { ...state, ...empty, execution, key: keyOf(execution), machine };
  }

  /** Files an execution that has ended. Its journal already says so: the summary only spares reading it. */
  #keepClosed(execution: Execution): void {
    try {
      this.#options.store.close(keyOf(execution), execution);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#options.onFault?.(execution.arn, error);
    }
    this.#closed.set(execution.arn, execution);
    for (const call of this.#finishWaiters.get(execution.arn) ?? []) call(execution);
    this.#finishWaiters.delete(execution.arn);
    const [oldest] = this.#closed.values();
    if (this.#closed.size > (this.#options.mostClosed ?? MOST_CLOSED) && oldest !== undefined) {
      this.#closed.delete(oldest.arn);
      this.#options.store.remove(keyOf(oldest));
    }
  }

  #compile(definition: string): { definition: string; machine: Machine } {
    const entry = this.#compiled.get(definition) ?? { definition, machine: compileDefinition(definition) };
    // Kept in order of use, so that the first is the one to forget.
    this.#compiled.delete(definition);
    this.#compiled.set(definition, entry);
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size > MOST_COMPILED && oldest !== undefined) this.#compiled.delete(oldest);
    return entry;
  }

  /** Many executions have the same definition: they share its memory too. */
  #sharing(execution: Execution): Execution {
    const definition = this.#compiled.get(execution.definition)?.definition ?? execution.definition;
    return { ...execution, definition };
  }

  #drive(run: Run, lane: Lane): void {
    this.#busy += 1;
    driveLane(this.#machinery, run, lane)
      .catch((error: unknown) => this.#retryLater(run, error, () => this.#drive(run, lane)))
      .finally(() => {
        this.#busy -= 1;
        if (this.#busy > 0) return;
        const calls = this.#quietWaiters;
        this.#quietWaiters = [];
        for (const call of calls) call();
      });
  }

  #guard(run: Run, change: () => void): void {
    if (!isOpen(run)) return;
    try {
      change();
    } catch (error) {
      this.#retryLater(run, error, () => this.#guard(run, change));
    }
  }

  /** A record that could not be written is tried again; any other error is a bug, and stops the process. */
  #retryLater(run: Run, error: unknown, again: () => void): void {
    if (!(error instanceof StoreError)) throw error;
    this.#options.onFault?.(run.execution.arn, error);
    this.#clock.setTimeout(again, STORE_RETRY_MS);
  }
}
