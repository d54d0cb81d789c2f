/**
 * Every write that may ever be made to the lease item, as data: what must be found there, and what is set. The
 * DynamoDB adapter turns a `LeaseWrite` into one conditional UpdateItem; the simulator and the model tests apply the
 * same value to memory with `applyLeaseWrite`. Upholds L1 (one holder an epoch) and L2 (a delayed write never lands
 * on a newer state): all writes but a renewal that changes nothing name the `seq` they were decided on.
 *
 * | write          | by whom             | expects                                             | leads to           |
 * |----------------|---------------------|-----------------------------------------------------|--------------------|
 * | create         | the bootstrap winner | no item                                            | held, epoch 1      |
 * | adopt          | the holder's new agent | holder me, held, seq seen                         | held, my incarnation |
 * | renew          | the holder          | holder, incarnation, epoch mine, held               | held               |
 * | announce       | the holder          | as renew, and seq seen                              | held, successor named |
 * | withdraw       | the holder          | as renew, and seq seen                              | held, no successor |
 * | release        | the holder          | as renew, and seq seen; PostgreSQL is down           | released           |
 * | seal           | another member      | held, epoch and seq watched unchanged for ttl'      | sealed             |
 * | fence          | whoever has proof   | epoch, seq seen before the proof began, or sealed   | fenced             |
 * | name-successor | the decider         | not held, epoch and seq seen                        | same state, successor named |
 * | acquire        | the successor       | not held, epoch and seq seen, successor and operation mine | held, epoch + 1 |
 */
import {
  asynchronous,
  type Lease,
  type LeaseState,
  type NodeId,
  type SynchronousSet,
} from '../model/lease.ts';
import type { Lsn } from '../model/lsn.ts';

export interface LeaseExpectation {
  readonly states: readonly LeaseState[];
  readonly epoch: number;
  readonly seq?: number;
  readonly holder?: NodeId;
  readonly incarnation?: string;
  readonly successor?: NodeId;
  readonly operation?: string;
}

export interface LeaseWrite {
  readonly kind:
    | 'create'
    | 'adopt'
    | 'renew'
    | 'announce'
    | 'withdraw'
    | 'release'
    | 'seal'
    | 'fence'
    | 'name-successor'
    | 'acquire';
  /** `absent`: the item must not exist. */
  readonly expect: LeaseExpectation | 'absent';
  /** The attributes that change; `seq` always rises by one and is not listed. */
  readonly set: Partial<Omit<Lease, 'seq'>>;
}

/** Who writes: a node and the random incarnation of its agent. */
export interface Writer {
  readonly node: NodeId;
  readonly incarnation: string;
}

export function createLease(
  writer: Writer,
  first: { ttlMs: number; timeline: number; members: readonly NodeId[]; sync?: SynchronousSet },
): LeaseWrite {
  return {
    kind: 'create',
    expect: 'absent',
    set: {
      holder: writer.node,
      incarnation: writer.incarnation,
      epoch: 1,
      ttlMs: first.ttlMs,
      state: 'held',
      operation: null,
      successor: null,
      timeline: first.timeline,
      releasedAtLsn: null,
      neverPromoted: false,
      members: first.members,
      sync: first.sync ?? asynchronous,
    },
  };
}

/** A restarted agent takes over the lease that its predecessor on the same node still holds. */
export function adopt(seen: Lease, writer: Writer): LeaseWrite {
  return {
    kind: 'adopt',
    expect: { states: ['held'], epoch: seen.epoch, seq: seen.seq, holder: writer.node },
    set: { incarnation: writer.incarnation, operation: null, successor: null },
  };
}

function asHolder(seen: Lease, writer: Writer): LeaseExpectation {
  return { states: ['held'], epoch: seen.epoch, holder: writer.node, incarnation: writer.incarnation };
}

/**
 * Not conditional on `seq`, so that repeating a renewal whose answer was lost is harmless; but one that changes something is,
 * for landing late it would undo a newer change. Refused, it says less than a plain one: read before believing that the lease is lost.
 */
export function renew(
  seen: Lease,
  writer: Writer,
  change: {
    readonly members?: readonly NodeId[];
    readonly timeline?: number;
    readonly sync?: SynchronousSet;
  } = {},
): LeaseWrite {
  const changes = Object.keys(change).length > 0;
  return {
    kind: 'renew',
    expect: { ...asHolder(seen, writer), ...(changes ? { seq: seen.seq } : {}) },
    set: change,
  };
}

/** The holder tells successor and proxies that it is about to stop for `operation`. */
export function announce(seen: Lease, writer: Writer, operation: string, successor: NodeId): LeaseWrite {
  return {
    kind: 'announce',
    expect: { ...asHolder(seen, writer), seq: seen.seq },
    set: { operation, successor },
  };
}

export function withdraw(seen: Lease, writer: Writer): LeaseWrite {
  return {
    kind: 'withdraw',
    expect: { ...asHolder(seen, writer), seq: seen.seq },
    set: { operation: null, successor: null },
  };
}

