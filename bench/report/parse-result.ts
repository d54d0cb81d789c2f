/**
 * A suite's result as it comes from a file: checked field by field, for a report made from half a file, or from another program's, would
 * look as sure as any. A refusal names the field, what it was and what it takes.
 */
import {
  InvalidInput,
  pathOf,
  type Reader,
  readBoolean,
  readFields,
  readInteger,
  readList,
  readNonEmpty,
  readNullable,
  readNumber,
  readOneOf,
  readOptional,
  readString,
} from '../../core/wire/fields.ts';
import {
  type BarPlot,
  type BenchResult,
  type CellValue,
  type Column,
  type MachineFacts,
  type PercentilePlot,
  type Plot,
  type Spread,
  suiteNames,
  type Table,
  type TimelinePlot,
} from './bench-result.ts';

/** Throws InvalidInput. */
export function parseBenchResult(value: unknown): BenchResult {
  const fields = readFields(value, '');
  return {
    suite: readOneOf(fields['suite'], 'suite', suiteNames),
    madeAt: readInstant(fields['madeAt'], 'madeAt'),
    command: readNonEmpty(fields['command'], 'command'),
    commit: readNullable(fields['commit'], 'commit', readNonEmpty),
    machine: readMachine(fields['machine'], 'machine'),
    settings: readRecord(fields['settings'], 'settings', readSetting),
    tables: readList(fields['tables'], 'tables', readTable),
    plots: readList(fields['plots'], 'plots', readPlot),
    notes: readList(fields['notes'], 'notes', readNonEmpty),
    raw: fields['raw'] ?? null,
  };
}

function readInstant(value: unknown, field: string): string {
  const text = readString(value, field);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new InvalidInput(field, value, 'a time in UTC such as "2026-11-25T02:00:00Z"');
  }
  return text;
}

function readRecord<T>(value: unknown, field: string, read: Reader<T>): Readonly<Record<string, T>> {
  const entries = Object.entries(readFields(value, field));
  return Object.fromEntries(entries.map(([key, found]) => [key, read(found, pathOf(field, key))]));
}

function readMachine(value: unknown, field: string): MachineFacts {
  const fields = readFields(value, field);
  return {
    processor: readString(fields['processor'], `${field}.processor`),
    cores: readInteger(fields['cores'], `${field}.cores`, 1),
    memoryBytes: readInteger(fields['memoryBytes'], `${field}.memoryBytes`, 1),
    kernel: readString(fields['kernel'], `${field}.kernel`),
    versions: readRecord(fields['versions'], `${field}.versions`, readString),
  };
}

function readSetting(value: unknown, field: string): string | number | boolean {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new InvalidInput(field, value, 'a string, a number, true or false');
}

function readTable(value: unknown, field: string): Table {
  const fields = readFields(value, field);
  const columns = readList(fields['columns'], `${field}.columns`, readColumn);
  if (columns.length === 0) throw new InvalidInput(`${field}.columns`, columns, 'at least one column');
  const readRow: Reader<CellValue[]> = (found, path) => {
    const row = readList(found, path, readCell);
    if (row.length !== columns.length) {
      throw new InvalidInput(path, found, `one value for each of ${columns.length} columns`);
    }
    return row;
  };
  return {
    title: readNonEmpty(fields['title'], `${field}.title`),
    explanation: readString(fields['explanation'], `${field}.explanation`),
    columns,
    rows: readList(fields['rows'], `${field}.rows`, readRow),
  };
}

function readColumn(value: unknown, field: string): Column {
  const fields = readFields(value, field);
  const name = readNonEmpty(fields['name'], `${field}.name`);
  const unit = readNullable(fields['unit'], `${field}.unit`, readString);
  return unit === null ? { name } : { name, unit };
}

