/**
 * In place or hand over: how long a crashed primary would take to come back by itself, and how long another node would take
 * to become primary. Numbers, not a decision: the rows of `primary-failure.ts` compare them, and their events carry them.
 *
 * The constants are on the safe side of what was measured on two cores with PostgreSQL 15 (how: docs/design.md, "In place or
 * hand over"); a wrong one costs seconds, never a write.
 */
import type { SynchronousSet } from '../model/lease.ts';
import type { NodeReport } from '../model/node-report.ts';
import { electionIsSafe } from '../synchronous/election.ts';

/** What is known of a primary that is down, or may go down. */
export interface RecoveryView {
  /** Log between the last checkpoint's redo point and the last position that was seen written; null: not known. */
  readonly walToReplayBytes: number | null;
  /** Standbys that streamed when the primary was last seen well, and that may take over. */
  readonly successors: readonly string[];
}

/** Whoever is unwell or must not be chosen is no successor: no election takes it, whatever it has. */
export function maySucceed({ tags, health }: Pick<NodeReport, 'tags' | 'health'>): boolean {
  return !tags.nofailover && (health ?? 'ok') === 'ok';
}

export const nothingKnown: RecoveryView = { walToReplayBytes: null, successors: [] };

/** From the kill of what is left to the first accepted write, with nothing to replay. */
export const restartMs = 250;
/** Replay of a crash recovery, in bytes a millisecond (= kB/s): random reads of a cold cache make it slower than the log is read. */
export const replayBytesPerMs = 40_000;
/** From the release of the lease to another node's first write: Step Functions, three functions and a promotion. */
export const handOverMs = 2_500;
/** Shorter recoveries are not worth the reading of the log and the questions that a proof takes. */
export const proofWorthMs = 5_000;

export interface Forecast {
  readonly inPlaceMs: number;
  readonly handOverMs: number;
  /** An acknowledged commit is on enough standbys, and enough of them streamed: a failover finds it. */
  readonly safe: boolean;
}

export function expectedRecovery(view: RecoveryView, sync: SynchronousSet): Forecast {
  const replayMs = Math.round((view.walToReplayBytes ?? 0) / replayBytesPerMs);
  return { inPlaceMs: restartMs + replayMs, handOverMs, safe: electionIsSafe(sync, view.successors) };
}