export interface Release {
  readonly operation: string | null;
  readonly successor: NodeId | null;
  /** From pg_control after a clean shutdown; null when PostgreSQL was killed. */
  readonly releasedAtLsn: Lsn | null;
  readonly neverPromoted?: boolean;
}

/** PostgreSQL must be known to be down before this is sent. */
export function release(seen: Lease, writer: Writer, stopped: Release): LeaseWrite {
  return {
    kind: 'release',
    expect: { ...asHolder(seen, writer), seq: seen.seq },
    set: {
      state: 'released',
      operation: stopped.operation,
      successor: stopped.successor,
      releasedAtLsn: stopped.releasedAtLsn,
      neverPromoted: stopped.neverPromoted ?? false,
      // Nothing was acknowledged in its epoch: who must be heard is whoever had to be heard before.
      ...(stopped.neverPromoted ? { sync: { ...seen.sync, next: null } } : {}),
    },
  };
}

/** Only a lease that is `held`: one that was released stays so, or its LSN would be lost. */
export function seal(seen: Lease): LeaseWrite {
  return {
    kind: 'seal',
    expect: { states: ['held'], epoch: seen.epoch, seq: seen.seq },
    set: { state: 'sealed', operation: null, successor: null, releasedAtLsn: null },
  };
}

/**
 * `seenBeforeProof` is the lease as it was read before the proof was begun. A hand-over that was announced is void: its armed
 * successor was chosen for a clean stop, and another standby may hold more. A successor named after a seal stays.
 */
export function fence(seenBeforeProof: Lease): LeaseWrite {
  const { state, epoch, seq } = seenBeforeProof;
  if (state === 'sealed') {
    return {
      kind: 'fence',
      expect: { states: ['sealed'], epoch },
      set: { state: 'fenced', releasedAtLsn: null },
    };
  }
  return {
    kind: 'fence',
    expect: { states: ['held'], epoch, seq },
    set: { state: 'fenced', operation: null, successor: null, releasedAtLsn: null },
  };
}

export function nameSuccessor(seen: Lease, operation: string, successor: NodeId): LeaseWrite {
  return {
    kind: 'name-successor',
    expect: { states: ['released', 'sealed', 'fenced'], epoch: seen.epoch, seq: seen.seq },
    set: { operation, successor },
  };
}

export function acquire(
  seen: Lease,
  writer: Writer,
  operation: string,
  next: { ttlMs: number; members: readonly NodeId[]; sync: SynchronousSet },
): LeaseWrite {
  return {
    kind: 'acquire',
    expect: {
      states: ['released', 'sealed', 'fenced'],
      epoch: seen.epoch,
      seq: seen.seq,
      successor: writer.node,
      operation,
    },
    set: {
      holder: writer.node,
      incarnation: writer.incarnation,
      epoch: seen.epoch + 1,
      ttlMs: next.ttlMs,
      state: 'held',
      operation: null,
      successor: null,
      releasedAtLsn: null,
      neverPromoted: false,
      members: next.members,
      sync: next.sync,
    },
  };
}

function meets(lease: Lease, expected: LeaseExpectation): boolean {
  return (
    expected.states.includes(lease.state) &&
    lease.epoch === expected.epoch &&
    (expected.seq === undefined || lease.seq === expected.seq) &&
    (expected.holder === undefined || lease.holder === expected.holder) &&
    (expected.incarnation === undefined || lease.incarnation === expected.incarnation) &&
    (expected.successor === undefined || lease.successor === expected.successor) &&
    (expected.operation === undefined || lease.operation === expected.operation)
  );
}

/**
 * The reference semantics of a write: the item after it, or null when the condition does not hold. A condition that
 * fails is an answer, not an error: the loser reads again before it does anything.
 */
export function applyLeaseWrite(current: Lease | null, write: LeaseWrite): Lease | null {
  if (write.expect === 'absent') {
    return current === null ? ({ ...write.set, seq: 1 } as Lease) : null;
  }
  if (current === null || !meets(current, write.expect)) return null;
  return { ...current, ...write.set, seq: current.seq + 1 };
}

/**
 * The lease, when it says what `write` set and `writer` sent: its answer was lost, or came late. Null: it has not landed, as far as
 * is known. Which of several equal attempts landed, and when, this cannot tell.
 */
export function recogniseWrite(lease: Lease | null, write: LeaseWrite, writer: Writer): Lease | null {
  const { set, expect } = write;
  if (lease === null) return null;
  const byMe = lease.holder === writer.node && lease.incarnation === writer.incarnation;
  if (expect === 'absent' || write.kind === 'acquire')
    return byMe && lease.epoch === set.epoch ? lease : null;
  if (write.kind === 'adopt') return byMe && lease.epoch === expect.epoch ? lease : null;
  if (write.kind !== 'release') return null;
  if (lease.epoch === expect.epoch) return byMe && lease.state === 'released' ? lease : null;
  // The successor was quicker than this read: it can have acquired only what had been released to it.
  return lease.epoch === expect.epoch + 1 && lease.holder === set.successor ? lease : null;
}