function readCell(value: unknown, field: string): CellValue {
  if (value === null || typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new InvalidInput(field, value, 'a string, a number or null');
}

function readPlot(value: unknown, field: string): Plot {
  const kinds = ['timeline', 'percentiles', 'bars'] as const;
  const kind = readOneOf(readFields(value, field)['kind'], `${field}.kind`, kinds);
  switch (kind) {
    case 'timeline':
      return readTimeline(value, field);
    case 'percentiles':
      return readPercentiles(value, field);
    case 'bars':
      return readBars(value, field);
  }
}

function readTimeline(value: unknown, field: string): TimelinePlot {
  const fields = readFields(value, field);
  return {
    kind: 'timeline',
    title: readNonEmpty(fields['title'], `${field}.title`),
    binMs: readPositive(fields['binMs'], `${field}.binMs`),
    series: readList(fields['series'], `${field}.series`, (found, path) => {
      const series = readFields(found, path);
      return {
        name: readNonEmpty(series['name'], `${path}.name`),
        startMs: readNumber(series['startMs'], `${path}.startMs`),
        counts: readList(series['counts'], `${path}.counts`, readAmount),
      };
    }),
    marks: readList(fields['marks'], `${field}.marks`, (found, path) => {
      const mark = readFields(found, path);
      return {
        atMs: readNumber(mark['atMs'], `${path}.atMs`),
        label: readNonEmpty(mark['label'], `${path}.label`),
      };
    }),
  };
}

function readPercentiles(value: unknown, field: string): PercentilePlot {
  const fields = readFields(value, field);
  return {
    kind: 'percentiles',
    title: readNonEmpty(fields['title'], `${field}.title`),
    series: readList(fields['series'], `${field}.series`, (found, path) => {
      const series = readFields(found, path);
      return {
        name: readNonEmpty(series['name'], `${path}.name`),
        points: readPoints(series['points'], `${path}.points`),
      };
    }),
  };
}

function readPoints(value: unknown, field: string): { percentile: number; ms: number }[] {
  let last = 0;
  return readList(value, field, (found, path) => {
    const point = readFields(found, path);
    const percentile = readNumber(point['percentile'], `${path}.percentile`);
    if (percentile < last || percentile > 100) {
      throw new InvalidInput(
        `${path}.percentile`,
        percentile,
        `a number from ${last} to 100, for points ascend`,
      );
    }
    last = percentile;
    return { percentile, ms: readAmount(point['ms'], `${path}.ms`) };
  });
}

function readBars(value: unknown, field: string): BarPlot {
  const fields = readFields(value, field);
  const groups = readList(fields['groups'], `${field}.groups`, readNonEmpty);
  const readValues: Reader<(Spread | null)[]> = (found, path) => {
    const values = readList(found, path, (one, at) => readNullable(one, at, readSpread));
    if (values.length !== groups.length) {
      throw new InvalidInput(path, found, `one value for each of ${groups.length} groups`);
    }
    return values;
  };
  return {
    kind: 'bars',
    title: readNonEmpty(fields['title'], `${field}.title`),
    unit: readString(fields['unit'], `${field}.unit`),
    groups,
    series: readList(fields['series'], `${field}.series`, (found, path) => {
      const series = readFields(found, path);
      return {
        name: readNonEmpty(series['name'], `${path}.name`),
        values: readValues(series['values'], `${path}.values`),
      };
    }),
    logarithmic: readOptional(fields['logarithmic'], `${field}.logarithmic`, readBoolean, false),
  };
}

function readSpread(value: unknown, field: string): Spread {
  const fields = readFields(value, field);
  const spread = {
    median: readNumber(fields['median'], `${field}.median`),
    low: readNumber(fields['low'], `${field}.low`),
    high: readNumber(fields['high'], `${field}.high`),
  };
  if (spread.low > spread.median || spread.median > spread.high) {
    throw new InvalidInput(field, value, 'low, median and high in that order');
  }
  return spread;
}

/** Of things counted or timed: never below zero. */
function readAmount(value: unknown, field: string): number {
  const amount = readNumber(value, field);
  if (amount < 0) throw new InvalidInput(field, value, 'a number that is not below zero');
  return amount;
}

function readPositive(value: unknown, field: string): number {
  const amount = readNumber(value, field);
  if (amount <= 0) throw new InvalidInput(field, value, 'a number above zero');
  return amount;
}
