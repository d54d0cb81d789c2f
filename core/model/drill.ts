/**
 * A drill: a switchover that is made on purpose, or a fault that somebody injects on purpose, while a canary writes through the cluster's
 * endpoint, and what the canary saw. One item each, kept beside the operations for as long as the table, so that the history has a p50 and a p99 worth the name.
 */
import type { NodeId } from './lease.ts';

/** `fault`: the primary's host is broken by whoever runs the drill, and the agents fail over by themselves. */
export type DrillKind = 'switchover' | 'fault';

/** `running`: nobody has said yet how it ended, perhaps because whoever ran it is gone. */
export type DrillStatus = 'running' | 'succeeded' | 'failed';

/** What the canary's clients saw from just before the operation until it was over. */
export interface CanaryFigures {
  /** The longest time in which no row at all was acknowledged, in ms. */
  readonly gapMs: number;
  readonly acknowledged: number;
  /** Refused before anything was done, connections included. */
  readonly failed: number;
  /** Sent, and no answer: the row may be there or not. */
  readonly unknown: number;
  /** Acknowledged, and not in the table afterwards; null: it could not be looked for. */
  readonly lost: number | null;
}

export interface Drill {
  /** ULID: sorts by time. */
  readonly id: string;
  readonly kind: DrillKind;
  readonly status: DrillStatus;
  readonly requestedBy: string;
  /** ISO 8601, for people and for the limit on how long a drill may be under way. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly from: NodeId;
  /** Null until it is known. */
  readonly to: NodeId | null;
  /** The operation in the cluster's history; null when there is none. */
  readonly operation: string | null;
  /** A row was due this often, in ms: no gap below it can be seen. */
  readonly everyMs: number;
  readonly canary: CanaryFigures | null;
  /** Why it failed, else what it came to. */
  readonly outcome: string;
}
