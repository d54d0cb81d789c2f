/**
 * Medians with the lowest and highest value behind them: a row each, in groups, with the figures written beside them. On a logarithmic axis,
 * which has no zero for a bar to begin at, the median is a marker.
 */
import type { CustomSeriesOption, EChartsOption } from 'echarts';
import type { BarPlot, Spread } from '../bench-result.ts';
import { decimalsOf, formatNumber } from '../format-cell.ts';
import { printable } from '../printable.ts';
import { axisNumber } from './percentile-plot.ts';
import { type SeriesStyle, type SeriesStyles, styleOf } from './series-styles.ts';
import { characterWidth, type Drawing, fitted, ink, muted, rule, textSize } from './svg.ts';

const barHeight = 12;
const axisHeight = 44;
/** What has room above a bar on a narrow screen, beside its figures. */
const shortName = 24;
const longestGutter = 260;
/** About as many steps has a linear axis. */
const linearSteps = 5;

interface Row {
  /** Null: the name of a group, above its rows. */
  readonly style: SeriesStyle | null;
  readonly name: string;
  readonly value: Spread | null;
  /** From the top of the grid to the middle of the bar, or of the name. */
  readonly y: number;
}

interface Layout {
  /** Names stand above their bars, for there is no room beside them. */
  readonly isStacked: boolean;
  readonly rows: readonly Row[];
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly figures: (value: Spread | null) => string;
}

/** Names that are cut short somewhere, and so need a legend that has them whole. */
export function hasLongNames({ series }: BarPlot): boolean {
  return series.length > 1 && series.some(({ name }) => name.length > shortName);
}

export function barDrawing(plot: BarPlot, width: number, styles: SeriesStyles): Drawing {
  const layout = layOut(plot, width, styles);
  const { min, max } = extent(plot);
  const isLogarithmic = plot.logarithmic === true && min > 0;
  const unit = printable(plot.unit);
  return {
    width,
    height: layout.height + axisHeight + 4,
    title: plot.title,
    description: describe(plot, layout.figures),
    option: {
      grid: { left: layout.left, right: layout.right, top: 4, height: layout.height },
      xAxis: {
        ...valueAxis(min, max, isLogarithmic),
        name: isLogarithmic ? `${unit}, logarithmic` : unit,
        nameLocation: 'middle',
        nameGap: 26,
        nameTextStyle: { color: muted },
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { color: muted, fontSize: textSize, formatter: axisNumber, hideOverlap: true },
        splitLine: { lineStyle: { color: rule } },
      } as EChartsOption['xAxis'] & object,
      yAxis: { type: 'value', show: false, min: 0, max: layout.height, inverse: true },
      series: [rowSeries(layout, width, isLogarithmic)],
    },
  };
}

function layOut(plot: BarPlot, width: number, styles: SeriesStyles): Layout {
  const isStacked = width < 500;
  const [only] = plot.series.length === 1 ? plot.series : [];
  const rowHeight = isStacked ? 40 : 22;
  const rows: Row[] = [];
  let end = 0;
  const add = (name: string, style: SeriesStyle, value: Spread | null) => {
    rows.push({ name: printable(name), style, value, y: end + (isStacked ? 28 : rowHeight / 2) });
    end += rowHeight;
  };
  plot.groups.forEach((group, at) => {
    if (only !== undefined) {
      add(group, styleOf(styles, only.name), only.values[at] ?? null);
      return;
    }
    rows.push({ name: printable(group), style: null, value: null, y: end + 14 });
    end += 26;
    for (const { name, values } of plot.series) add(name, styleOf(styles, name), values[at] ?? null);
    end += 8;
  });
  const figures = figuresOf(plot);
  const widthOf = (texts: readonly string[]) =>
    Math.ceil(Math.max(0, ...texts.map((text) => text.length)) * characterWidth);
  const barRows = rows.filter(({ style }) => style !== null);
  return {
    isStacked,
    rows,
    height: end,
    figures,
    left: isStacked ? 1 : Math.min(longestGutter, widthOf(barRows.map(({ name }) => name)) + 16),
    right: isStacked ? 12 : widthOf(barRows.map(({ value }) => figures(value))) + 16,
  };
}

/** The median, and the spread where there is one, with one number of decimals in the whole plot where that can be. */
function figuresOf({ series }: BarPlot): Layout['figures'] {
  const spreads = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const decimals = decimalsOf(spreads.flatMap(({ median, low, high }) => [median, low, high]));
  const text = (value: number) => formatNumber(value, decimals ?? decimalsOf([value]) ?? 0);
  return (value) => {
    if (value === null) return 'not measured';
    const { median, low, high } = value;
    return low === high ? text(median) : `${text(median)} (${text(low)} to ${text(high)})`;
  };
}

interface Extent {
  readonly min: number;
  readonly max: number;
}

