/** Any plot of a result, for a width. */
import type { Plot } from '../bench-result.ts';
import { barDrawing } from './bar-plot.ts';
import { percentileDrawing } from './percentile-plot.ts';
import type { SeriesStyles } from './series-styles.ts';
import { type Drawing, drawSvg } from './svg.ts';
import { timelineDrawing } from './timeline-plot.ts';

/** The SVG element; `id` is unique in the page. */
export function drawPlot(id: string, plot: Plot, width: number, styles: SeriesStyles): string {
  return drawSvg(id, drawingOf(plot, width, styles));
}

function drawingOf(plot: Plot, width: number, styles: SeriesStyles): Drawing {
  switch (plot.kind) {
    case 'timeline':
      return timelineDrawing(plot, width, styles);
    case 'percentiles':
      return percentileDrawing(plot, width, styles);
    case 'bars':
      return barDrawing(plot, width, styles);
  }
}
