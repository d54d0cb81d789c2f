/**
 * The agent's side of the lease: it renews a lease that it holds, watches one that it does not, keeps the guard's
 * deadlines and says when a stage of the fence begins. Upholds L3: the deadline counts from *before* a renewal is sent,
 * and only an acknowledged renewal moves it; once a release was sent, nothing but a write sent later proves the lease again; and
 * a lease that is lost leaves the guard armed until PostgreSQL is known to be down. Upholds L5: after a gap in this loop the lease
 * counts as not proven until a renewal that was sent since is acknowledged. Where DynamoDB does not answer, the promises of all members
 * do for a renewal (D1), and this node keeps its own promises (D2). It never waits for anything but its own calls, so that no long
 * action of this host can delay a renewal.
 */
import type { FailsafeAnswer, FailsafeAsk } from '../core/lease/failsafe.ts';
import {
  fenceBudget,
  type Hold,
  type HoldStage,
  holdStage,
  type LeaseWatch,
  renewed,
  startWatch,
  watched,
} from '../core/lease/lease-clock.ts';
import { type LeaseWrite, recogniseWrite, renew } from '../core/lease/lease-write.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import type { Lease } from '../core/model/lease.ts';
import { FailsafeAsker, noFailsafe } from './failsafe-asker.ts';
import { leaseFacts } from './lease-facts.ts';
import type { LeaseKeeperDeps, LeaseView, LeaseWriteOutcome } from './lease-keeper-deps.ts';
import { LeaseReading } from './lease-reading.ts';
import { LoopWatch } from './loop-watch.ts';
import { PromiseBook } from './promise-book.ts';
import { StageTimer } from './stage-timer.ts';
import { Waiters } from './waiters.ts';

/** When a call was sent: by the clock, by the order of this agent's calls, and how much had been learned by then. */
interface Sent {
  readonly atMs: number;
  readonly order: number;
  readonly learned: number;
}

const defaultHeartbeatMs = 500;
/** Renewals in flight at once: a hung attempt must not stop the next one. */
const maxRenewalsInFlight = 3;
const renewAgainAfterMs = 20;

export class LeaseKeeper {
  readonly #deps: LeaseKeeperDeps;
  #watch: LeaseWatch;
  #record: ClusterRecord | null = null;
  #hold: Hold | null = null;
  /** What the guard was told last; at first it may still know a former agent's deadline. */
  #guarded: Hold | null = null;
  #guardMayBeArmed = true;
  #calls = 0;
  /** The last call before a release was sent or a gap ended: what answers it, or an earlier one, proves nothing any more. */
  #proofOrder = 0;
  /** Rises with each change of what is known of the lease. */
  #learned = 0;
  #headRead = false;
  #answeredMs: number | null = null;
  /** What `onChange` was last told of. */
  #told = '';
  #reading = false;
  #readAgain = false;
  #renewalsInFlight = 0;
  #suspicious = false;
  #closed = false;
  #heartbeat: NodeJS.Timeout | null = null;
  readonly #reads: LeaseReading;
  readonly #stageTimer: StageTimer;
  #retryTimer: NodeJS.Timeout | null = null;
  readonly #waiters = new Waiters();
  readonly #loop = new LoopWatch();
  #gapped = false; // The loop stood still, and no renewal that was sent since has been acknowledged.
  readonly #asker: FailsafeAsker;
  readonly #promises: PromiseBook;

