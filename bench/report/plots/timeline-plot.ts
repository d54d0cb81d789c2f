/**
 * Acknowledged writes around an event: one strip a series, one under another on the same scales, so that an outage is a hole whose width can be
 * compared. What happened when is marked by letters, which the page explains.
 */
import type { EChartsOption } from 'echarts';
import type { TimelinePlot } from '../bench-result.ts';
import { printable } from '../printable.ts';
import { axisNumber } from './percentile-plot.ts';
import { type SeriesStyles, styleOf } from './series-styles.ts';
import { type Drawing, fitted, ink, muted, rule, surface, textSize } from './svg.ts';

const left = 48;
const right = 16;
const stripHeight = 58;
/** Above each strip, for its name. */
const nameHeight = 26;
const letterHeight = 16;
const mostLetterRows = 6;
/** Bold text takes more room: this much of it fits. */
const boldShare = 0.88;
const bottom = 44;

export interface PlacedMark {
  readonly letter: string;
  readonly atMs: number;
  readonly label: string;
}

/** In order of time; the event itself is among them only where the suite says so. */
export function lettered(marks: TimelinePlot['marks']): PlacedMark[] {
  return [...marks]
    .sort((one, other) => one.atMs - other.atMs)
    .map((mark, at) => ({ ...mark, letter: letterOf(at) }));
}

function letterOf(at: number): string {
  const letter = String.fromCharCode(97 + (at % 26));
  return at < 26 ? letter : `${letter}${Math.floor(at / 26)}`;
}

export function timelineDrawing(plot: TimelinePlot, width: number, styles: SeriesStyles): Drawing {
  const marks = lettered(plot.marks);
  const range = rangeOf(plot);
  const xOf = (ms: number) =>
    left + ((ms - range.fromMs) / (range.toMs - range.fromMs)) * (width - left - right);
  const letters = placeLetters(marks, xOf);
  const top = (1 + Math.max(0, ...letters.map(({ row }) => row))) * letterHeight;
  const stripTop = (at: number) => top + at * (stripHeight + nameHeight) + nameHeight;
  const height = top + plot.series.length * (stripHeight + nameHeight) + bottom;
  const most = Math.max(1, ...plot.series.flatMap(({ counts }) => counts));
  return {
    width,
    height,
    title: plot.title,
    description: describe(plot, marks),
    option: {
      grid: plot.series.map((_one, at) => ({ left, right, top: stripTop(at), height: stripHeight })),
      xAxis: plot.series.map((_one, at) => timeAxis(at, range, at === plot.series.length - 1)),
      yAxis: plot.series.map((_one, at) => countAxis(at, most)),
      title: plot.series.map(({ name }, at) => ({
        text: fitted(printable(name), (width - left) * boldShare),
        left: left - 3,
        top: stripTop(at) - nameHeight + 4,
        padding: [2, 3],
        z: 7,
        backgroundColor: surface,
        textStyle: {
          color: ink,
          fontSize: textSize,
          fontWeight: 600,
        },
      })),
      series: plot.series.map((series, at) => {
        const { color } = styleOf(styles, series.name);
        return {
          type: 'line',
          silent: true,
          xAxisIndex: at,
          yAxisIndex: at,
          symbol: 'none',
          step: 'end' as const,
          lineStyle: { color, width: 1.25 },
          areaStyle: { color, opacity: 0.28 },
          data: steps(series, plot.binMs),
        };
      }),
      graphic: graphics(letters, xOf(0), top, height - bottom),
    },
  };
}

interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/** All bins, all marks, and the event at 0. */
function rangeOf({ series, marks, binMs }: TimelinePlot): Range {
  const starts = series.map(({ startMs }) => startMs);
  const ends = series.map(({ startMs, counts }) => startMs + counts.length * binMs);
  const at = marks.map(({ atMs }) => atMs);
  const fromMs = Math.min(0, ...starts, ...at);
  const toMs = Math.max(0, ...ends, ...at);
  return { fromMs, toMs: toMs > fromMs ? toMs : fromMs + binMs };
}

/** A bin's count holds from its start to its end. */
function steps({ startMs, counts }: TimelinePlot['series'][number], binMs: number): [number, number][] {
  const points = counts.map((count, at): [number, number] => [startMs + at * binMs, count]);
  const last = counts.at(-1);
  // The step "end" draws each value from its own point on to the next.
  return last === undefined ? points : [...points, [startMs + counts.length * binMs, last]];
}

