/**
 * When a lease keeper reads, and by which kind of read; what an answer means is the keeper's, and the rules are those of
 * `core/lease/lease-reading.ts`. One timer, armed by the end of each read and disarmed by the beginning of the next.
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import type { LeaseWatch } from '../core/lease/lease-clock.ts';
import {
  consistentForMs,
  type Head,
  isMissed,
  mayReadEventually,
  nextReadMs,
  type ReadingState,
  saysOnlyRenewed,
} from '../core/lease/lease-reading.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';

export interface LeaseReadingFacts {
  readonly record: ClusterRecord | null;
  readonly watch: LeaseWatch;
  readonly heartbeatMs: number;
  readonly isHolder: boolean;
  /** It counts on a lease still, whoever holds it. */
  readonly holds: boolean;
  readonly suspicious: boolean;
}

export interface LeaseReadingDeps {
  readonly store: Pick<ClusterStore, 'readHead'>;
  readonly now: () => number;
  readonly facts: () => LeaseReadingFacts;
  readonly readNow: () => void;
}

const holderReadsEveryBeats = 4;
const watcherReadsWithinBeats = 1.5;

export class LeaseReading {
  readonly #deps: LeaseReadingDeps;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #consistentUntilMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  /** Armed by a wake-up that can wait. */
  #hinted: NodeJS.Timeout | null = null;
  #timedOut = true;
  /** Something else than the timer made the read that is under way. */
  #woken = false;

  constructor(deps: LeaseReadingDeps) {
    this.#deps = deps;
  }

  /** At a beat. The holder learns from its renewals, and reads for the record; a watcher has the timer, of which this makes sure. */
  isDue(): boolean {
    const { isHolder, heartbeatMs } = this.#deps.facts();
    const age = this.#deps.now() - this.#readAtMs;
    return age >= heartbeatMs * (isHolder ? holderReadsEveryBeats : watcherReadsWithinBeats);
  }

  /** For news that can wait: a read after so long, unless one begins before. */
  within(ms: number): void {
    this.#hinted ??= setTimeout(() => this.#deps.readNow(), ms);
  }

  begins(): void {
    this.stop();
    this.#hinted = null;
    this.#woken = !this.#timedOut;
    this.#timedOut = false;
  }

  /** True: the lease is suspicious, and time itself is news. */
  ended(): boolean {
    this.#readAtMs = this.#deps.now();
    const { isHolder, watch, heartbeatMs } = this.#deps.facts();
    const state = this.#state();
    const suspicious = state.suspicious || (isMissed(state) && !isHolder);
    const read = { suspicious, woken: this.#woken, isHolder, nowMs: state.nowMs };
    const waitMs = nextReadMs(watch, heartbeatMs, read);
    this.#timer = waitMs === null ? null : setTimeout(() => this.#readByItself(), waitMs);
    return suspicious;
  }

  /**
   * A cheap read, where one may do: what it says when that is "renewed", and nothing else. Null: to be read consistently, now.
   * `unanswered`: nobody answered, and the next read is to be a consistent one.
   */
  async renewal(timeoutMs: number): Promise<Head | 'unanswered' | null> {
    if (!mayReadEventually(this.#state())) return null;
    const answer = await this.#deps.store.readHead({ timeoutMs, eventually: true });
    if (answer.kind === 'ok' && saysOnlyRenewed(this.#state().known, answer.value)) return answer.value;
    this.#consistentUntilMs = this.#deps.now() + consistentForMs;
    return answer.kind === 'ok' ? null : 'unanswered';
  }

  stop(): void {
    for (const timer of [this.#timer, this.#hinted]) clearTimeout(timer ?? undefined);
  }

  #readByItself(): void {
    this.#timedOut = true;
    this.#deps.readNow();
  }

  #state(): ReadingState {
    const { record, watch, heartbeatMs, isHolder, holds, suspicious } = this.#deps.facts();
    return {
      known: { record, lease: watch.lease },
      sinceMs: watch.sinceMs,
      nowMs: this.#deps.now(),
      heartbeatMs,
      holds: isHolder || holds,
      suspicious,
      consistentUntilMs: this.#consistentUntilMs,
    };
  }
}
