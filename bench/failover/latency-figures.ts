/**
 * Latencies and acknowledged writes around a blow, as a table and as plots. Every latency counts from when the write was due, and all
 * runs of a system are put together. Pure.
 */
import { LatencyRecorder } from '../measure/latency-recorder.ts';
import type { CellValue, PercentilePlot, Table, TimelinePlot } from '../report/bench-result.ts';
import { type Cell, nameOf, type SystemRuns, typicalRun } from './cells.ts';
import { duringMs } from './run-figures.ts';

export function latencyTable(cells: readonly Cell[]): Table {
  const figures = ['p50', 'p99', 'p99.9', 'highest'];
  return {
    title: 'Latencies',
    explanation:
      'Of writes before the blow, and of those that were due within ' +
      `${duringMs / 1000} s from the beginning of the gap, each counted from when it was due until it was acknowledged; one that was not counts until its client's next that was. ` +
      'All runs of a row together. A percentile stands only where there are writes enough.',
    columns: [
      { name: 'scenario' },
      { name: 'mode' },
      { name: 'path' },
      { name: 'system' },
      ...['before', 'during'].flatMap((when) =>
        figures.map((name) => ({ name: `${when}: ${name}`, unit: 'ms' })),
      ),
    ],
    rows: cells.flatMap((cell) =>
      cell.systems.map((system): CellValue[] => [
        cell.scenario,
        cell.mode,
        cell.path,
        system.system,
        ...percentilesOf(before(system)),
        ...percentilesOf(during(system)),
      ]),
    ),
  };
}

const before = ({ measured }: SystemRuns) =>
  new LatencyRecorder(measured.flatMap(({ latenciesBeforeMs }) => latenciesBeforeMs));
const during = ({ measured }: SystemRuns) =>
  new LatencyRecorder(measured.flatMap(({ latenciesDuringMs }) => latenciesDuringMs));

function percentilesOf(recorder: LatencyRecorder): (number | null)[] {
  const values = [
    recorder.percentileMs(50),
    recorder.percentileMs(99),
    recorder.percentileMs(99.9),
    recorder.maxMs(),
  ];
  return values.map((ms) => (ms === null ? null : Math.round(ms * 10) / 10));
}

export function latencyPlots(cells: readonly Cell[]): PercentilePlot[] {
  return cells.map((cell) => ({
    kind: 'percentiles',
    title: `Latencies, ${nameOf(cell)}`,
    series: cell.systems.flatMap((system) => {
      if (system.measured.length === 0) return [];
      return [
        { name: `${system.system}, before`, points: before(system).points() },
        { name: `${system.system}, during`, points: during(system).points() },
      ];
    }),
  }));
}

/** So wide a picture shows the blow and what comes after it; a system that takes longer is shown to its recovery. */
const leastShownMs = 5_000;
const shownBeforeMs = 1_000;
const shownAfterMs = 1_000;
const mostBins = 240;

/** Of each system's typical run. */
export function timelinePlots(cells: readonly Cell[]): TimelinePlot[] {
  return cells.flatMap((cell) => {
    const typical = cell.systems.flatMap((system) => {
      const run = typicalRun(system);
      return run === null ? [] : [{ system: system.system, run }];
    });
    const [first] = typical;
    if (first === undefined) return [];
    const ends = typical.map(({ run }) => run.gapToMs + shownAfterMs);
    const endMs = Math.max(leastShownMs, ...ends);
    const { binMs } = first.run.timeline;
    const wide = Math.ceil((endMs + shownBeforeMs) / binMs / mostBins) * binMs;
    return [
      {
        kind: 'timeline',
        title: `Acknowledged writes, ${nameOf(cell)}`,
        binMs: wide,
        series: typical.map(({ system, run }) => ({
          name: `${system} (gap ${run.gapMs} ms)`,
          ...rebinned(run.timeline, { binMs: wide, startMs: -Math.ceil(shownBeforeMs / wide) * wide, endMs }),
        })),
        marks: [{ atMs: 0, label: cell.scenario }],
      },
    ];
  });
}

interface Timeline {
  readonly startMs: number;
  readonly binMs: number;
  readonly counts: readonly number[];
}

/** Wider bins, as far as both reach; a bin that is not wholly known is left out. */
export function rebinned(
  timeline: Timeline,
  { binMs, startMs, endMs }: { readonly binMs: number; readonly startMs: number; readonly endMs: number },
): { startMs: number; counts: number[] } {
  const knownFrom = timeline.startMs;
  const knownTo = timeline.startMs + timeline.counts.length * timeline.binMs;
  const counts: number[] = [];
  let from: number | null = null;
  for (let at = startMs; at + binMs <= Math.min(endMs, knownTo) + 1e-6; at += binMs) {
    if (at < knownFrom) continue;
    from ??= at;
    const first = Math.round((at - knownFrom) / timeline.binMs);
    const own = timeline.counts.slice(first, first + Math.round(binMs / timeline.binMs));
    counts.push(own.reduce((sum, count) => sum + count, 0));
  }
  return { startMs: from ?? startMs, counts };
}
