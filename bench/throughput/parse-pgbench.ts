/** What pgbench (13 to 18) prints at its end, and the log it keeps of each transaction. Pure. */
import { percentile } from '../measure/statistics.ts';

export interface PgbenchSummary {
  readonly transactions: number;
  readonly failed: number;
  /** Without the time that the first connections took. */
  readonly tps: number;
  readonly latencyMeanMs: number;
  /** One of its clients ended early: then the figures stand for less than was asked for. */
  readonly aborted: boolean;
}

/** Null where the text holds no result, as when no client could connect. */
export function parsePgbenchSummary(stdout: string): PgbenchSummary | null {
  const number = (pattern: RegExp) => {
    const text = pattern.exec(stdout)?.[1];
    return text === undefined ? null : Number(text);
  };
  const transactions = number(/^number of transactions actually processed: (\d+)/m);
  // 13 prints two lines: with the time of connecting, and without.
  const tps = number(
    /^tps = ([\d.]+) \((?:excluding connections establishing|without initial connection time)\)/m,
  );
  const latencyMeanMs = number(/^latency average = ([\d.]+) ms/m);
  if (transactions === null || tps === null || latencyMeanMs === null) return null;
  return {
    transactions,
    failed: number(/^number of failed transactions: (\d+)/m) ?? 0,
    tps,
    latencyMeanMs,
    aborted: /^Run was aborted/m.test(stdout),
  };
}

/**
 * The latencies of a log of transactions (`--log`), in milliseconds. Those that failed or were skipped have none. With `--rate` pgbench
 * counts from the time at which the transaction was due.
 */
export function parseTransactionLog(text: string): number[] {
  const latencies: number[] = [];
  for (const line of text.split('\n')) {
    const microseconds = line.split(' ')[2];
    if (microseconds !== undefined && /^\d+$/.test(microseconds))
      latencies.push(Number(microseconds) / 1_000);
  }
  return latencies;
}

/** What is kept of a run's latencies: ascending by percentile. */
export interface LatencyPoint {
  readonly percentile: number;
  readonly ms: number;
}

const keptPercentiles = [0, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100];
/** Above it, a percentile would be one or two transactions. */
const leastBeyond = 5;

/** No percentile that fewer than five transactions lie beyond, but for the very last one. */
export function latencyPoints(latencies: readonly number[]): LatencyPoint[] {
  if (latencies.length === 0) return [];
  const ascending = latencies.toSorted((left, right) => left - right);
  return keptPercentiles
    .filter((at) => at === 0 || at === 100 || ((100 - at) / 100) * latencies.length >= leastBeyond)
    .map((at) => ({ percentile: at, ms: percentile(ascending, at) }));
}

export function latencyAt(points: readonly LatencyPoint[], at: number): number | null {
  return points.find((point) => point.percentile === at)?.ms ?? null;
}
