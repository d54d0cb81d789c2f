/** The report in its forms: self-contained, escaped, complete, in order, and the same looks for the same name. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BarPlot, BenchResult, PercentilePlot, Plot } from '../../../bench/report/bench-result.ts';
import { htmlReport } from '../../../bench/report/html/html-report.ts';
import { markdownReport } from '../../../bench/report/markdown-report.ts';
import { drawPlot } from '../../../bench/report/plots/draw-plot.ts';
import { ninesOf, ninesShown } from '../../../bench/report/plots/percentile-plot.ts';
import { assignStyles, colorCount } from '../../../bench/report/plots/series-styles.ts';
import { longestEmpty } from '../../../bench/report/plots/timeline-plot.ts';
import { writeReport } from '../../../bench/report/write-report.ts';
import { costSample, failoverSample, percentilesOf, throughputSample, timelineOf } from './sample-results.ts';

const madeAt = '2026-11-25T03:00:00Z';
const samples = [costSample, throughputSample, failoverSample];

function withPlots(plots: readonly Plot[]): BenchResult {
  return { ...costSample, plots };
}

function barsOf(names: readonly string[], value = 1): BarPlot {
  const spread = { median: value, low: value, high: value };
  return {
    kind: 'bars',
    title: 'Bars',
    unit: 'ms',
    groups: ['a group'],
    series: names.map((name) => ({ name, values: [spread] })),
  };
}

describe('the page', () => {
  const page = htmlReport(samples, madeAt);

  it('needs nothing but itself: no script, and no address of anything elsewhere', () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|\bsrc=|https?:\/\//i);
    expect(page).not.toMatch(/url\((?!#)/);
    expect(Array.from(page.matchAll(/\shref="([^"]*)"/g), ([, target]) => target?.[0])).not.toContain('h');
    expect(page).toContain('default-src &#39;none&#39;');
  });

  it('is the same again when it is made again', () => {
    expect(htmlReport(samples, madeAt)).toBe(page);
  });

  it('has each id once, and every reference to an id leads somewhere', () => {
    const ids = Array.from(page.matchAll(/\sid="([^"]+)"/g), ([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const named = [
      ...Array.from(page.matchAll(/(?:href="|url\()#([^")]+)/g), ([, id]) => id),
      ...Array.from(page.matchAll(/aria-labelledby="([^"]+)"/g), ([, all]) => all?.split(' ')).flat(),
    ];
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((id) => !ids.includes(id))).toEqual([]);
  });

  it('has its headings in order, a caption and scopes for each table, a name and words for each plot', () => {
    const levels = Array.from(page.matchAll(/<h([1-6])[ >]/g), ([, level]) => Number(level));
    expect(levels[0]).toBe(1);
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    levels.slice(1).forEach((level, at) => {
      expect(level - (levels[at] ?? 0)).toBeLessThanOrEqual(1);
    });
    const count = (form: RegExp) => Array.from(page.matchAll(form)).length;
    expect(count(/<table>\n<caption class="hidden">[^<]/g)).toBe(count(/<table/g));
    expect(count(/<th /g)).toBe(count(/<th scope="(?:col|row)"/g));
    expect(count(/role="img"/g)).toBe(2 * samples.flatMap(({ plots }) => plots).length);
    expect(count(/<title id="[^"]+">[^<]+<\/title><desc id="[^"]+">[^<]+<\/desc>/g)).toBe(
      count(/role="img"/g),
    );
  });

  it('shows sections in the order of the suites, and names one that was not measured with the command that measures it', () => {
    const titles = Array.from(page.matchAll(/<h2 [^>]*>([^<]*)</g), ([, title]) => title);
    expect(titles).toEqual(['Failover', 'Throughput', 'Cost of being there', 'Scale']);
    expect(page).toContain('Not measured. This measures it: <code>npm run bench -- scale</code>');
  });

  it('keeps two results of one suite apart, the older first', () => {
    const newer = { ...costSample, madeAt: '2026-11-26T00:00:00Z' };
    const both = htmlReport([newer, costSample], madeAt);
    expect(both.indexOf('2026-11-25 02:05 UTC')).toBeLessThan(both.indexOf('2026-11-26 00:00 UTC'));
    expect(both).toContain('id="cost-1"');
    expect(both).toContain('id="cost-2"');
  });

  it('says a budget by word and sign', () => {
    expect(page).toContain('<span class="good">✓ met</span>');
    expect(page).toContain('<span class="bad">✗ not met</span>');
    expect(page).toContain('✗ failed: 5 of 5 runs');
  });

  it('says that a figure is missing to those who only hear it', () => {
    expect(page).toContain(
      '<span class="absent" aria-hidden="true">–</span><span class="hidden">no figure</span>',
    );
  });

  it('cautions of commits and machines that differ, and not otherwise', () => {
    expect(page).toContain('Sections were measured at different commits.');
    expect(page).toContain('with changes that no commit holds');
    expect(page).not.toContain('on different machines');
    const elsewhere = {
      ...failoverSample,
      commit: costSample.commit,
      machine: { ...costSample.machine, cores: 64 },
    };
    expect(htmlReport([costSample, elsewhere], madeAt)).toContain('on different machines');
    expect(htmlReport([costSample], madeAt)).not.toContain('class="cautions"');
  });
});

describe('text from a result', () => {
  const hostile = `<script>alert("1")</script> & 'x' | \u0000\u001b[31m \ud800`;
  const bars = barsOf([hostile, 'other']);
  const everywhere: BenchResult = {
    ...failoverSample,
    command: hostile,
    commit: hostile,
    machine: {
      ...failoverSample.machine,
      processor: hostile,
      kernel: hostile,
      versions: { [hostile]: hostile },
    },
    settings: { [hostile]: hostile },
    tables: [
      {
        title: hostile,
        explanation: hostile,
        columns: [{ name: hostile, unit: hostile }, { name: 'b' }],
        rows: [[hostile, `failed: ${hostile}`]],
      },
    ],
    plots: [
      { ...bars, title: hostile, unit: hostile, groups: [hostile] },
      { ...percentilesOf([hostile, 'other']), title: hostile },
      {
        kind: 'timeline',
        title: hostile,
        binMs: 10,
        series: [{ name: hostile, startMs: 0, counts: [1, 0] }],
        marks: [{ atMs: 0, label: hostile }],
      },
    ],
    notes: [hostile, `\`${hostile}\``],
  };

  it('becomes no markup in the page, wherever it stands', () => {
    const page = htmlReport([everywhere], madeAt);
    expect(page).not.toContain('<script');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(page).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/);
    expect(page.isWellFormed()).toBe(true);
    const plain = htmlReport([failoverSample], madeAt);
    const tags = (text: string) =>
      new Set(Array.from(text.matchAll(/<\/?([a-zA-Z][\w-]*)/g), ([, tag]) => tag));
    expect([...tags(page)].filter((tag) => !tags(plain).has(tag))).toEqual([]);
  });

  it('ends no cell in Markdown, and begins no line', () => {
    const report = markdownReport([everywhere], madeAt);
    expect(report.replaceAll(/(?<!\\)`[^`\n]*`/g, '')).not.toMatch(/(?<!\\)<script/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(report).not.toMatch(/[\u0000-\u0008\u001b]/);
    const rows = report.split('\n').filter((line) => line.startsWith('|'));
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row.match(/(?<!\\)\|/g)).toHaveLength(3);
  });
});

describe('the looks of a series', () => {
  it('are the same for the same name in every plot, and differ within a plot', () => {
    const looks = assignStyles(samples);
    for (const { plots } of samples) {
      for (const { series } of plots) {
        const colors = series.map(({ name }) => looks.get(name)?.color);
        expect(new Set(colors).size).toBe(series.length);
      }
    }
    expect(looks.get('leasehold')?.color).toBe('var(--series-1)');
    const others = [...looks].filter(([name]) => name !== 'leasehold').map(([, { color }]) => color);
    expect(others).not.toContain('var(--series-1)');
  });

  it('are those of the name without a figure in brackets, unless the brackets tell two names of a plot apart', () => {
    const plots = [
      barsOf(['pgaf (gap 3 ms)', 'patroni (gap 5 ms)']),
      barsOf(['patroni (gap 7 ms)']),
      barsOf(['direct (with agent)', 'direct (without)']),
    ];
    const looks = assignStyles([withPlots(plots)]);
    expect(looks.get('patroni (gap 7 ms)')).toEqual(looks.get('patroni (gap 5 ms)'));
    expect(looks.get('patroni (gap 5 ms)')).not.toEqual(looks.get('pgaf (gap 3 ms)'));
    expect(looks.get('direct (with agent)')).not.toEqual(looks.get('direct (without)'));
  });

  it('do without colour where there are more names than colours', () => {
    const names = Array.from({ length: colorCount + 2 }, (_one, at) => `system ${at}`);
    const looks = assignStyles([withPlots([barsOf(names)])]);
    const all = names.map((name) => JSON.stringify(looks.get(name)));
    expect(new Set(all).size).toBe(names.length);
  });
});

describe('plots', () => {
  const styles = assignStyles(samples);

  it.each([
    ['bars without a figure', { ...barsOf(['a']), series: [{ name: 'a', values: [null] }] }],
    ['bars without a series', { ...barsOf([]), groups: [] }],
    ['bars of zero', barsOf(['a', 'b'], 0)],
    ['bars below zero', barsOf(['a', 'b'], -3)],
    ['logarithmic bars of zero', { ...barsOf(['a', 'b'], 0), logarithmic: true }],
    ['percentiles without a series', percentilesOf([])],
    ['percentiles without points', { ...percentilesOf([]), series: [{ name: 'a', points: [] }] }],
    ['a timeline without a series', { ...timelineOf(50), series: [] }],
    [
      'a timeline of nothing',
      { ...timelineOf(50), series: [{ name: 'a', startMs: 0, counts: [] }], marks: [] },
    ],
  ] as [string, Plot][])('are drawn for %s, with no figure that is none', (_name, plot) => {
    for (const width of [328, 1120]) {
      const svg = drawPlot('p', plot, width, styles);
      expect(svg).toMatch(/^<svg /);
      expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
    }
  });

  it('write each figure beside its bar, and say what was not measured', () => {
    const plot: BarPlot = {
      ...barsOf(['a', 'b']),
      series: [
        { name: 'a', values: [{ median: 118, low: 110, high: 1_430 }] },
        { name: 'b', values: [null] },
      ],
    };
    const svg = drawPlot('p', plot, 1120, styles);
    expect(svg).toContain('>118 (110 to 1,430)</text>');
    expect(svg).toContain('>not measured</text>');
  });

  it('give each further nine the same room', () => {
    expect(ninesOf(0)).toBeCloseTo(0);
    expect(ninesOf(90)).toBeCloseTo(1);
    expect(ninesOf(99.9)).toBeCloseTo(3);
    const pointsTo = (percentile: number): PercentilePlot => ({
      ...percentilesOf([]),
      series: [
        {
          name: 'a',
          points: [
            { percentile, ms: 1 },
            { percentile: 100, ms: 2 },
          ],
        },
      ],
    });
    expect(ninesShown(pointsTo(50))).toBe(1);
    expect(ninesShown(pointsTo(99.9))).toBe(3);
    expect(ninesShown(pointsTo(99.95))).toBe(4);
  });

  it('tell the longest hole in a timeline', () => {
    expect(longestEmpty([1, 0, 0, 3, 0])).toBe(2);
    expect(longestEmpty([])).toBe(0);
    expect(drawPlot('p', timelineOf(50), 1120, styles)).toMatch(
      /leasehold: empty for at most 1\d0 ms on end/,
    );
  });
});

describe('the files', () => {
  it('are HTML, JSON and Markdown, with the same tables in each', () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'bench-report-')), 'not', 'there', 'yet');
    const [page = '', json = '', markdown = ''] = writeReport(folder, samples, madeAt);
    const content: unknown = JSON.parse(readFileSync(json, 'utf8'));
    expect(content).toMatchObject({ madeAt, notMeasured: ['scale'] });
    expect((content as { results: BenchResult[] }).results.map(({ suite }) => suite)).toEqual([
      'failover',
      'throughput',
      'cost',
    ]);
    for (const { title } of samples.flatMap(({ tables }) => tables)) {
      expect(readFileSync(page, 'utf8')).toContain(`>${title}</h3>`);
      expect(readFileSync(markdown, 'utf8')).toContain(`### ${title}\n`);
    }
    expect(readFileSync(markdown, 'utf8')).toContain(
      'Not measured. This measures it: `npm run bench -- scale`',
    );
  });
});
