/**
 * The answers that hosts give to an operation which runs without Step Functions: nobody takes task tokens there, so the results
 * that agents write to DynamoDB are looked for, and end the tasks that wait for them. No token is written to an action, for its agent
 * would then offer it to a service that is away, and wait.
 */
import type { ActionResult } from '../../core/model/operation.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { type Conditional, ok } from '../aws/store-answer.ts';
import type { Tasks } from './ports.ts';

/** Clients may be waiting for what comes next. */
const lookEveryMs = 50;
const readTimeoutMs = 2_000;

export class DirectAnswers {
  readonly #tasks: () => Tasks;
  /** By operation and action. */
  readonly #waiting = new Map<string, { operation: string; action: string; token: string }>();
  readonly #schedule: (work: () => void, ms: number) => void;
  #looking = false;
  #closed = false;

  constructor(
    tasks: () => Tasks,
    schedule: (work: () => void, ms: number) => void = (work, ms) => setTimeout(work, ms),
  ) {
    this.#tasks = tasks;
    this.#schedule = schedule;
  }

  /** The same store, but for the tokens, which stay in this process. */
  keeping(store: ClusterStore): ClusterStore {
    return {
      ...store,
      attachTaskToken: async (operation, action, token) => {
        const read = await store.readOperation(operation);
        if (read.kind !== 'ok') return read;
        const found = read.value.actions.find((one) => one.action === action);
        if (found === undefined) return { kind: 'refused' } satisfies Conditional<never>;
        if (found.result === null) this.#await(store, { operation, action, token });
        return ok({ ...found, taskToken: token });
      },
    };
  }

  close(): void {
    this.#closed = true;
  }

  #await(store: ClusterStore, waiting: { operation: string; action: string; token: string }): void {
    this.#waiting.set(`${waiting.operation} ${waiting.action}`, waiting);
    if (this.#looking) return;
    this.#looking = true;
    this.#later(store);
  }

  #later(store: ClusterStore): void {
    this.#schedule(() => void this.#look(store), lookEveryMs);
  }

  /** Ends when nothing is waited for: a task that timed out is forgotten at its answer, or with the run. */
  async #look(store: ClusterStore): Promise<void> {
    const operations = new Set([...this.#waiting.values()].map(({ operation }) => operation));
    for (const operation of operations) {
      const read = await store.readOperation(operation, { timeoutMs: readTimeoutMs });
      if (read.kind !== 'ok') continue;
      for (const { action, result } of read.value.actions)
        if (result !== null) await this.#end(`${operation} ${action}`, result);
    }
    if (this.#closed || this.#waiting.size === 0) this.#looking = false;
    else this.#later(store);
  }

  async #end(key: string, result: ActionResult): Promise<void> {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    if (result.ok) await this.#tasks().succeed(waiting.token, result);
    else await this.#tasks().fail(waiting.token, result.error || 'ActionFailed', result);
  }
}
