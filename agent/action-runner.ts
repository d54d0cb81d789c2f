/**
 * Finds the actions that an operation orders from this host, claims each once, executes it and says what came of it.
 * An action arrives by two ways, as an item in DynamoDB and through Run Command; whichever comes first claims it, and
 * the other only watches. Upholds: every action is checked against the operation and the epoch that are current, read
 * consistently, before it acts; a late or repeated one changes nothing (invariant O2).
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import { standsBy } from '../core/lease/stands-by.ts';
import type { Action, ActionResult, ActionVerb } from '../core/model/operation.ts';
import type { ControlPlaneClients } from './control-plane-clients.ts';
import type { Log } from './emit.ts';
import { errorText } from './error-text.ts';
import type { LeaseKeeper } from './lease-keeper.ts';

/** One verb's work. Throws only on bugs; what went wrong is in the result. */
export type Executor = (action: Action, context: ActionContext) => Promise<ActionOutcome>;

export type ActionOutcome = Omit<ActionResult, 'ms'>;

export interface ActionContext {
  /** A line for the transcript, which Run Command shows to the operator. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  /** From now on the action only watches: what is to be done here is for the host's own table, which it holds up no longer. */
  readonly onlyWatches: () => void;
  /** Tells the others that what can be done beforehand is done; tried for a while, and without it they do not begin. */
  readonly prepared: () => Promise<void>;
}

export const succeeded = (message: string, found: Partial<ActionOutcome> = {}): ActionOutcome => ({
  ok: true,
  error: '',
  message,
  ...found,
});

export const failed = (
  error: string,
  message: string,
  found: Partial<ActionOutcome> = {},
): ActionOutcome => ({
  ok: false,
  error,
  message,
  ...found,
});

export interface ActionRunnerDeps {
  readonly store: ClusterStore;
  readonly clients: ControlPlaneClients;
  readonly keeper: LeaseKeeper;
  readonly node: string;
  readonly incarnation: string;
  readonly executors: Partial<Record<ActionVerb, Executor>>;
  /** False: actions come by Run Command alone. */
  readonly readActions: boolean;
  readonly now: () => number;
  readonly log: Log;
  /** False while the host carries out something of its own that an action would disturb. */
  readonly mayBegin: () => boolean;
  /** An action was claimed, or is prepared: others may wait for it. For its end the workflow alone does. */
  readonly onProgress: () => void;
}

interface Run {
  readonly action: Action;
  readonly transcript: string[];
  readonly listeners: Set<(line: string) => void>;
  readonly done: Promise<ActionResult>;
}

const pollMs = 100;
const calmPollMs = 500;
const adoptionLimitMs = 2_000;
/** How long an action waits for what the host does by itself; the operation's own limits are about as long. */
const orderLimitMs = 10_000;
const preparedAttempts = 5;
const reportForMs = 120_000;
const reportEveryMs = 1_000;
const findAttempts = 20;
const findEveryMs = 50;
const maxTranscriptLines = 500;
/** Finished runs that Run Command may still ask about. */
const maxRememberedRuns = 64;

export class ActionRunner {
  readonly #deps: ActionRunnerDeps;
  readonly #runs = new Map<string, Run>();
  /** An action that both ways bring at once is considered once. */
  readonly #considering = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #polling = false;
  #pollAgain = false;
  #closed = false;

  constructor(deps: ActionRunnerDeps) {
    this.#deps = deps;
  }

