/** A plot on the page: once for wide screens and once for narrow ones, with its legend, and what its letters stand for. */
import type { Plot } from '../bench-result.ts';
import { formatNumber } from '../format-cell.ts';
import { hasLongNames } from '../plots/bar-plot.ts';
import { drawPlot } from '../plots/draw-plot.ts';
import { type SeriesStyle, type SeriesStyles, styleOf } from '../plots/series-styles.ts';
import { lettered } from '../plots/timeline-plot.ts';
import { type Html, html, trusted } from './html.ts';
import { inline } from './result-table.ts';

const wideWidth = 1120;
const narrowWidth = 328;

/** `id`: unique in the page. */
export function plotFigure(id: string, plot: Plot, styles: SeriesStyles): Html {
  const drawn = (form: 'wide' | 'narrow', width: number) =>
    html`<div class="${form}">${trusted(drawPlot(`${id}-${form}`, plot, width, styles))}</div>`;
  return html`<h3>${inline(plot.title)}</h3>
<p class="explanation">${explanations[plot.kind]}</p>
<div class="plot">
${legend(plot, styles)}
${drawn('wide', wideWidth)}
${drawn('narrow', narrowWidth)}
${marks(plot)}
</div>`;
}

const explanations: Readonly<Record<Plot['kind'], string>> = {
  timeline:
    'Writes acknowledged over time, a strip each on the same scales; the event is at 0, and a hole is time in which nothing was acknowledged.',
  percentiles: 'How long writes took: at 99 %, one in a hundred took longer.',
  bars: 'Medians; the line spans the lowest and the highest value behind each, which stand in brackets.',
};

/** None where the plot names each series beside its figures. */
function legend(plot: Plot, styles: SeriesStyles): Html {
  if (plot.kind === 'timeline' || plot.series.length < 2) return html``;
  if (plot.kind === 'bars' && !hasLongNames(plot)) return html``;
  const entries = plot.series.map(
    ({ name }) =>
      html`<li>${plot.kind === 'bars' ? blockOf(styleOf(styles, name)) : lineOf(styleOf(styles, name))}<span>${name}</span></li>`,
  );
  return html`<ul class="legend">${entries}</ul>`;
}

function blockOf({ color, opacity }: SeriesStyle): Html {
  return html`<svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" rx="2" fill="${color}" fill-opacity="${opacity}"/></svg>`;
}

const dashArrays: Readonly<Record<SeriesStyle['dash'], string>> = {
  solid: 'none',
  dashed: '8 4',
  dotted: '2 2',
};

const markerPaths: Readonly<Record<SeriesStyle['marker'], string>> = {
  circle: 'M10.5 6a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z',
  rect: 'M10.5 2.5h7v7h-7Z',
  triangle: 'M14 2.5L17.5 9.5H10.5Z',
  diamond: 'M14 1.5L18 6L14 10.5L10 6Z',
};

function lineOf({ color, dash, marker }: SeriesStyle): Html {
  return html`<svg width="28" height="12" viewBox="0 0 28 12" aria-hidden="true"><path d="M0 6H28" stroke="${color}" stroke-width="2" stroke-dasharray="${dashArrays[dash]}"/><path d="${markerPaths[marker]}" fill="${color}" stroke="var(--surface)"/></svg>`;
}

function marks(plot: Plot): Html {
  if (plot.kind !== 'timeline' || plot.marks.length === 0) return html``;
  const items = lettered(plot.marks).map(
    ({ letter, atMs, label }) =>
      html`<li><b>${letter}</b><span class="at">${formatNumber(atMs, 0)} ms</span><span>${label}</span></li>`,
  );
  return html`<ul class="marks">${items}</ul>`;
}
