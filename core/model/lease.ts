/**
 * The lease: one item in DynamoDB that decides who is primary (invariants L1 to L4). This file only names its
 * shape; `core/lease/` says which writes may change it and `core/wire/parse-lease.ts` reads it from outside.
 *
 * States, how each is entered and left:
 *
 * | state      | entered by                                          | left by                                   |
 * |------------|-----------------------------------------------------|-------------------------------------------|
 * | `held`     | create (bootstrap), acquire                         | release, seal, fence                      |
 * | `released` | the holder, PostgreSQL stopped                      | acquire by the named successor            |
 * | `sealed`   | a member that watched it unchanged for ttl'         | acquire by the named successor, fence     |
 * | `fenced`   | proof that the holder's PostgreSQL is down and barred | acquire by the named successor           |
 */
import type { Lsn } from './lsn.ts';

export type NodeId = string;
export type LeaseState = 'held' | 'released' | 'sealed' | 'fenced';

/** `off`: asynchronous. `on`: prefers availability. `strict`: never acknowledges alone. */
export type SynchronousMode = 'off' | 'on' | 'strict';

/** By which a primary acknowledges commits: `any` k of the names, or the `first` k of them that are connected. */
export interface SynchronousRule {
  readonly method: 'any' | 'first';
  /** How many of `names` must have flushed a commit before it is acknowledged; 0: the primary acknowledges alone. */
  readonly k: number;
  /** Unique; with `first` the most preferred one first. */
  readonly names: readonly NodeId[];
}

/**
 * What elections go by (invariant S1): each acknowledged commit is covered by the rule in this set, or by `next`, which is there
 * while a change is under way.
 */
export interface SynchronousSet extends SynchronousRule {
  readonly mode: SynchronousMode;
  readonly next: SynchronousRule | null;
}

export interface Lease {
  readonly holder: NodeId;
  /** Random at each start of the holder's agent: two agents under one node id never both renew. */
  readonly incarnation: string;
  /** Rises by one each time the lease changes hands: the fencing token. */
  readonly epoch: number;
  /** Rises with every write to the item. */
  readonly seq: number;
  readonly ttlMs: number;
  readonly state: LeaseState;
  /** The operation that moves the lease now; with state `held` and a successor it announces the hand-over. */
  readonly operation: string | null;
  readonly successor: NodeId | null;
  readonly timeline: number;
  /** Where the checkpoint record of the holder's clean shutdown starts; null when it did not stop cleanly. */
  readonly releasedAtLsn: Lsn | null;
  /** True when the holder gave the lease back without ever having been promoted in its epoch. */
  readonly neverPromoted: boolean;
  readonly members: readonly NodeId[];
  readonly sync: SynchronousSet;
}

/** The primary acknowledges by itself: only that primary is known to have every acknowledged commit. */
export const alone: SynchronousRule = { method: 'any', k: 0, names: [] };

export const asynchronous: SynchronousSet = { ...alone, mode: 'off', next: null };
