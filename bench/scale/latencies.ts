/** Latencies in a histogram of fixed size: kept, handed to another process as text, added up there, and read as percentiles in ms. */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from 'hdr-histogram-js';

/** In microseconds. Nothing waits longer than its time-out, which is less. */
const mostUs = 60_000_000;
/** Without them the library may loop for ever. */
const bounds = {
  lowestDiscernibleValue: 1,
  highestTrackableValue: mostUs,
  numberOfSignificantValueDigits: 3,
} as const;

export class Latencies {
  readonly #histogram: Histogram = build(bounds);

  record(ms: number): void {
    this.#histogram.recordValue(Math.min(mostUs, Math.max(1, Math.round(ms * 1_000))));
  }

  add(text: string): void {
    this.#histogram.add(decodeFromCompressedBase64(text));
  }

  toText(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  /** Null where nothing was recorded. */
  percentileMs(percentile: number): number | null {
    if (this.#histogram.totalCount === 0) return null;
    return this.#histogram.getValueAtPercentile(percentile) / 1_000;
  }
}
