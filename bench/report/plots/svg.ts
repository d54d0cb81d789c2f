/**
 * A plot as an SVG element that can stand in a page among others: drawn by ECharts without a browser, then named and described for those
 * who do not see it. Colours are variables of the page.
 */
import { type EChartsOption, init } from 'echarts';
import { escapeHtml } from '../html/html.ts';

export const ink = 'var(--ink)';
export const muted = 'var(--muted)';
export const rule = 'var(--rule)';
export const surface = 'var(--surface)';
export const textSize = 12;
/** Of a character at that size, on average; wider than most, so that text that is estimated to fit does. */
export const characterWidth = 7;

/** Text that is too long for that width, estimated, ends in an ellipsis. */
export function fitted(text: string, width: number): string {
  const characters = Array.from(text);
  const room = Math.max(1, Math.floor(width / characterWidth));
  return characters.length <= room
    ? text
    : `${characters
        .slice(0, room - 1)
        .join('')
        .trimEnd()}…`;
}

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly option: EChartsOption;
  readonly title: string;
  /** What the plot shows, in words. */
  readonly description: string;
}

/** `id`: unique in the page. */
export function drawSvg(id: string, drawing: Drawing): string {
  const { width, height, option } = drawing;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({
      animation: false,
      textStyle: { fontFamily: 'system-ui, sans-serif', fontSize: textSize, color: ink },
      ...option,
    });
    return embed(id, drawing, chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
}

/** Ids become the page's, whatever was drawn before, and what only matters under a script of ECharts goes. */
function embed(id: string, { width, height, title, description }: Drawing, svg: string): string {
  const inner = svg
    .replace(/^<svg[^>]*>/, '')
    .replace(/<\/svg>\s*$/, '')
    .replaceAll(/<style\s*>[\s\S]*?<\/style>/g, '')
    .replaceAll(/<rect [^>]*fill="none"><\/rect>\n?/g, '')
    .replaceAll(/ (?:class|ecmeta_\w+|pointer-events)="[^"]*"/g, '')
    .replaceAll(/(id="|url\(#)zr\d+/g, `$1${id}`);
  return [
    `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${id}-title ${id}-desc">`,
    `<title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-desc">${escapeHtml(description)}</desc>`,
    inner.trim(),
    '</svg>',
  ].join('\n');
}
