/**
 * The agent's side of the lease: it renews a lease that it holds, watches one that it does not, keeps the guard's
 * deadlines and says when a stage of the fence begins. Upholds L3: the deadline counts from *before* a renewal is sent,
 * and only an acknowledged renewal moves it. It never waits for anything but its own store calls, so that no long
 * action of this host can delay a renewal.
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import {
  fenceBudget,
  type Hold,
  type HoldStage,
  holdStage,
  type LeaseWatch,
  nextStageAtMs,
  readIntervalMs,
  renewed,
  startWatch,
  watched,
} from '../core/lease/lease-clock.ts';
import { type LeaseWrite, renew, type Writer } from '../core/lease/lease-write.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import type { Lease, NodeId } from '../core/model/lease.ts';

export interface LeaseView {
  readonly headRead: boolean;
  readonly record: ClusterRecord | null;
  readonly watch: LeaseWatch;
  readonly holdStage: HoldStage;
}

export interface LeaseKeeperDeps {
  readonly store: ClusterStore;
  readonly writer: Writer;
  /** A clock that counts suspension, in ms. */
  readonly now: () => number;
  /** What the holder wants said in its renewals now. */
  readonly renewalChange: (lease: Lease) => { members?: readonly NodeId[]; timeline?: number };
  /** The hold moved: the guard must know (null: nothing to guard). */
  readonly onHold: (hold: Hold | null) => void;
  /** A renewal was acknowledged, or the lease changed by our hand: wake the others. */
  readonly onBaton: () => void;
  /** Something that a decision rests on may have changed. */
  readonly onChange: () => void;
  readonly log: (message: string, fields: Record<string, unknown>) => void;
}

/** What became of a write that this agent made to the lease. */
export type LeaseWriteOutcome =
  | { readonly kind: 'done'; readonly lease: Lease }
  | { readonly kind: 'refused' }
  | { readonly kind: 'uncertain'; readonly message: string };

const defaultHeartbeatMs = 500;
/** Renewals in flight at once: a hung attempt must not stop the next one. */
const maxRenewalsInFlight = 3;

export class LeaseKeeper {
  readonly #deps: LeaseKeeperDeps;
  #watch: LeaseWatch;
  #record: ClusterRecord | null = null;
  #hold: Hold | null = null;
  #headRead = false;
  #reading = false;
  #readAgain = false;
  #renewalsInFlight = 0;
  #suspicious = false;
  #closed = false;
  #heartbeat: NodeJS.Timeout | null = null;
  #readTimer: NodeJS.Timeout | null = null;
  #stageTimer: NodeJS.Timeout | null = null;
  #waiters = new Set<() => void>();

  constructor(deps: LeaseKeeperDeps) {
    this.#deps = deps;
    this.#watch = startWatch(deps.now());
  }

  start(): void {
    this.#beat();
    this.readNow();
  }

