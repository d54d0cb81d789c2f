/**
 * Chooses who becomes primary. A switchover judges reports, because the old primary still runs and hands over cleanly; a
 * failover judges only what this operation's own end-receiver actions answered, because a report may be old. Upholds that
 * a node is never promoted whose history has diverged or that lacks what the last primary is known to have acknowledged.
 *
 * A node is refused by the first row of its table that applies; the row's id and reason come back with the choice. Those that
 * remain are ordered by (position, history), the requested node, synchronous standbys first, `failoverPriority`, name.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';
import { compareLsn, formatLsn, type Lsn } from '../model/lsn.ts';
import { defaultTags, type NodeReport } from '../model/node-report.ts';
import type { TimelineHistory } from '../model/timeline.ts';
import { mayLose } from '../synchronous/election.ts';
import { hasTimeline, historyOf, isSameBranch, latestRecorded, placeOf, recordedHistory } from './lineage.ts';

export interface Refusal {
  readonly node: NodeId;
  readonly rule: SwitchoverRefusal | FailoverRefusal;
  readonly reason: string;
}

export type ChoiceRule =
  | 'requested'
  | 'first-in-order'
  | 'last-primary'
  | 'data-loss-accepted'
  | 'none-eligible'
  | 'too-few-of-the-synchronous-set';

export type Choice =
  | {
      readonly kind: 'chosen';
      readonly node: NodeId;
      readonly rule: ChoiceRule;
      readonly reason: string;
      readonly refused: readonly Refusal[];
    }
  | {
      readonly kind: 'none';
      readonly rule: ChoiceRule;
      readonly reason: string;
      readonly refused: readonly Refusal[];
    };

/** Where a node stands at the end of its receiver, as it answered in this operation; null: unknown. */
export interface Position {
  readonly node: NodeId;
  /** The epoch whose WAL it received last. */
  readonly epoch: number | null;
  readonly timeline: number | null;
  /** The larger of received and replayed, after replay had reached the end of the local WAL. */
  readonly lsn: Lsn | null;
}

export interface SwitchoverView {
  readonly record: ClusterRecord;
  readonly lease: Lease;
  readonly reports: readonly NodeReport[];
  /** Null: the best. */
  readonly requested: NodeId | null;
}

export interface FailoverView {
  readonly record: ClusterRecord;
  readonly lease: Lease;
  readonly reports: readonly NodeReport[];
  readonly positions: readonly Position[];
  /** Tried in this operation, and failed. */
  readonly excluded: readonly NodeId[];
  /** Preferred where nobody else has more; null: nobody was asked for. */
  readonly requested: NodeId | null;
  /** Start of the shutdown checkpoint of the last primary when it stopped cleanly; else null. */
  readonly releasedAtLsn: Lsn | null;
  /** An operator has said so: a standby is promoted although acknowledged commits may be missing from it. */
  readonly acceptDataLoss: boolean;
}

interface Row<View> {
  readonly id: string;
  /** Why `node` is refused, or null. */
  readonly refuses: (node: NodeId, view: View) => string | null;
}

const switchoverRows = [
  row<'is-the-primary', SwitchoverView>('is-the-primary', (node, { lease }) =>
    node === lease.holder ? 'it holds the lease' : null,
  ),
  row<'not-a-member', SwitchoverView>('not-a-member', (node, { record, lease }) =>
    record.members.includes(node) && lease.members.includes(node) ? null : 'it has not joined the cluster',
  ),
  row<'no-report', SwitchoverView>('no-report', (node, view) =>
    reportOf(node, view) === null ? 'it has never reported' : null,
  ),
  row<'other-system-identifier', SwitchoverView>('other-system-identifier', (node, view) => {
    const own = reportOf(node, view)?.systemIdentifier ?? null;
    return own !== null && own === view.record.systemIdentifier
      ? null
      : `its system identifier is ${own}, the cluster's ${view.record.systemIdentifier}`;
  }),
  row<'unwell', SwitchoverView>('unwell', unwell),
  row<'not-a-running-standby', SwitchoverView>('not-a-running-standby', (node, view) => {
    const report = reportOf(node, view);
    if (report?.role === 'standby' && report.postgres === 'running' && report.activity === 'none')
      return null;
    return `its role is ${report?.role}, its PostgreSQL ${report?.postgres}, its activity ${report?.activity}`;
  }),
  row<'not-streaming', SwitchoverView>('not-streaming', (node, view) =>
    reportOf(node, view)?.streaming ? null : 'it does not stream',
  ),
  row<'other-epoch', SwitchoverView>('other-epoch', (node, view) => {
    const report = reportOf(node, view);
    // The record knows the epoch's timeline first; the lease learns it with a later renewal.
    const timeline = latestRecorded(view.record, view.lease.epoch)?.timeline;
    if (report?.epoch === view.lease.epoch && report.timeline === timeline) return null;
    return (
      `it follows epoch ${report?.epoch} on timeline ${report?.timeline}, ` +
      `the primary is epoch ${view.lease.epoch} on timeline ${timeline}`
    );
  }),
  row<'nofailover', SwitchoverView>('nofailover', (node, view) =>
    reportOf(node, view)?.tags.nofailover ? 'it is tagged nofailover' : null,
  ),
  row<'lag-over-limit', SwitchoverView>('lag-over-limit', (node, view) => {
    // Just after a start it is not known yet: the hand-over waits for the replay in any case.
    const lag = reportOf(node, view)?.lagBytes ?? 0;
    const limit = view.record.spec.maxLagBytes;
    return lag <= limit ? null : `it lags by ${lag} bytes, the limit is ${limit}`;
  }),
] as const;

