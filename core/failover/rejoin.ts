/**
 * Decides how a node comes back as a standby of the current primary: start as it is, rewind, rebuild, look closer or
 * wait. Upholds that a node never follows another system identifier, another epoch's branch or a diverged history, and
 * that a rewind is only tried where pg_rewind sees the divergence (two branches of one timeline number look alike to it).
 *
 * The first row of `rejoinRows` whose condition holds decides; its id goes into the event and the log:
 *
 * | row                          | outcome       |
 * |------------------------------|---------------|
 * | holds-the-lease              | wait: it is the primary, nobody to follow |
 * | no-data                      | rebuild       |
 * | other-system-identifier      | wait: another cluster's data is never touched; alert |
 * | lease-not-held               | wait: nobody to follow yet |
 * | epoch-ahead                  | wait: this node has seen a later epoch than the table; alert |
 * | epoch-not-recorded           | wait: the primary has not yet said where its timeline began |
 * | interrupted-copy             | rebuild       |
 * | interrupted-rewind           | rebuild       |
 * | epoch-unknown                | rebuild: without an epoch a timeline number proves nothing |
 * | same-timeline-other-epoch    | rebuild: pg_rewind would say that none is required |
 * | current-epoch                | start-as-is   |
 * | nothing-in-common            | rebuild       |
 * | clean-before-fork            | start-as-is   |
 * | past-the-fork                | rewind, or rebuild |
 * | end-unknown                  | need-wal-end  |
 * | ends-before-fork             | start-as-is   |
 * | diverged                     | rewind, or rebuild |
 */
import type { EpochRecord } from '../model/cluster-record.ts';
import type { LeaseState, NodeId } from '../model/lease.ts';
import { formatLsn, type Lsn, lsnOf, maxLsn } from '../model/lsn.ts';
import type { SystemIdentifier } from '../model/system-identifier.ts';
import type { TimelineHistory } from '../model/timeline.ts';
import type { ControlState } from '../wire/parse-pg-control.ts';
import { historyOf, latestRecorded, placeOf, reusedTimeline } from './lineage.ts';

/** A stopped data directory, as its control file and the agent's own files describe it. */
export interface DataDirectory {
  readonly systemIdentifier: SystemIdentifier;
  readonly state: ControlState;
  /**
   * Its timeline and ancestors: the newest that it wrote or received WAL of. The control file alone can be one behind
   * (it shows the old timeline until the first checkpoint after a promotion).
   */
  readonly history: TimelineHistory;
  /** Start of the last checkpoint record in the control file. */
  readonly checkpointLsn: Lsn;
  /** Where its valid WAL really ends, read from the WAL itself; null when nobody has looked. */
  readonly walEnd: Lsn | null;
  /** Of a standby, from its last run; null when unknown. A restart forgets what had been received. */
  readonly receivedLsn: Lsn | null;
  readonly replayedLsn: Lsn | null;
  /** The last epoch that it wrote WAL in or received WAL of, from its own disk. */
  readonly epoch: number | null;
  readonly interrupted: 'rewind' | 'copy' | null;
  /** wal_log_hints or checksums are on. */
  readonly rewindable: boolean;
  /** A rewind towards this epoch was tried and failed. */
  readonly rewindFailed: boolean;
}

export interface RejoinView {
  readonly node: NodeId;
  /** Null: there is no data directory. */
  readonly data: DataDirectory | null;
  /** The cluster's, from the record. */
  readonly systemIdentifier: SystemIdentifier | null;
  readonly epochs: readonly EpochRecord[];
  readonly lease: { readonly holder: NodeId; readonly epoch: number; readonly state: LeaseState };
}

export type RejoinKind = 'start-as-is' | 'rewind' | 'rebuild' | 'need-wal-end' | 'wait';

export interface Rejoin {
  readonly kind: RejoinKind;
  /** The row that decided. */
  readonly rule: RejoinRule;
  readonly reason: string;
  /** Where its log and the current one part; null when they do not, or it was not compared. */
  readonly forkLsn: Lsn | null;
}