function timeAxis(at: number, { fromMs, toMs }: Range, isLast: boolean) {
  const inSeconds = toMs - fromMs > 3_000;
  return {
    type: 'value' as const,
    gridIndex: at,
    min: fromMs,
    max: toMs,
    name: isLast ? `${inSeconds ? 's' : 'ms'} from the event` : '',
    nameLocation: 'middle' as const,
    nameGap: 26,
    nameTextStyle: { color: muted },
    axisLine: { show: true, onZero: true, lineStyle: { color: muted } },
    axisTick: { show: isLast, lineStyle: { color: muted } },
    axisLabel: {
      show: isLast,
      color: muted,
      fontSize: textSize,
      hideOverlap: true,
      showMinLabel: isWhole(fromMs, inSeconds),
      showMaxLabel: isWhole(toMs, inSeconds),
      formatter: (ms: number) => axisNumber(inSeconds ? ms / 1000 : ms),
    },
    splitLine: { show: true, lineStyle: { color: rule } },
  };
}

/** Ends of the range that are no round number would stand too near to the label beside them. */
function isWhole(ms: number, inSeconds: boolean): boolean {
  return ms % (inSeconds ? 1000 : 100) === 0;
}

function countAxis(at: number, most: number) {
  return {
    type: 'value' as const,
    gridIndex: at,
    min: 0,
    max: most,
    interval: most,
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: { color: muted, fontSize: textSize, formatter: axisNumber },
    splitLine: { show: false },
  };
}

interface Letter extends PlacedMark {
  readonly x: number;
  /** 0 is nearest to the strips. */
  readonly row: number;
}

/** Letters of marks that are near to one another stand above one another, in the lowest row that has room. */
function placeLetters(marks: readonly PlacedMark[], xOf: (ms: number) => number): Letter[] {
  const rowEnds: number[] = Array.from({ length: mostLetterRows }, () => Number.NEGATIVE_INFINITY);
  return marks.map((mark) => {
    const x = xOf(mark.atMs);
    const free = rowEnds.findIndex((end) => end < x - textSize);
    const row = free === -1 ? mostLetterRows - 1 : free;
    rowEnds[row] = x;
    return { ...mark, x, row };
  });
}

/** A line through all strips for the event and for each mark, with the mark's letter above. */
function graphics(
  letters: readonly Letter[],
  eventX: number,
  top: number,
  end: number,
): NonNullable<EChartsOption['graphic']> {
  const line = (x: number, from: number, color: string, dash: number[]) => ({
    type: 'line' as const,
    silent: true,
    z: 5,
    shape: { x1: x, y1: from, x2: x, y2: end },
    style: { stroke: color, lineWidth: 1, lineDash: dash },
  });
  const placed = letters.flatMap(({ letter, x, row }) => {
    const y = top - (row + 1) * letterHeight + 2;
    const style = {
      text: letter,
      fill: ink,
      font: `600 ${textSize}px system-ui, sans-serif`,
      align: 'center' as const,
    };
    return [line(x, y + 13, muted, [3, 3]), { type: 'text' as const, silent: true, z: 6, x, y, style }];
  });
  return [line(eventX, top, ink, []), ...placed];
}

function describe({ series, binMs }: TimelinePlot, marks: readonly PlacedMark[]): string {
  const told = series.map(({ name, counts }) => {
    const emptyMs = longestEmpty(counts) * binMs;
    const hole = emptyMs === 0 ? 'no bin is empty' : `empty for at most ${emptyMs} ms on end`;
    return `${printable(name)}: ${hole}.`;
  });
  const marked = marks.map(
    ({ letter, atMs, label }) => `${letter}, at ${Math.round(atMs)} ms: ${printable(label)}.`,
  );
  return [`Writes acknowledged in each ${binMs} ms; the event is at 0.`, ...told, ...marked].join(' ');
}

/** Empty bins on end, at most. */
export function longestEmpty(counts: readonly number[]): number {
  let longest = 0;
  let current = 0;
  for (const count of counts) {
    current = count === 0 ? current + 1 : 0;
    longest = Math.max(longest, current);
  }
  return longest;
}
