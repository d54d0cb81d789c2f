/** Tables as Markdown: escaping, missing figures, units, digits, order, verdicts. */
import { describe, expect, it } from 'vitest';
import type { CellValue, Column, Table } from '../../../bench/report/bench-result.ts';
import { formatRows, verdictOf } from '../../../bench/report/format-cell.ts';
import { markdownCell, markdownText } from '../../../bench/report/markdown-text.ts';
import { renderTables } from '../../../bench/report/render-markdown.ts';

function tableOf(columns: readonly Column[], rows: readonly (readonly CellValue[])[]): Table {
  return { title: 'Gaps', explanation: 'One row a scenario.', columns, rows };
}

function columnOf(values: readonly CellValue[]): (string | undefined)[] {
  return formatRows(
    tableOf(
      [{ name: 'x' }],
      values.map((value) => [value]),
    ),
  ).map(([cell]) => cell);
}

describe('tables as Markdown', () => {
  it('have units in their heads, figures to the right, rows in the order given, and notes below', () => {
    const table = tableOf(
      [{ name: 'scenario' }, { name: 'gap', unit: 'ms' }],
      [
        ['switchover', null],
        ['host-killed', 1127],
      ],
    );
    expect(renderTables({ tables: [table], notes: ['One run was left out.'] })).toBe(
      [
        '## Gaps',
        '',
        'One row a scenario.',
        '',
        '| scenario    | gap (ms) |',
        '| ----------- | -------: |',
        '| switchover  |        - |',
        '| host-killed |    1,127 |',
        '',
        '- One run was left out.',
        '',
      ].join('\n'),
    );
  });

  it('show a missing figure as missing, and never as zero', () => {
    expect(columnOf([null, 0, Number.NaN, Number.POSITIVE_INFINITY, ''])).toEqual(['-', '0', '-', '-', '-']);
  });

  it('keep a column of figures to the right where all of them are missing', () => {
    const table = tableOf([{ name: 'a' }, { name: 'p99', unit: 'ms' }], [['x', null]]);
    expect(renderTables({ tables: [table], notes: [] })).toContain('| --- | -------: |');
  });

  it('fill a short row up, so that no figure slips under another head', () => {
    const table = tableOf([{ name: 'a' }, { name: 'b' }, { name: 'c' }], [[1]]);
    expect(formatRows(table)).toEqual([['1', '-', '-']]);
  });

  it('do without rows, and without columns', () => {
    expect(renderTables({ tables: [tableOf([{ name: 'a' }], [])], notes: [] })).toContain(
      '| a   |\n| --- |\n',
    );
    expect(renderTables({ tables: [tableOf([], [])], notes: [] })).toContain('One row a scenario.');
  });
});

describe('digits', () => {
  it('are one number of decimals down a column', () => {
    expect(columnOf([0.9784, 1, 12.25])).toEqual(['0.978', '1.000', '12.250']);
  });

  it('are none for whole numbers', () => {
    expect(columnOf([2, 40_000_000, null])).toEqual(['2', '40,000,000', '-']);
  });

  it('never make a figure zero that is not: figures far apart have digits of their own', () => {
    expect(columnOf([0.000_412, 41_200.5])).toEqual(['0.000412', '41,201']);
    expect(columnOf([1.5e-12])).toEqual(['0.00000000000150']);
    expect(columnOf([0.000_412, 0.5])).toEqual(['0.000412', '0.500000']);
  });

  it('are no more than the figures have', () => {
    expect(columnOf([39.4, 0.5])).toEqual(['39.4', '0.5']);
    expect(columnOf([0.1 + 0.2, 39.4])).toEqual(['0.3', '39.4']);
  });

  it('keep the sign of a negative figure', () => {
    expect(columnOf([-1.5, 2.25])).toEqual(['-1.50', '2.25']);
  });
});

describe('verdicts', () => {
  it('have a sign beside the word', () => {
    expect(columnOf(['met', 'not met', 'failed: nobody took over', 'methodical'])).toEqual([
      '✓ met',
      '✗ not met',
      '✗ failed: nobody took over',
      'methodical',
    ]);
  });

  it('are read from the start of a cell only', () => {
    expect(verdictOf('not met: 200 ms')).toBe('bad');
    expect(verdictOf('met, barely')).toBe('good');
    expect(verdictOf('budget met')).toBe(null);
    expect(verdictOf(1)).toBe(null);
  });
});

describe('text from results', () => {
  it('ends no cell and begins no markup', () => {
    expect(markdownCell('a|b\nc')).toBe('a\\|b c');
    expect(markdownCell('`a|b`')).toBe('`a\\|b`');
    expect(markdownText('<script>*x*</script> [a](b) &lt; \\')).toBe(
      '\\<script>\\*x\\*\\</script> \\[a\\](b) \\&lt; \\\\',
    );
    expect(markdownText('# not a head')).toBe('\\# not a head');
    expect(markdownText('1. not a list')).toBe('1\\. not a list');
  });

  it('is left alone where it is no markup, for it is read on a terminal as well', () => {
    expect(markdownText('p99 < 5 ms, 3 > 2, host_killed, tom & jerry')).toBe(
      'p99 < 5 ms, 3 > 2, host_killed, tom & jerry',
    );
  });

  it('keeps code between backticks, and shows a lonely backtick', () => {
    expect(markdownText('run `npm * test`')).toBe('run `npm * test`');
    expect(markdownText('a ` b')).toBe('a \\` b');
  });
});
