/**
 * How figures read, the same in every form of the report: digits by column, so that a column can be compared downwards, never so few that
 * a figure which is not zero shows as zero; verdicts with a sign beside their word, so that no reader depends on a colour. Pure.
 */
import type { CellValue, Table } from './bench-result.ts';

/** What stands where there is no figure. */
export const missing = '-';

export type Verdict = 'good' | 'bad';

/** The words that suites write into a cell for a verdict, and what each shows. Other text may follow after a colon or a comma. */
const verdicts: readonly { readonly word: string; readonly verdict: Verdict }[] = [
  { word: 'not met', verdict: 'bad' },
  { word: 'failed', verdict: 'bad' },
  { word: 'met', verdict: 'good' },
];

const signs: Readonly<Record<Verdict, string>> = { good: '✓', bad: '✗' };

/** `met`, `not met` or `failed` at the start of a cell is a verdict; anything else is none. */
export function verdictOf(value: CellValue): Verdict | null {
  if (typeof value !== 'string') return null;
  const found = verdicts.find(
    ({ word }) => value === word || (/^[:,;] /.test(value.slice(word.length)) && value.startsWith(word)),
  );
  return found?.verdict ?? null;
}

/** A column whose figures are to stand right-aligned: it has no words, and a figure, or a unit for those that are missing. */
export function isNumeric(table: Table, column: number): boolean {
  const values = table.rows.map((row) => row[column] ?? null);
  const isMeasured = values.some(isFigure) || table.columns[column]?.unit !== undefined;
  return isMeasured && values.every((value) => typeof value !== 'string');
}

/** The rows as text, in the order that they have. A short row is filled up; a figure that is none (NaN, infinite) is missing. */
export function formatRows(table: Table): string[][] {
  const decimals = table.columns.map((_column, at) =>
    decimalsOf(table.rows.map((row) => row[at] ?? null).filter(isFigure)),
  );
  return table.rows.map((row) =>
    table.columns.map((_column, at) => formatCell(row[at] ?? null, decimals[at] ?? null)),
  );
}

function formatCell(value: CellValue, decimals: number | null): string {
  if (isFigure(value)) return formatNumber(value, decimals ?? decimalsOf([value]) ?? significant);
  if (typeof value !== 'string' || value === '') return missing;
  const verdict = verdictOf(value);
  return verdict === null ? value : `${signs[verdict]} ${value}`;
}

/** Thousands by commas. */
export function formatNumber(value: number, decimals: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const significant = 3;
/** What lies beyond is taken for noise in a figure that is not itself so small. */
const mostDecimals = 10;
/** Beyond this ratio of the largest to the smallest, one number of decimals cannot serve both. */
const widestRatio = 100_000;

/**
 * Decimals with which the smallest of these figures still has three significant digits, but no more than they have, and none for whole
 * numbers; null where they lie so far apart that each needs its own.
 */
export function decimalsOf(figures: readonly number[]): number | null {
  if (figures.every(Number.isInteger)) return 0;
  const sizes = figures.map(Math.abs).filter((size) => size > 0);
  const smallest = Math.min(...sizes);
  if (Math.max(...sizes) / smallest > widestRatio) return null;
  const enough = Math.max(0, significant - 1 - Math.floor(Math.log10(smallest)));
  return Math.min(enough, Math.max(...figures.map(ownDecimals)));
}

/** Decimals that a figure has when it is written in full; noise of binary fractions is none. */
function ownDecimals(figure: number): number {
  if (figure !== 0 && Math.abs(figure) < 10 ** -mostDecimals) return Number.POSITIVE_INFINITY;
  return figure.toFixed(mostDecimals).replace(/0+$/, '').split('.')[1]?.length ?? 0;
}

function isFigure(value: CellValue): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
