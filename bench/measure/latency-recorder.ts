/**
 * Latencies in an HdrHistogram, in microseconds and to three digits. Whoever records counts each latency from when its request was due,
 * so that a system which makes its clients wait is charged for every request that had to (no coordinated omission); nothing is
 * corrected here.
 */
import { build, type Histogram } from 'hdr-histogram-js';

/** Longer is recorded as so long. */
const mostMs = 10 * 60_000;

/** By nines, as such plots are read. */
const plotted = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100];

export interface PercentilePoint {
  readonly percentile: number;
  readonly ms: number;
}

export class LatencyRecorder {
  // Without bounds of its own the library's histogram can loop without an end.
  readonly #histogram: Histogram = build({
    numberOfSignificantValueDigits: 3,
    lowestDiscernibleValue: 1,
    highestTrackableValue: mostMs * 1000,
    autoResize: false,
  });

  constructor(latenciesMs: readonly number[] = []) {
    for (const ms of latenciesMs) this.record(ms);
  }

  record(ms: number): void {
    this.#histogram.recordValue(Math.round(Math.min(Math.max(ms, 0), mostMs) * 1000));
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** Null where so few values say nothing of that percentile: the 99.9th of less than 1,000 is the highest alone. */
  percentileMs(percentile: number): number | null {
    const enough = percentile >= 100 ? 1 : 100 / (100 - percentile);
    return this.count < Math.max(1, enough) ? null : this.#histogram.getValueAtPercentile(percentile) / 1000;
  }

  maxMs(): number | null {
    return this.count === 0 ? null : this.#histogram.maxValue / 1000;
  }

  /** For a plot: ascending, as far as there are values enough. */
  points(): PercentilePoint[] {
    return plotted.flatMap((percentile) => {
      const ms = percentile === 100 ? this.maxMs() : this.percentileMs(percentile);
      return ms === null ? [] : [{ percentile, ms }];
    });
  }
}
