/**
 * Results as Markdown: the tables that each suite prints when it has measured, and the whole report. Columns stand under one another,
 * so that it reads on a terminal as well. Pure.
 */
import type { BenchResult, Column, Table } from './bench-result.ts';
import { formatRows, isNumeric } from './format-cell.ts';
import { markdownCell, markdownText } from './markdown-text.ts';

/** The tables of one suite and its notes, as it prints them. Ends with a line break. */
export function renderTables(result: Pick<BenchResult, 'tables' | 'notes'>): string {
  return [...result.tables.map((table) => renderTable(table, '##')), renderNotes(result.notes)]
    .filter((part) => part !== '')
    .join('\n');
}

export function renderNotes(notes: readonly string[]): string {
  return notes.map((note) => `- ${markdownText(note)}\n`).join('');
}

export function columnTitle({ name, unit }: Column): string {
  return unit === undefined || unit === '' ? name : `${name} (${unit})`;
}

/** `heading`: the signs before the title. */
export function renderTable(table: Table, heading: string): string {
  const lead = [`${heading} ${markdownText(table.title)}`, '', markdownText(table.explanation), ''];
  if (table.columns.length === 0) return `${lead.join('\n')}\n`;
  const head = table.columns.map((column) => markdownCell(columnTitle(column)));
  const rows = formatRows(table).map((row) => row.map(markdownCell));
  const widths = head.map((title, at) => widthOf([title, ...rows.map((row) => row[at] ?? '')]));
  const numeric = head.map((_title, at) => isNumeric(table, at));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => pad(cell, widths[at] ?? 0, numeric[at] === true)).join(' | ')} |`;
  const rule = widths.map((width, at) => (numeric[at] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return `${[...lead, line(head), line(rule), ...rows.map(line)].join('\n')}\n`;
}

/** A cell of many words does not make its column wider than this in the other rows. */
const widest = 40;

function widthOf(cells: readonly string[]): number {
  return Math.max(3, Math.min(widest, ...[Math.max(...cells.map(displayedLength))]));
}

function pad(cell: string, width: number, toTheRight: boolean): string {
  const space = ' '.repeat(Math.max(0, width - displayedLength(cell)));
  return toTheRight ? `${space}${cell}` : `${cell}${space}`;
}

function displayedLength(text: string): number {
  return Array.from(text).length;
}