const failoverRows = [
  row<'tried-before', FailoverView>('tried-before', (node, { excluded }) =>
    excluded.includes(node) ? 'it was tried in this operation and failed' : null,
  ),
  row<'not-a-member', FailoverView>('not-a-member', (node, { record, lease }) =>
    record.members.includes(node) && lease.members.includes(node) ? null : 'it has not joined the cluster',
  ),
  row<'no-answer', FailoverView>('no-answer', (node, view) =>
    positionOf(node, view) === null ? 'it did not end its receiver in this operation' : null,
  ),
  row<'other-system-identifier', FailoverView>('other-system-identifier', (node, view) => {
    const own = reportOf(node, view)?.systemIdentifier ?? null;
    return own === null || own === view.record.systemIdentifier
      ? null
      : `its system identifier is ${own}, the cluster's ${view.record.systemIdentifier}`;
  }),
  row<'nofailover', FailoverView>('nofailover', (node, view) =>
    reportOf(node, view)?.tags.nofailover ? 'it is tagged nofailover' : null,
  ),
  row<'unwell', FailoverView>('unwell', unwellAndReplaceable),
  row<'position-unknown', FailoverView>('position-unknown', (node, view) => {
    const position = positionOf(node, view);
    return position?.lsn == null || position.timeline === null ? 'it does not know its position' : null;
  }),
  row<'epoch-unknown', FailoverView>('epoch-unknown', (node, view) =>
    positionOf(node, view)?.epoch == null ? 'it does not know of which epoch its data is' : null,
  ),
  row<'other-branch', FailoverView>('other-branch', otherBranch),
  row<'diverged', FailoverView>('diverged', (node, view) => {
    const history = historyAt(node, view);
    const current = latestRecorded(view.record, view.lease.epoch);
    const lsn = positionOf(node, view)?.lsn ?? null;
    if (history === null || current === null || lsn === null) return 'its history is not recorded';
    const { place, fork } = placeOf(history, lsn, historyOf(current));
    if (place === 'on-path') return null;
    return `its log ends at ${formatLsn(lsn)}, the current history left it at ${fork === null ? 'no common place' : formatLsn(fork)}`;
  }),
  row<'behind-the-release', FailoverView>('behind-the-release', (node, view) => {
    const lsn = positionOf(node, view)?.lsn ?? null;
    if (view.releasedAtLsn === null || node === lastPrimaryOf(view)) return null;
    if (lsn !== null && lsn > view.releasedAtLsn) return null;
    return `it has not received the last primary's shutdown checkpoint at ${formatLsn(view.releasedAtLsn)}`;
  }),
] as const;

export type SwitchoverRefusal = (typeof switchoverRows)[number]['id'];
export type FailoverRefusal = (typeof failoverRows)[number]['id'];
/** The tables, for tests and documentation. */
export const switchoverRefusals: readonly SwitchoverRefusal[] = switchoverRows.map(({ id }) => id);
export const failoverRefusals: readonly FailoverRefusal[] = failoverRows.map(({ id }) => id);

