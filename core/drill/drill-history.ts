/**
 * What the drills of a cluster come to: how many there were, how they ended, and the p50 and p99 of the gaps. Pure.
 */
import type { Drill, DrillKind } from '../model/drill.ts';

export interface DrillSummary {
  readonly drills: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Of those that succeeded, in ms; null: there was none. */
  readonly gapMs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
}

/** By kind: a gap of a switchover and one of a failover have nothing to do with one another. */
export function summariseDrills(drills: readonly Drill[]): Readonly<Record<DrillKind, DrillSummary>> {
  const of = (kind: DrillKind) => summarise(drills.filter((drill) => drill.kind === kind));
  return { switchover: of('switchover'), fault: of('fault') };
}

function summarise(drills: readonly Drill[]): DrillSummary {
  const of = (status: Drill['status']) => drills.filter((drill) => drill.status === status);
  const gaps = of('succeeded').flatMap(({ canary }) => (canary === null ? [] : [canary.gapMs]));
  return {
    drills: drills.length,
    succeeded: of('succeeded').length,
    failed: of('failed').length,
    gapMs:
      gaps.length === 0
        ? null
        : { p50: nearestRank(gaps, 50), p99: nearestRank(gaps, 99), max: Math.max(...gaps) },
  };
}

/**
 * The smallest of `values` that at least `percent` of them do not exceed: one that was really seen. Of fewer than a hundred values p99
 * is therefore the largest. Throws for no values.
 */
export function nearestRank(values: readonly number[], percent: number): number {
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`percentile ${percent}: above 0, to 100`);
  const ascending = [...values].sort((left, right) => left - right);
  const found = ascending[Math.ceil((percent / 100) * ascending.length) - 1];
  if (found === undefined) throw new RangeError('a percentile of no values');
  return found;
}