interface Row {
  readonly id: string;
  /** What to do and why, or null when the row does not apply. */
  readonly decide: (view: Comparison) => { readonly kind: RejoinKind; readonly reason: string } | null;
}

/** The view with what is compared in several rows. Beyond `no-data`, `data` is there; beyond `epoch-unknown`, all is. */
interface Comparison {
  readonly view: RejoinView;
  readonly data: DataDirectory | null;
  readonly current: EpochRecord | null;
  readonly history: TimelineHistory | null;
  readonly common: { readonly fork: Lsn | null } | null;
}

/** The states a control file shows of a server that was a standby when it stopped. */
const standbyStates: readonly ControlState[] = ['shut-down-in-recovery', 'in-archive-recovery'];

const rows = [
  row('holds-the-lease', ({ view }) =>
    view.lease.state === 'held' && view.lease.holder === view.node
      ? { kind: 'wait', reason: 'this node holds the lease: it is the primary and follows nobody' }
      : null,
  ),
  row('no-data', ({ data }) => (data === null ? { kind: 'rebuild', reason: 'there is no data' } : null)),
  row('other-system-identifier', ({ view, data }) =>
    view.systemIdentifier !== null && data?.systemIdentifier !== view.systemIdentifier
      ? {
          kind: 'wait',
          reason: `the data belongs to system ${data?.systemIdentifier}, the cluster is ${view.systemIdentifier}`,
        }
      : null,
  ),
  row('lease-not-held', ({ view }) =>
    view.lease.state === 'held'
      ? null
      : { kind: 'wait', reason: `the lease is ${view.lease.state}: there is no primary to follow` },
  ),
  row('epoch-ahead', ({ view, data }) =>
    (data?.epoch ?? 0) > view.lease.epoch
      ? {
          kind: 'wait',
          reason: `the data is of epoch ${data?.epoch}, the lease of epoch ${view.lease.epoch}`,
        }
      : null,
  ),
  row('epoch-not-recorded', ({ view, current }) =>
    current?.epoch === view.lease.epoch
      ? null
      : { kind: 'wait', reason: `epoch ${view.lease.epoch} has not been recorded yet` },
  ),
  row('interrupted-copy', ({ data }) =>
    data?.interrupted === 'copy' ? { kind: 'rebuild', reason: 'a copy into it was interrupted' } : null,
  ),
  row('interrupted-rewind', ({ data }) =>
    data?.interrupted === 'rewind' ? { kind: 'rebuild', reason: 'a rewind of it was interrupted' } : null,
  ),
  row('epoch-unknown', ({ data }) =>
    data?.epoch === null ? { kind: 'rebuild', reason: 'nothing says of which epoch the data is' } : null,
  ),
  row('same-timeline-other-epoch', sameTimelineOtherEpoch),
  row('current-epoch', ({ data, history }) =>
    data !== null && data.history.timeline === history?.timeline
      ? { kind: 'start-as-is', reason: `it is on the primary's timeline ${history.timeline}` }
      : null,
  ),
  row('nothing-in-common', ({ common }) =>
    common === null ? { kind: 'rebuild', reason: 'the two histories have nothing in common' } : null,
  ),
  row('clean-before-fork', ({ data, common }) =>
    data?.state === 'shut-down' && common?.fork != null && data.checkpointLsn < common.fork
      ? {
          kind: 'start-as-is',
          reason: `it stopped cleanly at ${formatLsn(data.checkpointLsn)}, before the fork at ${forkText(common)}`,
        }
      : null,
  ),
  row('past-the-fork', pastTheFork),
  row('end-unknown', ({ data }) =>
    data !== null && endOf(data) === null
      ? { kind: 'need-wal-end', reason: 'where its WAL ends is not known, and it may lie past the fork' }
      : null,
  ),
  row('ends-before-fork', endsBeforeFork),
  row('diverged', ({ data, common }) => rewindOr(data, `its WAL runs past the fork at ${forkText(common)}`)),
] as const;