  /** The verb that is being executed now, or null; one that only watches does not count. */
  running(): ActionVerb | null {
    for (const { action } of this.#runs.values()) {
      if (this.#active.has(action.action) && !this.#watching.has(action.action)) return action.verb;
    }
    return null;
  }

  readonly #watching = new Set<string>();

  readonly #active = new Set<string>();

  /** By action of any operation (`verb@node#attempt`: few): why it was refused last. */
  readonly #refused = new Map<string, string>();

  stop(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** The record may have changed: while an operation is under way, its actions are looked for every 100 ms. */
  poke(): void {
    if (this.#closed || !this.#deps.readActions) return;
    if (this.#polling) {
      this.#pollAgain = !this.#expectsNoAction();
      return;
    }
    if (this.#deps.keeper.view().record?.operation == null) return;
    // A look that is due already is soon enough.
    if (this.#timer !== null && this.#expectsNoAction()) return;
    void this.#poll();
  }

  /**
   * Run Command's way: executes the named action unless it has been claimed already, and follows it to its end. Each
   * line of the transcript goes to `onLine`. Null: there is no such action for this node.
   */
  async follow(
    operation: string,
    actionId: string,
    onLine: (line: string) => void,
  ): Promise<ActionResult | null> {
    const known = this.#runs.get(`${operation} ${actionId}`);
    if (known === undefined) {
      const action = await this.#find(operation, actionId, onLine);
      if (action === null) return null;
      if (action.result !== null) {
        onLine(`already done: ${action.result.message}`);
        return action.result;
      }
      await this.#consider(action);
    }
    const run = this.#runs.get(`${operation} ${actionId}`);
    if (run === undefined) return null;
    for (const line of run.transcript) onLine(line);
    run.listeners.add(onLine);
    const result = await run.done;
    run.listeners.delete(onLine);
    return result;
  }

  /** The command may be here before the item that it names: both are sent at once. So it is looked for, for a while. */
  async #find(operation: string, actionId: string, onLine: (line: string) => void): Promise<Action | null> {
    for (let attempt = 0; attempt < findAttempts && !this.#closed; attempt += 1) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, findEveryMs));
      const read = await this.#deps.store.readOperation(operation, { timeoutMs: 2_000 });
      if (read.kind !== 'ok') {
        onLine(`DynamoDB did not answer: ${read.message}`);
        continue;
      }
      const found = read.value.actions.find((one) => one.action === actionId && one.node === this.#deps.node);
      if (found !== undefined) return found;
    }
    return null;
  }

  async #poll(): Promise<void> {
    this.#polling = true;
    this.#pollAgain = false;
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    const operation = this.#deps.keeper.view().record?.operation?.id;
    if (operation !== undefined) {
      await this.#pollOnce(operation).catch((error: unknown) => {
        this.#deps.log('error', 'looking for actions failed', { error: String(error) });
      });
    }
    this.#polling = false;
    if (this.#closed || operation === undefined) return;
    if (this.#pollAgain) void this.#poll();
    else this.#timer = setTimeout(() => this.#due(), this.#expectsNoAction() ? calmPollMs : pollMs);
  }

  #due(): void {
    this.#timer = null;
    this.poke();
  }

  /** It or others pass the lease on: nothing is ordered from it now, and clients wait for whom its looking would slow down. */
  #expectsNoAction(): boolean {
    const { record, watch } = this.#deps.keeper.view();
    const verb = this.running();
    const passesOn = verb === 'stop-and-release' || verb === 'acquire-and-promote';
    return passesOn || standsBy(watch.lease, record, this.#deps.node);
  }

  async #pollOnce(operation: string): Promise<void> {
    const read = await this.#deps.store.readOperation(operation, { timeoutMs: 1_000 });
    if (read.kind !== 'ok') return;
    const mine = read.value.actions.filter((one) => one.node === this.#deps.node && one.result === null);
    for (const action of mine) if (!this.#closed) await this.#consider(action);
  }

  /** Claims the action if it is current and nobody has; starts it without waiting for its end. */
  #consider(action: Action): Promise<void> {
    const key = `${action.operation} ${action.action}`;
    const executor = this.#deps.executors[action.verb];
    if (this.#runs.has(key) || executor === undefined) return Promise.resolve();
    const considering =
      this.#considering.get(key) ??
      this.#claim(key, action, executor).finally(() => this.#considering.delete(key));
    this.#considering.set(key, considering);
    return considering;
  }

  async #claim(key: string, action: Action, executor: Executor): Promise<void> {
    const { store, keeper, incarnation, log } = this.#deps;
    // The item was read some time ago, perhaps before this host was suspended: what is current is read after it.
    if (!(await keeper.refresh())) return;
    // An action holds up the host's own decisions, and so the adoption of a former agent's lease: that comes first.
    if (!(await keeper.until(() => !this.#leaseToAdopt(), adoptionLimitMs))) return;
    if (!(await keeper.until(() => this.#deps.mayBegin(), orderLimitMs))) return;
    const refusal = this.#staleness(action);
    if (refusal !== null) {
      // It is found again at each look until its operation ends: said once.
      if (this.#refused.get(action.action) !== `${key} ${refusal}`) {
        log('info', 'action refused', {
          action: action.action,
          operation: action.operation,
          reason: refusal,
        });
      }
      this.#refused.set(action.action, `${key} ${refusal}`);
      return;
    }
    // Claimed by this agent, and yet it does not run: the claim's answer was lost.
    let claimed = action;
    if (action.claimedBy !== incarnation) {
      const reclaim = action.claimedBy !== null;
      const claim = await store.claimAction(action.operation, action.action, incarnation, { reclaim });
      if (claim.kind !== 'ok' || this.#closed) return;
      if (reclaim) log('warn', 'action of a former agent is taken up again', { action: action.action });
      claimed = claim.value;
    }
    this.#remember(key, this.#execute(claimed, executor));
    this.#deps.onProgress();
  }

  #leaseToAdopt(): boolean {
    const { lease } = this.#deps.keeper.view().watch;
    return lease?.state === 'held' && lease.holder === this.#deps.node && !this.#deps.keeper.isHolder();
  }

  #staleness(action: Action): string | null {
    const { record, watch } = this.#deps.keeper.view();
    if (record?.operation?.id !== action.operation) return 'its operation is not the current one';
    const epoch = watch.lease?.epoch;
    if (epoch === undefined) return null;
    if (epoch < action.epoch) return `it is for epoch ${action.epoch}, the lease went back to ${epoch}`;
    // The lease may have moved by one: then the operation's own promotion has happened.
    if (epoch > action.epoch && ['stop-and-release', 'end-receiver'].includes(action.verb)) {
      return `it is for epoch ${action.epoch}, the lease is at ${epoch}`;
    }
    return null;
  }

  #remember(key: string, run: Run): void {
    this.#runs.set(key, run);
    for (const [old, remembered] of this.#runs) {
      if (this.#runs.size <= maxRememberedRuns) break;
      if (!this.#active.has(remembered.action.action)) this.#runs.delete(old);
    }
  }

  #execute(action: Action, executor: Executor): Run {
    const transcript: string[] = [];
    const listeners = new Set<(line: string) => void>();
    const say = (line: string): void => {
      if (transcript.length < maxTranscriptLines) transcript.push(line);
      for (const listener of listeners) listener(line);
    };
    this.#active.add(action.action);
    const done = this.#carryOut(action, executor, say).finally(() => {
      this.#active.delete(action.action);
      this.#watching.delete(action.action);
      // What comes next may have been ordered meanwhile.
      this.poke();
    });
    return { action, transcript, listeners, done };
  }

  async #carryOut(action: Action, executor: Executor, say: (line: string) => void): Promise<ActionResult> {
    const begunMs = this.#deps.now();
    this.#deps.log('info', 'action begins', { action: action.action, operation: action.operation });
    say(`${action.verb} for operation ${action.operation}, epoch ${action.epoch}`);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), action.timeoutMs);
    let outcome: ActionOutcome;
    try {
      const onlyWatches = () => void this.#watching.add(action.action);
      const prepared = () => this.#tellPrepared(action, abort.signal);
      outcome = await executor(action, { say, signal: abort.signal, onlyWatches, prepared });
    } catch (error) {
      // A bug in one action must not end the agent that keeps the lease; it is reported where operators look.
      outcome = failed('InvariantViolation', errorText(error));
    } finally {
      clearTimeout(timer);
    }
    const result: ActionResult = { ...outcome, ms: Math.round(this.#deps.now() - begunMs) };
    say(`${result.ok ? 'done' : `failed (${result.error})`}: ${result.message} [${result.ms} ms]`);
    this.#deps.log(result.ok ? 'info' : 'warn', 'action ends', {
      action: action.action,
      ok: result.ok,
      error_kind: result.error,
      detail: result.message,
      ms: result.ms,
    });
    await this.#report(action, result).catch((error: unknown) => this.#reportFailed(action, error));
    return result;
  }

  async #tellPrepared({ operation, action }: Action, signal: AbortSignal): Promise<void> {
    const { store, incarnation } = this.#deps;
    for (let attempt = 0; attempt < preparedAttempts && !signal.aborted; attempt += 1) {
      const marked = await store.markPrepared(operation, action, incarnation, { timeoutMs: 1_000 });
      if (marked.kind === 'ok') this.#deps.onProgress();
      // Refused: another agent has claimed it, or it is over.
      if (marked.kind === 'ok' || marked.kind === 'refused') return;
      await new Promise((resolve) => setTimeout(resolve, 200 * (attempt + 1)));
    }
    this.#deps.log('warn', 'it could not be told that an action is prepared', { action });
  }

  /**
   * The work is over, and so the host's own decisions go on, after the first attempt; one that failed is repeated behind their back for
   * longer than an operation waits for an action, for nobody can tell from silence that it was done.
   */
  async #report(action: Action, result: ActionResult): Promise<void> {
    if (await this.#reportOnce(action, result)) return;
    void this.#reportAgain(action, result).catch((error: unknown) => this.#reportFailed(action, error));
  }

  async #reportAgain(action: Action, result: ActionResult): Promise<void> {
    const untilMs = this.#deps.now() + reportForMs;
    for (let attempt = 1; this.#deps.now() < untilMs && !this.#closed; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(200 * attempt, reportEveryMs)));
      if (await this.#reportOnce(action, result)) return;
    }
    this.#deps.log('error', 'the result of an action could not be written', { action: action.action });
  }

  #reportFailed({ action }: Action, error: unknown): void {
    this.#deps.log('error', 'reporting a result failed', { action, error: String(error) });
  }

  /** False when DynamoDB or Step Functions did not answer. */
  async #reportOnce(action: Action, result: ActionResult): Promise<boolean> {
    const finished = await this.#finish(action, result);
    if (finished === 'failed') return false;
    if (finished === 'not-ours') return true;
    const token = finished.taskToken;
    return token === null || (await this.#deps.clients.answerTask(token, result)) === 'told';
  }

  /** A refusal is no proof that another finished it: the first attempt may have landed without an answer. */
  async #finish(
    { operation, action }: Action,
    result: ActionResult,
  ): Promise<Action | 'not-ours' | 'failed'> {
    const { store, incarnation } = this.#deps;
    const finished = await store.finishAction(operation, action, incarnation, result);
    if (finished.kind === 'ok') return finished.value;
    if (finished.kind !== 'refused') return 'failed';
    const read = await store.readOperation(operation, { timeoutMs: 2_000 });
    if (read.kind !== 'ok') return 'failed';
    const item = read.value.actions.find((one) => one.action === action);
    return item?.claimedBy === incarnation && item.result !== null ? item : 'not-ours';
  }
}
