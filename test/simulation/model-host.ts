/**
 * A database host of the simulated world: an agent that renews or watches the lease, claims its actions and executes them by a
 * simple model of PostgreSQL (a position, a timeline, writable or not). The lease writes are the production ones.
 */
import { type LeaseWatch, maySeal, startWatch, watched } from '../../core/lease/lease-clock.ts';
import {
  acquire,
  announce,
  type LeaseWrite,
  release,
  renew,
  seal,
  type Writer,
  withdraw,
} from '../../core/lease/lease-write.ts';
import type { Lease } from '../../core/model/lease.ts';
import { formatLsn, type Lsn, lsnOf } from '../../core/model/lsn.ts';
import type { Action, ActionResult, ActionVerb } from '../../core/model/operation.ts';
import type { HistoryEntry } from '../../core/model/timeline.ts';
import { sampleNodeReport, sampleRecord } from '../support/samples.ts';
import type { OperationWorld } from './operation-world.ts';

/** What this host does instead of what it is ordered to do. */
export type Misbehaviour =
  /** Answers that it failed, before it has done anything. */
  | 'refuses'
  /** Claims the action and is never heard of again. */
  | 'hangs'
  /** acquire-and-promote: takes the lease, cannot promote, gives it back. */
  | 'gives-back'
  /** acquire-and-promote: takes the lease, then its host dies. */
  | 'dies-holding';

export interface HostOptions {
  readonly id: string;
  readonly lsn: bigint;
  readonly primary?: boolean;
  readonly misbehaves?: Partial<Record<ActionVerb, Misbehaviour>>;
}

export const renewEveryMs = 500;
const lookEveryMs = 100;
const workMs = 20;
/** The shutdown checkpoint's record. */
const recordBytes = 120n;

export class ModelHost {
  readonly id: string;
  readonly instanceId: string;
  readonly writer: Writer;
  alive = true;
  /** Cut off from DynamoDB, Run Command and everybody: it lives, and nobody can tell. */
  isolated = false;
  postgres: 'primary' | 'standby' | 'stopped';
  lsn: bigint;
  timeline = 1;
  history: readonly HistoryEntry[] = [];
  /** Of the data. */
  epoch = 1;
  fencedEpoch = 0;
  receiverEnded = false;
  readonly executed: string[] = [];
  readonly #misbehaves: Partial<Record<ActionVerb, Misbehaviour>>;
  readonly #world: OperationWorld;
  #watch: LeaseWatch;
  #lastRenewalMs = 0;
  #reports = 0;

  constructor(world: OperationWorld, options: HostOptions) {
    this.#world = world;
    this.id = options.id;
    this.instanceId = `i-${options.id}`;
    this.writer = { node: options.id, incarnation: `inc-${options.id}` };
    this.postgres = options.primary ? 'primary' : 'standby';
    this.lsn = options.lsn;
    this.#misbehaves = options.misbehaves ?? {};
    this.#watch = startWatch(world.clock.now());
  }

  /** Agent and PostgreSQL at once. */
  die(): void {
    this.alive = false;
    this.postgres = 'stopped';
  }

  /** The life of the agent: a look at the lease every 100 ms. */
  live(): void {
    const turn = async () => {
      if (this.alive && !this.isolated) await this.#look();
      this.#world.clock.setTimeout(() => void turn(), lookEveryMs);
    };
    void turn();
  }

  get lease(): Lease {
    const { lease } = this.#world.table;
    if (lease === null) throw new Error('the simulated cluster has a lease');
    return lease;
  }

