/**
 * What a node gave up when it was rewound or rebuilt: the part of its log past the fork, and what was committed in it. Written
 * to disk beside the kept log before the first byte of the data directory changes, and told in an event (invariant H7).
 */
import type { EventDetails } from './cluster-event.ts';
import type { NodeId } from './lease.ts';
import { formatLsn, type Lsn, lsnBytesBetween } from './lsn.ts';
import type { WalSummary } from './wal-summary.ts';

export interface LostWrites {
  readonly node: NodeId;
  readonly cause: 'rewind' | 'rebuild';
  /** The epoch that this log was written in; null: not known. */
  readonly epoch: number | null;
  /** The epoch that the node returns to. */
  readonly returnsTo: number | null;
  readonly timeline: number;
  /** The fork; null: it has none in common with the current epoch, and the whole data directory is what is given up. */
  readonly fromLsn: Lsn | null;
  /** The end of its log; null: it could not be read. */
  readonly toLsn: Lsn | null;
  /** Where the log and the report are kept, on that node's host. */
  readonly folder: string;
  readonly files: readonly string[];
  /** Segments of the range that were not there any more. */
  readonly missing: readonly string[];
  /** Null with the reason in `notSummarised`. */
  readonly summary: WalSummary | null;
  readonly notSummarised: string | null;
  /** The command that shows all of it, on that node's host. */
  readonly look: string;
}

/** For the event, and for `leasehold lost-writes`, which knows no more than the event. */
export function lostWritesDetails(lost: LostWrites): EventDetails {
  const { summary, fromLsn, toLsn } = lost;
  return {
    cause: lost.cause,
    lost_epoch: lost.epoch,
    timeline: lost.timeline,
    from_lsn: fromLsn === null ? null : formatLsn(fromLsn),
    to_lsn: toLsn === null ? null : formatLsn(toLsn),
    bytes: fromLsn === null || toLsn === null ? null : lsnBytesBetween(fromLsn, toLsn),
    transactions: summary?.committed ?? null,
    first_commit: summary?.commits[0]?.time ?? null,
    last_commit: summary?.lastCommit ?? null,
    records: summary?.records ?? null,
    relations: summary === null ? null : summary.relations.join(' '),
    folder: lost.folder,
    files: lost.files.length,
    missing: lost.missing.join(' '),
    not_summarised: lost.notSummarised,
    look: lost.look,
  };
}

export function lostWritesMessage(lost: LostWrites): string {
  const { fromLsn, toLsn } = lost;
  const from = fromLsn === null ? 'an unknown fork' : formatLsn(fromLsn);
  const to = toLsn === null ? 'an unknown end' : formatLsn(toLsn);
  const missing = lost.missing.length === 0 ? '' : `; no longer there: ${lost.missing.join(', ')}`;
  return `${from} to ${to}: ${contents(lost)}; ${lost.files.length} files kept in ${lost.folder}${missing}`;
}

function contents({ summary, notSummarised }: LostWrites): string {
  if (summary === null) return `what was committed is not known (${notSummarised})`;
  const { committed } = summary;
  const count = `${committed} committed transaction${committed === 1 ? '' : 's'}`;
  return notSummarised === null ? count : `at least ${count} (${notSummarised})`;
}