  constructor(deps: LeaseKeeperDeps) {
    this.#deps = deps;
    this.#watch = startWatch(deps.now());
    this.#stageTimer = new StageTimer(deps.now);
    this.#promises = new PromiseBook(deps.now, deps.log);
    this.#reads = new LeaseReading({
      ...{ store: deps.store, now: deps.now, readNow: () => this.readNow() },
      facts: () => ({
        ...{ record: this.#record, watch: this.#watch, heartbeatMs: this.#heartbeatMs() },
        ...{ isHolder: this.isHolder(), holds: this.#hold !== null, suspicious: this.#suspicious },
      }),
    });
    this.#asker = new FailsafeAsker({
      ...{ ...noFailsafe, ...deps.failsafe, ...deps },
      facts: () => ({ record: this.#record, lease: this.#watch.lease, hold: this.#hold }),
      letsGo: (lease) => deps.renewalChange(lease) === null,
      extend: (...by) => {
        this.#setHold(renewed(this.#hold, ...by));
        this.#notify();
      },
    });
  }

  start(): void {
    this.#beat();
  }

  stop(): void {
    this.#closed = true;
    for (const timer of [this.#heartbeat, this.#retryTimer]) {
      if (timer !== null) clearTimeout(timer);
    }
    this.#reads.stop();
    this.#stageTimer.stop();
    this.#asker.stop();
    this.#waiters.close();
  }

  view(): LeaseView {
    this.#noticeGap();
    return {
      headRead: this.#headRead,
      record: this.#record,
      watch: this.#watch,
      holdStage: this.#stage(),
      answeredMs: this.#answeredMs,
      failsafe: this.#asker.view(),
      heldBack: this.#promises.heldBack(this.#ttlMs()),
    };
  }

  /** Another node that holds the lease asks this one not to take over. `registeredElsewhere`: this node id is another host's now. */
  answerFailsafe(ask: FailsafeAsk, cluster: string, registeredElsewhere: boolean): FailsafeAnswer {
    const member = { cluster, registeredElsewhere, node: this.#deps.writer.node, lease: this.#watch.lease };
    return this.#promises.answer(member, ask);
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
    if (this.#reading) this.#readAgain = true;
    else void this.#read();
  }

  /** The same within `ms`, for news that can wait. */
  readIn(ms: number): void {
    this.#reads.within(ms);
  }

  /** Reads lease and record now and returns when they have been read; false when the store did not answer. */
  async refresh(): Promise<boolean> {
    const sent = this.#send();
    const answer = await this.#deps.store.readHead({ timeoutMs: this.#budget().attemptTimeoutMs });
    if (answer.kind !== 'ok') return false;
    this.#learn(answer.value.record, answer.value.lease, sent);
    return true;
  }

  /**
   * Makes one write to the lease for this host. When the outcome is unknown the lease is read back: a write that landed is recognised by its
   * values, and then renewed before it counts. A release that was sent may land at any later moment, so from then on the lease counts as not
   * proven, until a write that was sent later is acknowledged: that one makes the release's condition fail for good. What a
   * promise forbids is not sent.
   */
  async write(write: LeaseWrite, timeoutMs = 1_000): Promise<LeaseWriteOutcome> {
    if (this.#promises.sends(write, this.#watch.lease, this.#ttlMs()) !== null) return { kind: 'refused' };
    const sent = this.#send();
    if (write.kind === 'release') {
      this.#proofOrder = sent.order;
      this.#setHold(null);
      this.#asker.ended('the lease is released');
    }
    const answer = await this.#deps.store.writeLease(write, { timeoutMs });
    if (answer.kind === 'ok') {
      this.#wrote(write, answer.value, sent);
      return { kind: 'done', lease: answer.value };
    }
    const lease = (await this.refresh()) ? recogniseWrite(this.#watch.lease, write, this.#deps.writer) : null;
    if (lease !== null) {
      // Which attempt landed is not known, and it may be one of long ago: that proves nothing about now. A renewal does.
      this.#learn(this.#record, lease, sent);
      this.#deps.onBaton();
      if (write.kind !== 'release') await this.#renew();
      return { kind: 'done', lease };
    }
    return answer.kind === 'refused' ? answer : { kind: 'uncertain', message: answer.message };
  }

  /** The record as this agent wrote it or read it elsewhere. */
  learnRecord(record: ClusterRecord): void {
    if (this.#record !== null && record.version < this.#record.version) return;
    this.#record = record;
    this.#notify();
  }

  /** A guard was started anew and knows nothing yet. */
  tellGuard(): void {
    this.#deps.onHold(this.#guarded);
  }

  /** PostgreSQL is known to be down, or a standby: the deadline of a lease that was lost guards nothing any more. */
  notWritable(): void {
    if (this.#hold !== null) return;
    if (this.#guardMayBeArmed) this.#setHold(null);
    this.#deps.onNotWritable?.();
  }

  /** Resolves when `test` holds or `timeoutMs` has passed; says which. Woken by each change, never by a poll. */
  until(test: () => boolean, timeoutMs: number): Promise<boolean> {
    return this.#waiters.until(test, timeoutMs);
  }

  #send(): Sent {
    this.#calls += 1;
    return { atMs: this.#deps.now(), order: this.#calls, learned: this.#learned };
  }

  #wrote(write: LeaseWrite, lease: Lease, sent: Sent): void {
    if (this.#closed) return;
    this.#noticeGap();
    const proves = !['seal', 'fence', 'release', 'name-successor'].includes(write.kind);
    if (proves && sent.order > this.#proofOrder) {
      this.#setHold(renewed(this.#hold, lease.epoch, sent.atMs, lease.ttlMs));
      this.#asker.acknowledged(sent.order);
    }
    this.#learn(this.#record, lease, sent);
    this.#deps.onBaton();
  }

  #ttlMs(): number {
    return this.#watch.lease?.ttlMs ?? this.#record?.spec.ttlMs ?? 2_000;
  }

  #budget(): ReturnType<typeof fenceBudget> {
    return fenceBudget(this.#ttlMs());
  }

  /** After a gap nothing better than `unready` until a renewal sent since is acknowledged (L5): the worse stages come by the clock alone. */
  #stage(): HoldStage {
    const stage = holdStage(this.#hold, this.#deps.now());
    return stage === 'valid' && this.#gapped ? 'unready' : stage;
  }

  #noticeGap(): void {
    const ms = this.#loop.gap(this.#deps.now(), { heartbeatMs: this.#heartbeatMs(), ttlMs: this.#ttlMs() });
    if (ms === null || this.#closed) return;
    this.#proofOrder = this.#calls;
    this.#gapped = this.#hold !== null;
    this.#deps.log('loop gap', { ms: Math.round(ms), holder: this.isHolder() });
    this.#asker.gapped();
    void this.#renew();
    this.readNow();
  }

  #heartbeatMs(): number {
    return this.#record?.spec.heartbeatMs ?? defaultHeartbeatMs;
  }

  #beat(): void {
    if (this.#closed) return;
    this.#noticeGap();
    this.#loop.beat(this.#deps.now(), this.#heartbeatMs());
    this.#heartbeat = setTimeout(() => this.#beat(), this.#heartbeatMs());
    if (this.isHolder()) void this.#renew();
    if (!this.#reading && this.#reads.isDue()) this.readNow();
  }

  async #renew(): Promise<void> {
    const lease = this.#watch.lease;
    if (lease === null || this.#closed || !this.isHolder()) return;
    const change = this.#deps.renewalChange(lease);
    if (change === null || this.#renewalsInFlight >= maxRenewalsInFlight) return;
    this.#renewalsInFlight += 1;
    const sent = this.#send();
    try {
      const write = renew(lease, this.#deps.writer, change);
      if (write.set.members !== undefined) this.#asker.offers(sent.order, write.set.members);
      const answer = await this.#deps.store.writeLease(write, { timeoutMs: this.#budget().attemptTimeoutMs });
      if (this.#closed) return;
      if (answer.kind === 'ok') this.#wrote(write, answer.value, sent);
      else if (answer.kind === 'refused') await this.#renewalRefused(lease);
      else this.#renewalFailed(answer.kind, answer.message);
    } catch (error) {
      // A bug must not end the agent while it holds the lease: the deadline stands, and the fence comes in time.
      this.#deps.log('renewal failed', { error_kind: 'InvariantViolation', error: String(error) });
    } finally {
      this.#renewalsInFlight -= 1;
    }
  }

  /** The lease is another's, sealed, or was passed on by this agent itself meanwhile. Only a read tells. */
  async #renewalRefused(renewing: Lease): Promise<void> {
    this.#asker.refused();
    const known = this.#watch.lease;
    const passedOn = known === null || known.epoch !== renewing.epoch || known.state !== 'held';
    if (passedOn) return;
    this.#deps.log('renewal refused', { epoch: renewing.epoch });
    if (!(await this.refresh())) this.readNow();
  }

  #renewalFailed(kind: string, message: string): void {
    this.#deps.log('renewal failed', { error_kind: kind, error: message });
    this.#asker.renewalFailed();
    const stage = this.#stage();
    // At once again, not at the next heartbeat: the deadline does not move, but by the promises of all members.
    const moves = this.#asker.view().active && !this.#gapped;
    if (this.#retryTimer === null && stage !== 'none' && stage !== 'expired' && !moves) {
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = null;
        void this.#renew();
      }, renewAgainAfterMs);
    }
    this.#notify();
  }

  async #read(): Promise<void> {
    this.#reading = true;
    this.#readAgain = false;
    this.#reads.begins();
    await this.#look().catch((error: unknown) => {
      this.#deps.log('reading the lease failed', { error: String(error) });
    });
    this.#reading = false;
    if (this.#closed) return;
    const suspicious = this.#reads.ended();
    if (this.#readAgain) void this.#read();
    // Time itself is news to who waits for silence to be long enough.
    else if (suspicious) this.#deps.onChange();
  }

  /** What a cheap read says beyond "renewed" is learned of a consistent one. */
  async #look(): Promise<void> {
    const sent = this.#send();
    const seen = await this.#reads.renewal(this.#budget().attemptTimeoutMs);
    if (seen === null) await this.refresh();
    else if (seen !== 'unanswered') this.#learn(seen.record, seen.lease, sent);
  }

  #learn(record: ClusterRecord | null, lease: Lease | null, sent: Sent): void {
    if (this.#closed) return;
    this.#headRead = true;
    this.#answeredMs = this.#deps.now();
    if (record !== null && (this.#record === null || record.version >= this.#record.version)) {
      this.#record = record;
    }
    const watch = watched(this.#watch, lease, this.#deps.now(), sent.learned === this.#learned);
    if (watch !== this.#watch) this.#learned += 1;
    this.#watch = watch;
    this.#promises.saw(watch.lease);
    if (!this.isHolder() && this.#hold !== null) this.#lose();
    this.#notify();
  }

  #setHold(hold: Hold | null): void {
    this.#hold = hold;
    this.#gapped = false;
    this.#guarded = hold;
    this.#guardMayBeArmed = hold !== null;
    this.#deps.onHold(hold);
    this.#armStage();
  }

  /** The guard stays armed: this agent may die before it has ended PostgreSQL. `notWritable` disarms it. */
  #lose(): void {
    this.#hold = null;
    this.#asker.ended('the lease is lost');
    this.#armStage();
  }

  #armStage(): void {
    this.#stageTimer.arm(this.#hold, () => {
      if (holdStage(this.#hold, this.#deps.now()) === 'expired') this.#asker.ended('the deadline has passed');
      this.#notify();
    });
  }

  /** Who waits is always asked; `onChange` hears only of what a decision can depend on. */
  #notify(): void {
    this.#waiters.ask();
    const text = leaseFacts(this.#headRead, this.#record, this.#watch.lease, this.#stage());
    if (this.#closed || text === this.#told) return;
    this.#told = text;
    this.#deps.onChange();
  }
}