/** The table, for tests and documentation. */
export const rejoinRules = rows.map(({ id }) => id);
export type RejoinRule = (typeof rows)[number]['id'];

/** How `view.node` comes back. Pure and total: the last row always applies. */
export function decideRejoin(view: RejoinView): Rejoin {
  const comparison = compare(view);
  for (const { id, decide } of rows) {
    const decision = decide(comparison);
    if (decision !== null)
      return {
        rule: id,
        kind: decision.kind,
        reason: decision.reason,
        forkLsn: comparison.common?.fork ?? null,
      };
  }
  throw new Error('the last row of the rejoin table did not apply');
}

function row<Id extends string>(id: Id, decide: Row['decide']): Row & { readonly id: Id } {
  return { id, decide };
}

function compare(view: RejoinView): Comparison {
  const current = latestRecorded(view, view.lease.epoch);
  const history = current === null ? null : historyOf(current);
  const { data } = view;
  if (data === null || history === null) return { view, data, current, history, common: null };
  const { place, fork } = placeOf(data.history, data.checkpointLsn, history);
  const common = place === 'unrelated' ? null : { fork };
  return { view, data, current, history, common };
}

/** A number in both histories was begun twice: by an epoch that this data belongs to, and by another. */
function sameTimelineOtherEpoch({ view, data, current }: Comparison): ReturnType<Row['decide']> {
  if (data === null || data.epoch === null || current === null) return null;
  const reused = reusedTimeline(view, data.epoch, data.history, current);
  if (reused === null) return null;
  return {
    kind: 'rebuild',
    reason: `its timeline ${reused} is not the timeline ${reused} that epoch ${current.epoch} continues`,
  };
}

/** What is already known of its log lies past the fork, wherever it ends. */
function pastTheFork({ data, history, common }: Comparison): ReturnType<Row['decide']> {
  if (data === null || history === null) return null;
  const least = endOf(data) ?? leastEndOf(data);
  const { place } = placeOf(data.history, least, history);
  if (place !== 'past-fork') return null;
  return rewindOr(data, `its WAL reaches ${formatLsn(least)}, past the fork at ${forkText(common)}`);
}

function endsBeforeFork({ data, history, common }: Comparison): ReturnType<Row['decide']> {
  const end = data === null ? null : endOf(data);
  if (data === null || history === null || end === null) return null;
  if (placeOf(data.history, end, history).place !== 'on-path') return null;
  return {
    kind: 'start-as-is',
    reason: `its WAL ends at ${formatLsn(end)}, not past the fork at ${forkText(common)}`,
  };
}

function rewindOr(data: DataDirectory | null, reason: string): { kind: RejoinKind; reason: string } {
  if (data?.rewindFailed) return { kind: 'rebuild', reason: `${reason}, and a rewind has failed` };
  if (!data?.rewindable) {
    return { kind: 'rebuild', reason: `${reason}, and it has neither checksums nor wal_log_hints to rewind` };
  }
  return { kind: 'rewind', reason };
}

/**
 * Where its log ends, when that is known for certain: from the WAL itself, or of a standby whose receiver's position is
 * known.
 */
function endOf(data: DataDirectory): Lsn | null {
  if (data.walEnd !== null) return maxLsn(data.walEnd, leastEndOf(data));
  if (!standbyStates.includes(data.state) || data.receivedLsn === null) return null;
  return leastEndOf(data);
}

/** The control file tells where the checkpoint record starts: the log certainly reaches beyond that. */
function leastEndOf(data: DataDirectory): Lsn {
  const known = [data.receivedLsn, data.replayedLsn].filter((lsn) => lsn !== null);
  return known.reduce(maxLsn, lsnOf(data.checkpointLsn + 1n));
}

function forkText(common: Comparison['common']): string {
  return common?.fork == null ? 'none' : formatLsn(common.fork);
}
