/**
 * Failsafe mode, the member's side: whether it may promise the holder not to take over, and what that forbids it until when
 * (invariant D2). It promises only where no take-over of its own can be under way: a seal that was sent may land until the lease
 * is seen to have moved on, and so may one of a former agent of this node. What it promised it keeps on its own clock for ttl'
 * from the receipt of the ask: neither seal, nor acquire a lease that was sealed, nor promote. A released lease (its holder
 * stopped first) and a fenced one (proof) end the promise early.
 */
import type { Lease, NodeId } from '../model/lease.ts';
import type { FailsafeAnswer, FailsafeAsk } from './failsafe.ts';
import { sealAfterMs } from './lease-clock.ts';
import type { LeaseWrite } from './lease-write.ts';

export interface GivenPromise {
  readonly epoch: number;
  readonly untilMs: number;
}

/** What this agent remembers. Nothing of it outlives the agent: `startedMs` stands for what a former one may have promised. */
export interface Promises {
  readonly startedMs: number;
  /** A seal or acquire that was decided on this state of the lease may still land. */
  readonly underWay: { readonly epoch: number; readonly seq: number } | null;
  /** A lease has been read since this agent started. */
  readonly read: boolean;
  readonly given: GivenPromise | null;
}

export function startPromises(nowMs: number): Promises {
  return { startedMs: nowMs, underWay: null, read: false, given: null };
}

/** The lease as it is known now. What was decided on an older state can land no more (L2). */
export function sawLease(promises: Promises, lease: Lease | null): Promises {
  if (lease === null) return promises;
  const { epoch, seq, state } = lease;
  const over = promises.given?.epoch === epoch && (state === 'released' || state === 'fenced');
  const given = over ? null : promises.given;
  // A former agent of this node may have sealed what is read first.
  if (!promises.read) return { ...promises, read: true, underWay: { epoch, seq }, given };
  const { underWay } = promises;
  const moved =
    underWay !== null && (epoch > underWay.epoch || (epoch === underWay.epoch && seq > underWay.seq));
  if (!moved && given === promises.given) return promises;
  return { ...promises, underWay: moved ? null : underWay, given };
}

/** To be noted before the write is sent. */
export function sendsWrite(promises: Promises, write: LeaseWrite): Promises {
  if ((write.kind !== 'seal' && write.kind !== 'acquire') || write.expect === 'absent') return promises;
  return { ...promises, underWay: { epoch: write.expect.epoch, seq: write.expect.seq ?? 0 } };
}

/** What a member looks at before it promises. */
export interface PromiseView {
  readonly cluster: string;
  readonly node: NodeId;
  /** As last read. */
  readonly lease: Lease | null;
  /** This node id is registered to another EC2 instance: that one seals, whatever this one promises. */
  readonly registeredElsewhere: boolean;
  readonly promises: Promises;
  readonly ask: FailsafeAsk;
}

interface PromiseRow {
  readonly rule: string;
  readonly when: (view: PromiseView) => boolean;
  readonly promises: boolean;
}

/** First match wins. */
export const promiseTable: readonly PromiseRow[] = [
  { rule: 'another-cluster', when: (v) => v.ask.cluster !== v.cluster, promises: false },
  { rule: 'lease-unread', when: (v) => v.lease === null || !v.promises.read, promises: false },
  { rule: 'holds-the-lease', when: (v) => v.lease?.holder === v.node, promises: false },
  { rule: 'lease-not-held', when: (v) => v.lease?.state !== 'held', promises: false },
  {
    rule: 'not-the-holder',
    when: (v) =>
      v.lease?.holder !== v.ask.holder ||
      v.lease.incarnation !== v.ask.incarnation ||
      v.lease.epoch !== v.ask.epoch,
    promises: false,
  },
  { rule: 'another-ttl', when: (v) => v.lease?.ttlMs !== v.ask.ttlMs, promises: false },
  { rule: 'registered-elsewhere', when: (v) => v.registeredElsewhere, promises: false },
  { rule: 'take-over-under-way', when: (v) => v.promises.underWay !== null, promises: false },
  { rule: 'promised', when: () => true, promises: true },
];

/** The answer, and what this member remembers from now on. `nowMs`: when the ask was received, or later. */
export function answerAsk(
  view: PromiseView,
  nowMs: number,
): { readonly answer: FailsafeAnswer; readonly promises: Promises } {
  const row = promiseTable.find((candidate) => candidate.when(view));
  if (row === undefined)
    throw new Error('InvariantViolation: the table of promises has no row for this state');
  const { ask, node: member } = view;
  const { epoch, incarnation, nonce } = ask;
  const answer = { member, promised: row.promises, rule: row.rule, epoch, incarnation, nonce };
  if (!row.promises) return { answer, promises: view.promises };
  const untilMs = Math.max(nowMs + sealAfterMs(ask.ttlMs), view.promises.given?.untilMs ?? 0);
  return { answer, promises: { ...view.promises, given: { epoch, untilMs } } };
}

export type HeldBack = { readonly rule: 'promised' | 'freshly-started'; readonly untilMs: number };

/** Why this node may not seal, take a lease that was sealed, or promote, and until when; null when it may. */
export function heldBack(promises: Promises, ttlMs: number, nowMs: number): HeldBack | null {
  const { given, startedMs } = promises;
  if (given !== null && nowMs < given.untilMs) return { rule: 'promised', untilMs: given.untilMs };
  const freshUntilMs = startedMs + sealAfterMs(ttlMs);
  return nowMs < freshUntilMs ? { rule: 'freshly-started', untilMs: freshUntilMs } : null;
}

/** A lease that was released or fenced has no holder left to protect. */
export function isHeldBackFrom(write: LeaseWrite, lease: Lease | null): boolean {
  return write.kind === 'seal' || (write.kind === 'acquire' && lease?.state === 'sealed');
}