/** Of what was measured; from 0 to 1 where nothing was. */
function extent({ series }: BarPlot): Extent {
  const spreads = series.flatMap(({ values }) => values.filter((value) => value !== null));
  if (spreads.length === 0) return { min: 0, max: 1 };
  return {
    min: Math.min(...spreads.map(({ low }) => low)),
    max: Math.max(...spreads.map(({ high }) => high)),
  };
}

function valueAxis(min: number, max: number, isLogarithmic: boolean) {
  if (isLogarithmic) {
    const lowest = 10 ** Math.floor(Math.log10(min));
    return {
      type: 'log' as const,
      min: lowest,
      max: Math.max(lowest * 10, 10 ** Math.ceil(Math.log10(max))),
    };
  }
  const step = roundStep((Math.max(0, max) - Math.min(0, min)) / linearSteps);
  return {
    type: 'value' as const,
    min: Math.min(0, Math.floor(min / step) * step),
    max: Math.max(step, Math.ceil(max / step) * step),
    interval: step,
  };
}

/** The next of 1, 2 and 5 times a power of ten. */
function roundStep(least: number): number {
  if (least <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((one) => one * power >= least * 0.999) ?? 10);
}

function rowSeries(layout: Layout, width: number, isLogarithmic: boolean): CustomSeriesOption {
  const { rows } = layout;
  return {
    type: 'custom',
    silent: true,
    clip: false,
    data: rows.map(({ y }, at) => [at, y]),
    encode: { x: [], y: 1 },
    renderItem: ({ dataIndex }, api) => {
      const row = rows[dataIndex];
      if (row === undefined) return null;
      const at = (value: number): number => api.coord([value, row.y])[0] ?? 0;
      const y = row.y + 4;
      const shapes =
        row.value === null || row.style === null ? [] : bar(row.value, row.style, at, y, isLogarithmic);
      return { type: 'group', children: [...labels(row, layout, width, y), ...shapes] };
    },
  };
}

function labels(row: Row, { isStacked, left, figures }: Layout, width: number, y: number) {
  const text = (x: number, at: number, shown: string, more: object) => ({
    type: 'text' as const,
    x,
    y: at,
    style: {
      text: shown,
      fill: ink,
      font: `${textSize}px system-ui, sans-serif`,
      verticalAlign: 'middle' as const,
      ...more,
    },
  });
  const bold = { font: `600 13px system-ui, sans-serif` };
  if (row.style === null) return [text(0, y, fitted(row.name, width), bold)];
  const shown = figures(row.value);
  const figure = { align: 'right' as const, ...(row.value === null ? { fill: muted } : {}) };
  if (!isStacked) {
    return [
      text(left - 10, y, fitted(row.name, left - 10), { align: 'right' as const }),
      text(width, y, shown, figure),
    ];
  }
  const room = width - 14 - shown.length * characterWidth;
  return [text(0, y - 16, fitted(row.name, room), {}), text(width, y - 16, shown, figure)];
}

/** The bar from zero, or the marker; then the line of the spread over it, with an end at either side. */
function bar(
  value: Spread,
  style: SeriesStyle,
  at: (value: number) => number,
  y: number,
  isLogarithmic: boolean,
) {
  const median = at(value.median);
  const zero = isLogarithmic ? median : at(0);
  const half = barHeight / 2;
  const line = (x1: number, y1: number, x2: number, y2: number) => ({
    type: 'line' as const,
    shape: { x1, y1, x2, y2 },
    style: { stroke: ink, lineWidth: 1.25 },
  });
  const spread =
    value.low === value.high
      ? []
      : [
          line(at(value.low), y, at(value.high), y),
          line(at(value.low), y - 4, at(value.low), y + 4),
          line(at(value.high), y - 4, at(value.high), y + 4),
        ];
  if (isLogarithmic) {
    return [
      ...spread,
      {
        type: 'circle' as const,
        shape: { cx: median, cy: y, r: half - 1 },
        style: { fill: style.color, opacity: 1 },
      },
    ];
  }
  return [
    {
      type: 'rect' as const,
      // A thin line at least, so that a very small figure is not taken for none.
      shape: {
        x: Math.min(zero, median),
        y: y - half,
        width: Math.max(1, Math.abs(median - zero)),
        height: barHeight,
      },
      style: { fill: style.color, opacity: style.opacity },
    },
    ...spread,
  ];
}

function describe({ groups, series, unit }: BarPlot, figures: Layout['figures']): string {
  const told = groups.map((group, at) => {
    const values = series.map(({ name, values: all }) => `${printable(name)} ${figures(all[at] ?? null)}`);
    return `${printable(group)}: ${values.join('; ')}.`;
  });
  return `Medians, with the lowest and highest value in brackets, in ${printable(unit)}. ${told.join(' ')}`;
}