/** The target of a switchover: the requested node if nothing speaks against it, else the best of the rest. */
export function chooseSwitchoverTarget(view: SwitchoverView): Choice {
  const nodes = view.requested === null ? view.record.members : [view.requested];
  const { eligible, refused } = sift(nodes, view, switchoverRows);
  const [best] = inOrder(eligible, { ...view, requested: null }, (node) => ({
    lsn: reportOf(node, view)?.lsn ?? null,
    ancestors: 0,
  }));
  if (best === undefined) return none('none-eligible', refused);
  const rule = view.requested === null ? 'first-in-order' : 'requested';
  return { kind: 'chosen', node: best, rule, reason: `${best} ${reportText(best, view)}`, refused };
}

/**
 * Who takes over in a failover. Without anybody eligible, or without enough answers in synchronous mode, it is the last primary itself,
 * which has everything that was ever acknowledged, unless it was tried before; or whoever is best, if the loss is accepted.
 */
export function chooseFailoverTarget(view: FailoverView): Choice {
  const { eligible, refused } = sift(view.record.members, view, failoverRows);
  const [best] = inOrder(eligible, view, (node) => ({
    lsn: positionOf(node, view)?.lsn ?? null,
    ancestors: historyAt(node, view)?.ancestors.length ?? 0,
  }));
  const loss = best === undefined ? null : lossBy(best, view);
  if (best !== undefined && (loss === null || view.acceptDataLoss)) {
    const at = positionOf(best, view)?.lsn;
    const first = `${best} is first of ${eligible.length}, at ${at == null ? 'an unknown position' : formatLsn(at)}`;
    const rule = best === view.requested ? 'requested' : 'first-in-order';
    if (loss === null) return { kind: 'chosen', node: best, rule, reason: first, refused };
    return { kind: 'chosen', node: best, rule: 'data-loss-accepted', reason: `${first}; ${loss}`, refused };
  }
  const lastPrimary = lastPrimaryOf(view);
  if (
    lastPrimary !== null &&
    !view.excluded.includes(lastPrimary) &&
    view.lease.members.includes(lastPrimary)
  ) {
    const why = loss ?? 'no standby is eligible';
    const reason = `${why}: back to ${lastPrimary}`;
    return { kind: 'chosen', node: lastPrimary, rule: 'last-primary', reason, refused };
  }
  if (loss !== null) return none('too-few-of-the-synchronous-set', refused, loss);
  return none('none-eligible', refused);
}

/** Who wrote last: the holder, unless it gave the lease back without having been promoted; null when nobody is recorded. */
export function lastPrimaryOf(view: {
  readonly record: ClusterRecord;
  readonly lease: Lease;
}): NodeId | null {
  if (!view.lease.neverPromoted) return view.lease.holder;
  return latestRecorded(view.record, view.lease.epoch - 1)?.node ?? null;
}

function row<Id extends string, View>(
  id: Id,
  refuses: Row<View>['refuses'],
): Row<View> & { readonly id: Id } {
  return { id, refuses };
}

type Rule = SwitchoverRefusal | FailoverRefusal;

function sift<View>(
  nodes: readonly NodeId[],
  view: View,
  rows: readonly (Row<View> & { readonly id: Rule })[],
): { readonly eligible: readonly NodeId[]; readonly refused: readonly Refusal[] } {
  const eligible: NodeId[] = [];
  const refused: Refusal[] = [];
  for (const node of nodes) {
    const refusal = refusalOf(node, view, rows);
    if (refusal === null) eligible.push(node);
    else refused.push(refusal);
  }
  return { eligible, refused };
}

function refusalOf<View>(
  node: NodeId,
  view: View,
  rows: readonly (Row<View> & { readonly id: Rule })[],
): Refusal | null {
  for (const { id, refuses } of rows) {
    const reason = refuses(node, view);
    if (reason !== null) return { node, rule: id, reason };
  }
  return null;
}

type Ordered = {
  readonly reports: readonly NodeReport[];
  readonly lease: Lease;
  readonly requested: NodeId | null;
};

function inOrder(
  nodes: readonly NodeId[],
  view: Ordered,
  placeAt: (node: NodeId) => { readonly lsn: Lsn | null; readonly ancestors: number },
): NodeId[] {
  const synchronous = (node: NodeId) => (view.lease.sync.names.includes(node) ? 1 : 0);
  const priority = (node: NodeId) => (reportOf(node, view)?.tags ?? defaultTags).failoverPriority;
  return nodes.toSorted((a, b) => {
    const [one, other] = [placeAt(a), placeAt(b)];
    return (
      compareLsn(other.lsn ?? zero, one.lsn ?? zero) ||
      other.ancestors - one.ancestors ||
      Number(b === view.requested) - Number(a === view.requested) ||
      synchronous(b) - synchronous(a) ||
      priority(b) - priority(a) ||
      (a < b ? -1 : 1)
    );
  });
}

