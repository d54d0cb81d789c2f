/**
 * What every suite of the harness hands over: tables, plots and notes that any report can show without knowing the suite, and the raw
 * figures beside them. One suite's result is one JSON file; the report is made from those files alone, so that it can be made again.
 */

export const suiteNames = ['failover', 'throughput', 'cost', 'scale'] as const;
export type SuiteName = (typeof suiteNames)[number];

/** Where it was measured. A figure without its machine says nothing. */
export interface MachineFacts {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Program to version: node, postgres, haproxy, pgbouncer, and the peers that took part. */
  readonly versions: Readonly<Record<string, string>>;
}

export interface BenchResult {
  readonly suite: SuiteName;
  /** ISO 8601, UTC. */
  readonly madeAt: string;
  /** The command line that makes it again. */
  readonly command: string;
  /** The commit it was made at, with `+changes` where the tree was not clean; null outside of git. */
  readonly commit: string | null;
  readonly machine: MachineFacts;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly tables: readonly Table[];
  readonly plots: readonly Plot[];
  /** What was left out and why, runs that are marked, what the figures do not say. One sentence or two each. */
  readonly notes: readonly string[];
  /** The suite's own figures, run by run; only that suite's code reads them. */
  readonly raw: unknown;
}

export interface Column {
  readonly name: string;
  /** Such as `ms`; left out for words and plain counts. */
  readonly unit?: string;
}

export type CellValue = string | number | null;

/** A missing figure is null, never zero. */
export interface Table {
  readonly title: string;
  /** What a row is, and how its figures were got. */
  readonly explanation: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly CellValue[])[];
}

export type Plot = TimelinePlot | PercentilePlot | BarPlot;

/** Acknowledged writes over time around an event, which is at 0 ms. */
export interface TimelinePlot {
  readonly kind: 'timeline';
  readonly title: string;
  readonly binMs: number;
  readonly series: readonly {
    readonly name: string;
    readonly startMs: number;
    /** One count a bin, from `startMs` on. */
    readonly counts: readonly number[];
  }[];
  readonly marks: readonly { readonly atMs: number; readonly label: string }[];
}

/** Latencies by percentile; points in ascending order. */
export interface PercentilePlot {
  readonly kind: 'percentiles';
  readonly title: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly { readonly percentile: number; readonly ms: number }[];
  }[];
}

/** Medians with their spread, in groups side by side. */
export interface BarPlot {
  readonly kind: 'bars';
  readonly title: string;
  readonly unit: string;
  readonly groups: readonly string[];
  readonly series: readonly {
    readonly name: string;
    /** One a group; null where nothing was measured. */
    readonly values: readonly (Spread | null)[];
  }[];
  /** Where values differ by orders of magnitude. */
  readonly logarithmic?: boolean;
}

/** A median and the lowest and highest value behind it. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}
