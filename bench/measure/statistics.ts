/** What is said of several runs of one thing: median, percentiles, spread. Pure. */
import type { Spread } from '../report/bench-result.ts';

/** Ascending, without changing the argument. */
function sorted(values: readonly number[]): number[] {
  return [...values].sort((left, right) => left - right);
}

/**
 * The value at that percentile (0 to 100) by linear interpolation between the closest ranks (R-7, as in spreadsheets and NumPy).
 * Throws for no values: there is no such figure.
 */
export function percentile(values: readonly number[], at: number): number {
  if (at < 0 || at > 100) throw new RangeError(`percentile ${at}: 0 to 100`);
  const ascending = sorted(values);
  const rank = (at / 100) * (ascending.length - 1);
  const below = ascending[Math.floor(rank)];
  const above = ascending[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new RangeError('a percentile of no values');
  return below + (above - below) * (rank - Math.floor(rank));
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Null for no values. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}
