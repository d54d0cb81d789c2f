/**
 * Latencies by percentile, as HdrHistogram plots them: the horizontal axis gives each further nine the same room, so that the tail is seen.
 * The highest value, which is at 100 % and would be infinitely far to the right, stands at the end, named as such.
 */
import type { EChartsOption } from 'echarts';
import type { PercentilePlot } from '../bench-result.ts';
import { decimalsOf, formatNumber } from '../format-cell.ts';
import { printable } from '../printable.ts';
import { type SeriesStyles, styleOf } from './series-styles.ts';
import { type Drawing, muted, rule, surface, textSize } from './svg.ts';

/** Nines shown at most: beyond them no run of a bench has enough values. */
const mostNines = 6;
/** Above this ratio of the slowest to the fastest, a linear axis would hide the fast ones. */
const widestLinearRatio = 50;
const mostMarkers = 24;

/** 0 at the lowest value, 1 at 90 %, 2 at 99 %. */
export function ninesOf(percentile: number): number {
  return -Math.log10(1 - percentile / 100);
}

/** Whole nines that the axis has before its end, where the highest value stands. */
export function ninesShown(plot: PercentilePlot): number {
  const percentiles = plot.series.flatMap(({ points }) => points.map(({ percentile }) => percentile));
  const furthest = Math.max(1, ...percentiles.filter((one) => one < 100).map(ninesOf));
  return Math.min(mostNines, Math.ceil(furthest - 1e-9));
}

export function percentileDrawing(plot: PercentilePlot, width: number, styles: SeriesStyles): Drawing {
  const nines = ninesShown(plot);
  const hasMaximum = plot.series.some(({ points }) => points.some(({ percentile }) => percentile === 100));
  const isNarrow = width < 500;
  const end = nines + (hasMaximum ? (isNarrow ? 0.8 : 0.5) : 0);
  const latencies = plot.series.flatMap(({ points }) => points.map(({ ms }) => ms));
  const isLogarithmic = needsLogarithm(latencies);
  return {
    width,
    height: 340,
    title: plot.title,
    description: describe(plot),
    option: {
      grid: { left: 64, right: 20, top: 34, bottom: 44 },
      xAxis: percentileAxis(nines, end, hasMaximum, isNarrow),
      yAxis: latencyAxis(latencies, isLogarithmic),
      series: plot.series.map(({ name, points }) => {
        const style = styleOf(styles, name);
        return {
          type: 'line',
          silent: true,
          clip: false,
          symbol: style.marker,
          symbolSize: 8,
          showSymbol: points.length <= mostMarkers,
          itemStyle: { color: style.color, borderColor: surface, borderWidth: 1 },
          lineStyle: { color: style.color, width: 2, type: style.dash, join: 'round' },
          data: points
            .filter(({ percentile }) => percentile === 100 || ninesOf(percentile) <= nines)
            .map(({ percentile, ms }) => [percentile === 100 ? end : ninesOf(percentile), ms]),
        };
      }),
    },
  };
}

/** A logarithm has no place for zero. */
function needsLogarithm(latencies: readonly number[]): boolean {
  const lowest = Math.min(...latencies);
  return lowest > 0 && Math.max(...latencies) / lowest > widestLinearRatio;
}

function percentileAxis(
  nines: number,
  end: number,
  hasMaximum: boolean,
  isNarrow: boolean,
): NonNullable<EChartsOption['xAxis']> {
  const whole = Array.from({ length: nines + 1 }, (_one, at) => at);
  const ticks = [0, ninesOf(50), ...whole.slice(1), ...(hasMaximum ? [end] : [])];
  const label = (at: number) => {
    if (hasMaximum && at === end) return isNarrow ? 'max' : 'highest';
    if (at === 0) return isNarrow ? '0' : '0 %';
    const percentile = 100 - 100 / 10 ** at;
    const text = Number(percentile.toFixed(Math.max(0, Math.round(at) - 2)));
    return isNarrow ? `${text}` : `${text} %`;
  };
  return {
    type: 'value',
    min: 0,
    max: end,
    name: isNarrow ? 'percentile' : 'percentile of writes; each nine has the same room',
    nameLocation: 'middle',
    nameGap: 28,
    nameTextStyle: { color: muted },
    axisLine: { lineStyle: { color: muted } },
    axisTick: { customValues: ticks, lineStyle: { color: muted } },
    axisLabel: { customValues: ticks, formatter: label, color: muted, fontSize: textSize, hideOverlap: true },
    splitLine: { show: false },
  };
}

function latencyAxis(
  latencies: readonly number[],
  isLogarithmic: boolean,
): NonNullable<EChartsOption['yAxis']> {
  const common = {
    name: isLogarithmic ? 'ms, logarithmic' : 'ms',
    nameTextStyle: { color: muted, align: 'left' as const, padding: [0, 0, 0, -52] },
    axisLabel: { color: muted, fontSize: textSize, formatter: axisNumber },
    splitLine: { lineStyle: { color: rule } },
  };
  if (!isLogarithmic) return { ...common, type: 'value', min: 0 };
  return {
    ...common,
    type: 'log',
    min: 10 ** Math.floor(Math.log10(Math.min(...latencies))),
    max: 10 ** Math.ceil(Math.log10(Math.max(...latencies))),
  };
}

/** A value at a tick: all the digits it has, thousands by commas. */
export function axisNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 4 });
}

function describe(plot: PercentilePlot): string {
  const series = plot.series.map(({ name, points }) => {
    const decimals = decimalsOf(points.map(({ ms }) => ms)) ?? 3;
    const told = points
      .filter(({ percentile }) => [0, 50, 90, 99, 99.9, 99.99, 100].includes(percentile))
      .map(({ percentile, ms }) => `${percentile} % ${formatNumber(ms, decimals)} ms`);
    return `${printable(name)}: ${told.length === 0 ? 'no figures' : told.join(', ')}.`;
  });
  return `Latency by percentile. ${series.join(' ')}`;
}
