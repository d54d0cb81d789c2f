/**
 * Events on their way to DynamoDB. What cannot be written now is kept in memory, up to a bound, and written when DynamoDB answers
 * again, with the time at which it happened: an outage is part of the history that it interrupted. An agent that ends loses what
 * it had not written; all of it is in its log.
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import type { ClusterEvent } from '../core/model/cluster-event.ts';

export interface EventOutboxDeps {
  readonly store: Pick<ClusterStore, 'putEvent'>;
  readonly log: (message: string, fields: Record<string, unknown>) => void;
}

/** Kept at once, those that are being written included; more are in the log only. */
const mostKept = 200;
const mostAtOnce = 20;
/** Clients may be waiting for what an operation's event tells of: it is written when they are not. Its time is that at which it happened. */
const laterMs = 300;
const writeTimeoutMs = 2_000;
/** Between attempts with the oldest event while DynamoDB is away. */
const retryMs = [500, 1_000, 2_000, 5_000] as const;

interface Kept {
  readonly order: number;
  readonly event: ClusterEvent;
}

export class EventOutbox {
  readonly #deps: EventOutboxDeps;
  #kept: Kept[] = [];
  #added = 0;
  #writing = 0;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  #later: NodeJS.Timeout | null = null;

  constructor(deps: EventOutboxDeps) {
    this.#deps = deps;
  }

  add(event: ClusterEvent): void {
    if (this.#kept.length + this.#writing >= mostKept) {
      this.#deps.log('event not kept', { event: event.kind });
      return;
    }
    this.#added += 1;
    this.#kept.push({ order: this.#added, event });
    if (event.operation === null) this.#pump();
    else this.#later ??= setTimeout(() => this.#pump(), laterMs).unref();
  }

  #pump(): void {
    if (this.#later !== null) clearTimeout(this.#later);
    this.#later = null;
    // While DynamoDB is away one event at a time asks whether it is back.
    if (this.#timer !== null) return;
    const most = this.#failures === 0 ? mostAtOnce : 1;
    while (this.#writing < most) {
      const next = this.#kept.shift();
      if (next === undefined) return;
      this.#writing += 1;
      void this.#write(next);
    }
  }

  async #write(kept: Kept): Promise<void> {
    const { event } = kept;
    const failure = await this.#deps.store.putEvent(event, { timeoutMs: writeTimeoutMs }).then(
      (answer) => (answer.kind === 'ok' ? null : answer.kind),
      // Not to be tried again: what is wrong with it will be wrong then too.
      (error: unknown) => {
        this.#deps.log('event not written', { event: event.kind, error: String(error) });
        return null;
      },
    );
    this.#writing -= 1;
    if (failure === null) {
      this.#failures = 0;
      this.#pump();
      return;
    }
    if (this.#failures === 0)
      this.#deps.log('event not written yet', { event: event.kind, error_kind: failure });
    this.#failures += 1;
    this.#kept = [kept, ...this.#kept].sort((a, b) => a.order - b.order);
    if (this.#timer !== null) return;
    const waitMs = retryMs[Math.min(this.#failures, retryMs.length) - 1] ?? 5_000;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#pump();
    }, waitMs);
    this.#timer.unref();
  }
}
