/**
 * Which colour, dash and marker a name has: the same in every plot of a report, told apart without colour too. Colours are variables of
 * the page's style sheet, which has them for light and dark. Pure.
 */
import type { BenchResult } from '../bench-result.ts';

export interface SeriesStyle {
  /** Such as `var(--series-1)`. */
  readonly color: string;
  readonly dash: 'solid' | 'dashed' | 'dotted';
  readonly marker: 'circle' | 'rect' | 'triangle' | 'diamond';
  /** Of filled shapes: less where a colour is used a second time. */
  readonly opacity: number;
}

export type SeriesStyles = ReadonlyMap<string, SeriesStyle>;

/** As many as the style sheet has. */
export const colorCount = 8;

const dashes = ['solid', 'dashed', 'dotted'] as const;
const markers = ['circle', 'rect', 'triangle', 'diamond'] as const;
const opacities = [1, 0.6, 0.35] as const;

/** Without what a suite has added in brackets at the end, such as a figure of that plot. */
function baseOf(name: string): string {
  return name.replace(/ \([^()]*\)$/, '');
}

/** The name by which a series has its looks: without its brackets, unless these tell it from another one of a plot. */
function naming(together: readonly (readonly string[])[]): (name: string) => string {
  const needed = together.flatMap((names) =>
    names.filter((name) => names.some((other) => other !== name && baseOf(other) === baseOf(name))),
  );
  const whole = new Set(needed.map(baseOf));
  return (name) => (whole.has(baseOf(name)) ? name : baseOf(name));
}

/**
 * No two names of one plot look alike, as long as there are looks; names that never meet may share one. The accent, which is the first, is
 * kept for Leasehold's own names where there are any. Depends on the order of results, plots and series alone.
 */
export function assignStyles(results: readonly BenchResult[]): SeriesStyles {
  const full = results.flatMap(({ plots }) => plots.map(({ series }) => series.map(({ name }) => name)));
  const named = naming(full);
  const together = full.map((plot) => plot.map(named));
  const names = [...new Set(together.flat())];
  const isOurs = (name: string) => /^leasehold\b/i.test(name);
  const ordered = [...names.filter(isOurs), ...names.filter((name) => !isOurs(name))];
  const first = names.some(isOurs) ? 1 : 0;
  const looks = new Map<string, number>();
  for (const name of ordered) {
    const neighbours = together.filter((plot) => plot.includes(name)).flat();
    const taken = new Set(neighbours.map((neighbour) => looks.get(neighbour)));
    let look = isOurs(name) ? 0 : first;
    // Bounded: there are no more looks taken than names.
    while (taken.has(look)) look += 1;
    looks.set(name, look);
  }
  return new Map(full.flat().map((name) => [name, styleAt(looks.get(named(name)) ?? 0)]));
}

export function styleOf(styles: SeriesStyles, name: string): SeriesStyle {
  return styles.get(name) ?? styleAt(0);
}

function styleAt(at: number): SeriesStyle {
  const round = Math.floor(at / colorCount);
  return {
    color: `var(--series-${(at % colorCount) + 1})`,
    dash: dashes[round % dashes.length] ?? 'solid',
    marker: markers[at % markers.length] ?? 'circle',
    opacity: opacities[round % opacities.length] ?? 1,
  };
}
