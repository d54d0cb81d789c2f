/**
 * What the next holder of the lease writes as its synchronous set when it acquires (invariant S1). What earlier epochs acknowledged is on the standbys
 * that were recorded for them, and on the new primary; on nobody else for certain until a barrier has been passed. So a new epoch begins as a change:
 * the set is what covers the past, `next` the rule that is in force in PostgreSQL before it is promoted.
 */
import type { SynchronousSpec } from '../model/cluster-record.ts';
import {
  alone,
  asynchronous,
  type Lease,
  type NodeId,
  type SynchronousRule,
  type SynchronousSet,
} from '../model/lease.ts';
import { coverOf, type RankedNode, ranked } from './synchronous-rule.ts';

export interface NewEpochView {
  /** As it is before it is acquired. */
  readonly lease: Pick<Lease, 'holder' | 'state' | 'releasedAtLsn' | 'neverPromoted' | 'sync'>;
  readonly spec: SynchronousSpec;
  /** Who acquires. */
  readonly node: NodeId;
  /** The other members that may be promoted one day. */
  readonly others: readonly RankedNode[];
}

type FirstRuleView = Pick<NewEpochView, 'spec' | 'others'> & {
  /** Null: there was none. */
  readonly lease: Pick<Lease, 'holder' | 'state' | 'releasedAtLsn' | 'neverPromoted'> | null;
};

/**
 * By which rule a new primary acknowledges before it has seen who follows it. A holder that lost its lease is not waited for, where enough others are
 * left; `on` waits for those that can come, `strict` for `k` whatever comes.
 */
export function firstRule({ spec, lease, others }: FirstRuleView): SynchronousRule {
  if (spec.mode === 'off') return alone;
  const { method, k } = spec;
  const all = ranked(others);
  const lost = lease !== null && !isClean(lease) && !lease.neverPromoted ? lease.holder : null;
  const likely = all.filter((node) => node !== lost);
  if (spec.mode === 'strict') return { method, k, names: likely.length >= k ? likely : all };
  return likely.length === 0 ? alone : { method, k: Math.min(k, likely.length), names: likely };
}

/** The whole set that an acquire writes. */
export function syncOfNewEpoch(view: NewEpochView, next: SynchronousRule): SynchronousSet {
  const { mode } = view.spec;
  if (mode === 'off') return asynchronous;
  // Until the first barrier nothing of the past is promised: elections go on as without synchronous replication.
  if (view.lease.sync.mode === 'off') return { ...alone, mode: 'off', next };
  return { ...pastRule(view), mode, next };
}

/** Where the commits of the past are for certain, beside the new primary. */
function pastRule({ lease, node }: NewEpochView): SynchronousRule {
  // It stopped cleanly, so it has all there is, and the new primary could only acquire with as much.
  if (isClean(lease) && !lease.neverPromoted && lease.holder !== node)
    return { method: 'any', k: 1, names: [lease.holder] };
  return coverOf(lease.sync, lease.sync.next);
}

function isClean({ state, releasedAtLsn }: Pick<Lease, 'state' | 'releasedAtLsn'>): boolean {
  return state === 'released' && releasedAtLsn !== null;
}
