/** Results from files: what is whole comes through unchanged, and what is not is refused by file and field. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseBenchResult } from '../../../bench/report/parse-result.ts';
import { readResultFile } from '../../../bench/report/result-files.ts';
import { costSample, failoverSample, throughputSample } from './sample-results.ts';

/** The sample as JSON would bring it back, with one change at a path such as `tables.0.rows.1`. */
function changed(path: string, value: unknown): unknown {
  const root: unknown = JSON.parse(JSON.stringify(failoverSample));
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce(
    (at, key) => at[key] as Record<string, unknown>,
    root as Record<string, unknown>,
  );
  parent[last] = value;
  return root;
}

describe('a result from a file', () => {
  it.each([failoverSample, throughputSample, costSample])('comes through unchanged: $suite', (sample) => {
    const plots = sample.plots.map((plot) => (plot.kind === 'bars' ? { logarithmic: false, ...plot } : plot));
    expect(parseBenchResult(JSON.parse(JSON.stringify(sample)))).toEqual({ ...sample, plots });
  });

  it.each([
    ['suite', 'speed', /^suite was "speed"; it takes one of "failover"/],
    ['madeAt', 'yesterday', /^madeAt was "yesterday"; it takes a time in UTC/],
    ['madeAt', '2026-99-25T02:00:00Z', /^madeAt was/],
    ['commit', '', /^commit was ""/],
    ['machine.cores', 0, /^machine.cores was 0/],
    ['machine.versions', { node: 24 }, /^machine.versions.node was 24; it takes a string/],
    ['settings', { runs: null }, /^settings.runs was null; it takes a string, a number, true or false/],
    ['tables', undefined, /^tables was absent; it takes a list/],
    ['tables.0.columns', [], /^tables\[0\].columns was \[\]; it takes at least one column/],
    ['tables.1.rows.2', ['a', 1], /^tables\[1\].rows\[2\] was \["a",1\]; it takes one value for each of 3/],
    [
      'tables.1.rows.2',
      ['a', 1, true],
      /^tables\[1\].rows\[2\]\[2\] was true; it takes a string, a number or null/,
    ],
    ['plots.0.kind', 'pie', /^plots\[0\].kind was "pie"/],
    ['plots.0.binMs', 0, /^plots\[0\].binMs was 0; it takes a number above zero/],
    ['plots.0.series.0.counts.3', null, /^plots\[0\].series\[0\].counts\[3\] was null; it takes a number/],
    ['plots.0.series.0.counts.3', -1, /^plots\[0\].series\[0\].counts\[3\] was -1/],
    [
      'plots.1.series.0.points.3.percentile',
      10,
      /^plots\[1\].series\[0\].points\[3\].percentile was 10; .*ascend/,
    ],
    ['plots.1.series.0.points.11.percentile', 101, /percentile was 101/],
    [
      'plots.2.series.0.values',
      [null],
      /^plots\[2\].series\[0\].values was \[null\]; it takes one value for each of 3/,
    ],
    [
      'plots.2.series.0.values.0',
      { median: 1, low: 2, high: 3 },
      /it takes low, median and high in that order/,
    ],
    ['plots.2.logarithmic', 'yes', /^plots\[2\].logarithmic was "yes"/],
    ['notes', ['', 'b'], /^notes\[0\] was ""/],
  ])('is refused for its %s, %j', (path, value, message) => {
    expect(() => parseBenchResult(changed(path, value))).toThrow(message);
  });

  it('is refused with the name of its file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bench-result-'));
    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const half = file('half.json', '{"suite": "cost"');
    const other = file('other.json', '{"suite": "cost"}');
    expect(() => readResultFile(half)).toThrow(`${half}: `);
    expect(() => readResultFile(other)).toThrow(`${other}: madeAt was absent; it takes a string`);
    expect(() => readResultFile(join(folder, 'none.json'))).toThrow('none.json: there is no such file');
  });
});