  stop(): void {
    this.#closed = true;
    for (const timer of [this.#heartbeat, this.#readTimer, this.#stageTimer]) {
      if (timer !== null) clearTimeout(timer);
    }
    this.#notify();
  }

  view(): LeaseView {
    return {
      headRead: this.#headRead,
      record: this.#record,
      watch: this.#watch,
      holdStage: holdStage(this.#hold, this.#deps.now()),
    };
  }

  /** This agent holds the lease as far as it knows; whether it may be relied on is `view().holdStage`. */
  isHolder(): boolean {
    const lease = this.#watch.lease;
    return (
      lease !== null &&
      lease.state === 'held' &&
      lease.holder === this.#deps.writer.node &&
      lease.incarnation === this.#deps.writer.incarnation
    );
  }

  /** The stream from the primary broke, or an operation runs: read at least every 100 ms. */
  setSuspicious(suspicious: boolean): void {
    if (suspicious === this.#suspicious) return;
    this.#suspicious = suspicious;
    if (suspicious) this.readNow();
  }

  /** A wake-up datagram came, or somebody needs to know now. Coalesced: at most one read is in flight. */
  readNow(): void {
    if (this.#closed) return;
    if (this.#reading) {
      this.#readAgain = true;
      return;
    }
    void this.#read();
  }

  /** Reads lease and record now and returns when they have been read; false when the store did not answer. */
  async refresh(): Promise<boolean> {
    const answer = await this.#deps.store.readHead({ timeoutMs: this.#budget().attemptTimeoutMs });
    if (answer.kind !== 'ok') return false;
    this.#learn(answer.value.record, answer.value.lease);
    return true;
  }

  /**
   * Makes one write to the lease for this host. When the outcome is unknown the lease is read back: a write that
   * landed is recognised by its values; the deadline is never extended by an unanswered write.
   */
  async write(write: LeaseWrite, timeoutMs = 1_000): Promise<LeaseWriteOutcome> {
    const sentAtMs = this.#deps.now();
    const answer = await this.#deps.store.writeLease(write, { timeoutMs });
    if (answer.kind === 'ok') {
      this.#wrote(write, answer.value, sentAtMs);
      return { kind: 'done', lease: answer.value };
    }
    const read = await this.refresh();
    if (answer.kind === 'refused') {
      return this.#landed(write) ? { kind: 'done', lease: this.#watch.lease as Lease } : { kind: 'refused' };
    }
    if (read && this.#landed(write)) return { kind: 'done', lease: this.#watch.lease as Lease };
    return { kind: 'uncertain', message: answer.message };
  }

  /** The record as this agent wrote it or read it elsewhere. */
  learnRecord(record: ClusterRecord): void {
    if (this.#record !== null && record.version < this.#record.version) return;
    this.#record = record;
    this.#notify();
  }

  /** A guard was started anew and knows nothing yet. */
  tellGuard(): void {
    this.#deps.onHold(this.#hold);
  }

  /** Resolves when `test` holds or `timeoutMs` has passed; says which. Woken by each change, never by a poll. */
  async until(test: () => boolean, timeoutMs: number): Promise<boolean> {
    if (test()) return true;
    return await new Promise<boolean>((resolve) => {
      const finish = (met: boolean): void => {
        clearTimeout(timer);
        this.#waiters.delete(check);
        resolve(met);
      };
      const check = (): void => {
        if (this.#closed) finish(false);
        else if (test()) finish(true);
      };
      const timer = setTimeout(() => finish(test()), timeoutMs);
      this.#waiters.add(check);
    });
  }

  /** A write whose answer was lost, or which a retry found already done, has landed when the item says what it set. */
  #landed(write: LeaseWrite): boolean {
    const lease = this.#watch.lease;
    if (lease === null || write.expect === 'absent') return false;
    const set = write.set;
    if (write.kind === 'release') return lease.state === 'released' && lease.epoch === write.expect.epoch;
    if (write.kind === 'acquire') {
      return lease.epoch === set.epoch && lease.incarnation === this.#deps.writer.incarnation;
    }
    return false;
  }

  #wrote(write: LeaseWrite, lease: Lease, sentAtMs: number): void {
    if (write.kind === 'seal' || write.kind === 'fence' || write.kind === 'release') this.#setHold(null);
    else this.#setHold(renewed(this.#hold, lease.epoch, sentAtMs, lease.ttlMs));
    this.#learn(this.#record, lease);
    this.#deps.onBaton();
  }

  #budget(): ReturnType<typeof fenceBudget> {
    return fenceBudget(this.#watch.lease?.ttlMs ?? this.#record?.spec.ttlMs ?? 2_000);
  }

  #heartbeatMs(): number {
    return this.#record?.spec.heartbeatMs ?? defaultHeartbeatMs;
  }

  #beat(): void {
    if (this.#closed) return;
    this.#heartbeat = setTimeout(() => this.#beat(), this.#heartbeatMs());
    if (this.isHolder()) void this.#renew();
    if (!this.#reading) this.readNow();
  }

  async #renew(): Promise<void> {
    const lease = this.#watch.lease;
    if (lease === null || this.#renewalsInFlight >= maxRenewalsInFlight) return;
    this.#renewalsInFlight += 1;
    const sentAtMs = this.#deps.now();
    try {
      const write = renew(lease, this.#deps.writer, this.#deps.renewalChange(lease));
      const answer = await this.#deps.store.writeLease(write, { timeoutMs: this.#budget().attemptTimeoutMs });
      if (this.#closed) return;
      if (answer.kind === 'ok') this.#wrote(write, answer.value, sentAtMs);
      else if (answer.kind === 'refused') await this.#renewalRefused(lease);
      else this.#renewalFailed(answer.kind, answer.message);
    } finally {
      this.#renewalsInFlight -= 1;
    }
  }

  /** The lease is another's, sealed, or was passed on by this agent itself meanwhile. Only a read tells. */
  async #renewalRefused(renewing: Lease): Promise<void> {
    const known = this.#watch.lease;
    const passedOn = known === null || known.epoch !== renewing.epoch || known.state !== 'held';
    if (passedOn) return;
    this.#deps.log('renewal refused', { epoch: renewing.epoch });
    await this.refresh();
    if (this.isHolder() && this.#watch.lease?.epoch === renewing.epoch) return;
    this.#setHold(null);
    this.#notify();
  }

  #renewalFailed(kind: string, message: string): void {
    this.#deps.log('renewal failed', { error_kind: kind, error: message });
    // At once again, not at the next heartbeat: the deadline does not move.
    if (this.isHolder() && holdStage(this.#hold, this.#deps.now()) === 'valid') {
      setTimeout(() => void this.#renew(), 20);
    }
    this.#notify();
  }

  async #read(): Promise<void> {
    this.#reading = true;
    this.#readAgain = false;
    if (this.#readTimer !== null) clearTimeout(this.#readTimer);
    await this.refresh().catch((error: unknown) => {
      this.#deps.log('reading the lease failed', { error: String(error) });
    });
    this.#reading = false;
    if (this.#closed) return;
    if (this.#readAgain) {
      void this.#read();
      return;
    }
    const missed = this.#deps.now() - this.#watch.sinceMs > 1.5 * this.#heartbeatMs();
    const suspicious = this.#suspicious || (missed && !this.isHolder());
    const interval = readIntervalMs(this.#watch, this.#heartbeatMs(), suspicious);
    if (interval < this.#heartbeatMs()) {
      this.#readTimer = setTimeout(() => this.readNow(), interval);
    }
  }

  #learn(record: ClusterRecord | null, lease: Lease | null): void {
    this.#headRead = true;
    if (record !== null && (this.#record === null || record.version >= this.#record.version)) {
      this.#record = record;
    }
    this.#watch = watched(this.#watch, lease, this.#deps.now());
    if (!this.isHolder() && this.#hold !== null) this.#setHold(null);
    this.#notify();
  }

  #setHold(hold: Hold | null): void {
    this.#hold = hold;
    this.#deps.onHold(hold);
    this.#armStage();
  }

  /** A timer for the next stage of the fence: it fires also when every store call hangs. */
  #armStage(): void {
    if (this.#stageTimer !== null) clearTimeout(this.#stageTimer);
    const nowMs = this.#deps.now();
    const atMs = nextStageAtMs(this.#hold, nowMs);
    if (atMs === null || this.#closed) return;
    this.#stageTimer = setTimeout(
      () => {
        this.#notify();
        this.#armStage();
      },
      Math.max(1, atMs - nowMs + 1),
    );
  }

  #notify(): void {
    for (const check of [...this.#waiters]) check();
    if (!this.#closed) this.#deps.onChange();
  }
}