  async report(): Promise<void> {
    this.#reports += 1;
    const primary = this.postgres === 'primary';
    await this.#world.store.putNodeReport({
      ...sampleNodeReport,
      node: this.id,
      incarnation: this.writer.incarnation,
      instanceId: this.instanceId,
      seq: this.#reports,
      role: this.postgres === 'stopped' ? 'none' : this.postgres,
      postgres: this.postgres === 'stopped' ? 'stopped' : 'running',
      systemIdentifier: sampleRecord.systemIdentifier,
      timeline: this.timeline,
      epoch: this.epoch,
      lsn: lsnOf(this.lsn),
      replayLsn: lsnOf(this.lsn),
      lagBytes: 0,
      streaming: this.postgres === 'standby' && !this.receiverEnded,
      upstream: primary ? null : this.lease.holder,
    });
  }

  async #look(): Promise<void> {
    const nowMs = this.#world.clock.now();
    this.#watch = watched(this.#watch, this.lease, nowMs);
    const held = this.lease.state === 'held' && this.lease.holder === this.id;
    const mine = held && this.lease.incarnation === this.writer.incarnation;
    if (mine && nowMs - this.#lastRenewalMs >= renewEveryMs) {
      this.#lastRenewalMs = nowMs;
      await this.#write(renew(this.lease, this.writer));
    }
    if (!mine && this.postgres === 'primary') this.postgres = 'stopped';
    if (maySeal(this.#watch, this.id, nowMs)) await this.#write(seal(this.lease));
    this.#rejoin();
    await this.#act();
  }

  /** What agents do by themselves: follow the recorded primary of the current epoch. */
  #rejoin(): void {
    const { record } = this.#world.table;
    const recorded = record?.epochs.find(({ epoch }) => epoch === this.lease.epoch);
    if (this.lease.state !== 'held' || this.lease.holder === this.id || recorded === undefined) return;
    const primary = this.#world.host(this.lease.holder);
    if (!primary.alive || primary.postgres !== 'primary') return;
    this.postgres = 'standby';
    this.receiverEnded = false;
    this.#copy(primary);
  }

  #copy(primary: ModelHost): void {
    this.lsn = primary.lsn;
    this.epoch = primary.epoch;
    this.timeline = primary.timeline;
    this.history = primary.history;
  }

  async #act(): Promise<void> {
    const current = this.#world.table.record?.operation?.id;
    if (current === undefined) return;
    const waiting = [...this.#world.table.actions.values()].filter(
      ({ operation, node, status }) => operation === current && node === this.id && status === 'ordered',
    );
    for (const action of waiting) {
      const stale =
        ['stop-and-release', 'end-receiver'].includes(action.verb) && this.lease.epoch > action.epoch;
      if (stale) continue;
      const claimed = await this.#world.store.claimAction(
        action.operation,
        action.action,
        this.writer.incarnation,
      );
      if (claimed.kind === 'ok') void this.#execute(claimed.value);
    }
  }

  async #execute(action: Action): Promise<void> {
    this.executed.push(action.action);
    await this.#world.sleep(workMs);
    const misbehaviour = this.#misbehaves[action.verb];
    if (misbehaviour === 'hangs' || !this.alive) return;
    const outcome =
      misbehaviour === 'refuses' ? failed('refused') : await this.#carryOut(action, misbehaviour);
    if (!this.alive || this.isolated) return;
    const result = { error: '', message: '', ms: workMs, ...outcome };
    const finished = await this.#world.store.finishAction(
      action.operation,
      action.action,
      this.writer.incarnation,
      result,
    );
    if (finished.kind === 'ok' && finished.value.taskToken !== null)
      await this.#world.answer(finished.value.taskToken, result);
  }

  async #carryOut(action: Action, misbehaviour: Misbehaviour | undefined): Promise<Outcome> {
    switch (action.verb) {
      case 'checkpoint':
      case 'await-catchup':
      case 'follow':
      case 'pause':
      case 'resume':
        return { ok: true };
      case 'end-receiver':
        if (this.postgres === 'primary') return failed('is-primary');
        this.receiverEnded = true;
        return { ok: true, timeline: this.timeline, epoch: this.epoch, ...this.#position() };
      case 'stop-and-release':
        return await this.#stopAndRelease(action);
      case 'acquire-and-promote':
        return await this.#acquireAndPromote(action, misbehaviour);
    }
  }

  #position(): { receivedLsn: string; replayedLsn: string } {
    return { receivedLsn: formatLsn(lsnOf(this.lsn)), replayedLsn: formatLsn(lsnOf(this.lsn)) };
  }

  async #stopAndRelease(action: Action): Promise<Outcome> {
    const target = action.args.node ?? '';
    const armed = () =>
      (action.args.armed ?? []).every(
        (id) => this.#world.table.actions.get(`${action.operation}#${id}`)?.claimedBy != null,
      );
    if (!(await this.#until(armed, 10_000))) return failed('not-armed');
    if (this.lease.holder !== this.id || this.lease.state !== 'held') return failed('not-holder');
    await this.#write(announce(this.lease, this.writer, action.operation, target));
    await this.#world.sleep(workMs);
    if (!this.alive) return failed('dead');
    this.postgres = 'stopped';
    const releasedAtLsn = lsnOf(this.lsn);
    this.lsn += recordBytes;
    for (const host of this.#world.hosts)
      if (host.postgres === 'standby' && host.alive && !host.receiverEnded) host.#copy(this);
    const given = await this.#write(
      release(this.lease, this.writer, { operation: action.operation, successor: target, releasedAtLsn }),
    );
    if (!given) {
      await this.#write(withdraw(this.lease, this.writer));
      return failed('not-released');
    }
    return { ok: true, releasedAtLsn: formatLsn(releasedAtLsn) };
  }

  async #acquireAndPromote(action: Action, misbehaviour: Misbehaviour | undefined): Promise<Outcome> {
    const forMe = () =>
      this.lease.state !== 'held' &&
      this.lease.successor === this.id &&
      this.lease.operation === action.operation;
    const over = () => this.#world.table.record?.operation?.id !== action.operation;
    if (!(await this.#until(() => forMe() || over(), action.timeoutMs)) || over())
      return { ...failed('lease-not-free'), neverPromoted: true };
    const releasedAt = this.lease.releasedAtLsn;
    const behind = releasedAt !== null && this.lsn <= releasedAt;
    if (behind || this.lease.epoch + 1 <= this.fencedEpoch) return failed('not-caught-up');
    const { members, sync, ttlMs } = this.lease;
    if (!(await this.#write(acquire(this.lease, this.writer, action.operation, { ttlMs, members, sync }))))
      return failed('lease-lost');
    if (misbehaviour === 'dies-holding') this.die();
    if (misbehaviour === 'gives-back') return await this.#giveBack(action, releasedAt);
    return this.alive ? await this.#promote() : failed('dead');
  }

  async #giveBack(action: Action, releasedAtLsn: Lsn | null): Promise<Outcome> {
    this.postgres = 'stopped';
    const stopped = { operation: action.operation, successor: null, releasedAtLsn, neverPromoted: true };
    await this.#write(release(this.lease, this.writer, stopped));
    return { ...failed('promotion-failed'), neverPromoted: true };
  }

  async #promote(): Promise<Outcome> {
    await this.#world.sleep(workMs);
    if (!this.alive) return failed('dead');
    const { epoch } = this.lease;
    const known = this.#world.table.record?.epochs ?? [];
    const forkLsn = lsnOf(this.lsn);
    this.history = [...this.history, { timeline: this.timeline, switchLsn: forkLsn, reason: '' }];
    this.timeline = Math.max(this.timeline, ...known.map((one) => one.timeline)) + 1;
    this.epoch = epoch;
    this.postgres = 'primary';
    this.#lastRenewalMs = this.#world.clock.now();
    await this.#write({ ...renew(this.lease, this.writer), set: { timeline: this.timeline } });
    const record = { epoch, node: this.id, timeline: this.timeline, forkLsn, history: this.history };
    await this.#world.store.updateRecord({ expect: {}, set: { epochs: [...known, record] } });
    this.lsn += recordBytes;
    return { ok: true, epoch, timeline: this.timeline, forkLsn: formatLsn(forkLsn) };
  }

  /** Waits for something to become true; false when it has not in time, or this host died. */
  async #until(holds: () => boolean, limitMs: number): Promise<boolean> {
    const deadlineMs = this.#world.clock.now() + limitMs;
    while (!holds()) {
      if (!this.alive || this.#world.clock.now() > deadlineMs) return false;
      await this.#world.sleep(10);
    }
    return this.alive && !this.isolated;
  }

  async #write(write: LeaseWrite): Promise<boolean> {
    const answer = await this.#world.store.writeLease(write);
    this.#world.check();
    return answer.kind === 'ok';
  }
}

type Outcome = Pick<ActionResult, 'ok'> & Partial<ActionResult>;

function failed(error: string): Outcome {
  return { ok: false, error, message: error };
}