const zero = 0n as Lsn;

/** Why promoting `node` could lose a commit that was acknowledged (invariant S2), or null. A clean release proves more than any answer. */
function lossBy(node: NodeId, view: FailoverView): string | null {
  const lsn = positionOf(node, view)?.lsn ?? null;
  if (view.lease.sync.mode === 'off' || view.releasedAtLsn !== null || lsn === null) return null;
  if (node === lastPrimaryOf(view)) return null;
  return mayLose(view.lease.sync, answersOf(view), lsn);
}

/** How much of the current history each node has that answered: one that left it has what was before the fork. */
function answersOf(view: FailoverView): ReadonlyMap<NodeId, Lsn> {
  const answers = new Map<NodeId, Lsn>();
  const current = latestRecorded(view.record, view.lease.epoch);
  for (const { node, lsn } of view.positions) {
    const history = historyAt(node, view);
    if (lsn === null || history === null || current === null || otherBranch(node, view) !== null) continue;
    const { place, fork } = placeOf(history, lsn, historyOf(current));
    const held = place === 'on-path' ? lsn : fork;
    if (held !== null) answers.set(node, held);
  }
  return answers;
}

/** Its agent says that its disk or its server is sick: it would be primary for a moment only. */
function unwell(node: NodeId, view: { readonly reports: readonly NodeReport[] }): string | null {
  const health = reportOf(node, view)?.health ?? 'ok';
  return health === 'ok' ? null : `its own report says ${health}`;
}

/**
 * In a failover a sick node may be the only one that has an acknowledged write: it is refused for the sake of a well one that
 * answered, with synchronous commits only of one that has as much.
 */
function unwellAndReplaceable(node: NodeId, view: FailoverView): string | null {
  const reason = unwell(node, view);
  const own = positionOf(node, view)?.lsn ?? zero;
  const { mode, k } = view.lease.sync;
  const replaces = ({ node: other, lsn }: Position) =>
    other !== node &&
    lsn !== null &&
    unwell(other, view) === null &&
    !view.excluded.includes(other) &&
    reportOf(other, view)?.tags.nofailover !== true &&
    (view.releasedAtLsn === null || lsn > view.releasedAtLsn) &&
    (mode === 'off' || k === 0 || lsn >= own);
  return reason !== null && view.positions.some(replaces) ? reason : null;
}

function otherBranch(node: NodeId, view: FailoverView): string | null {
  const position = positionOf(node, view);
  const current = latestRecorded(view.record, view.lease.epoch);
  if (position?.epoch == null || position.timeline === null || current === null) return null;
  const branch = { epoch: position.epoch, timeline: position.timeline };
  if (!hasTimeline(historyOf(current), branch.timeline) || isSameBranch(view.record, branch, current))
    return null;
  return `its timeline ${branch.timeline} is of epoch ${branch.epoch}, another branch than epoch ${current.epoch}'s`;
}

function historyAt(node: NodeId, view: FailoverView): TimelineHistory | null {
  const position = positionOf(node, view);
  if (position?.epoch == null || position.timeline === null) return null;
  return recordedHistory(view.record, { epoch: position.epoch, timeline: position.timeline });
}

function reportOf(node: NodeId, view: { readonly reports: readonly NodeReport[] }): NodeReport | null {
  return view.reports.find((report) => report.node === node) ?? null;
}

function positionOf(node: NodeId, view: FailoverView): Position | null {
  return view.positions.find((position) => position.node === node) ?? null;
}

function reportText(node: NodeId, view: SwitchoverView): string {
  const report = reportOf(node, view);
  const lsn = report?.lsn ?? null;
  return `is at ${lsn === null ? 'an unknown position' : formatLsn(lsn)}, ${report?.lagBytes} bytes behind`;
}

function none(rule: ChoiceRule, refused: readonly Refusal[], first?: string): Choice {
  const reasons = refused.map(({ node, reason }) => `${node}: ${reason}`);
  if (first !== undefined) reasons.unshift(first);
  const reason = reasons.length === 0 ? 'there is no member to choose' : reasons.join('; ');
  return { kind: 'none', rule, reason, refused };
}
