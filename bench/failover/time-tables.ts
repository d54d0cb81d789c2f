/**
 * Where the milliseconds of an operation go, by the system's own history: its steps, what each host did in them, and when each event
 * came. Medians over runs; the three largest steps are marked. Pure.
 */
import { spreadOf } from '../measure/statistics.ts';
import type { CellValue, Table } from '../report/bench-result.ts';
import type { SystemHistory } from '../systems/system-under-test.ts';
import { type Cell, nameOf, type SystemRuns } from './cells.ts';

/** Null when no run has a history. */
export function stepTable(cells: readonly Cell[]): Table | null {
  const rows = cells.flatMap((cell) => cell.systems.flatMap((system) => stepRows(cell, system)));
  if (rows.length === 0) return null;
  return {
    title: 'Where the time of an operation goes',
    explanation:
      'By the record of each switchover and failover: its steps one after another, and below them what hosts did in them, side by side. Clients wait ' +
      'only in part of it: see the table of events. The rank is that of the three longest steps, and of the three longest actions.',
    columns: [
      { name: 'what was done' },
      { name: 'system' },
      { name: 'operation' },
      { name: 'kind' },
      { name: 'name' },
      { name: 'operations' },
      { name: 'median', unit: 'ms' },
      { name: 'lowest', unit: 'ms' },
      { name: 'highest', unit: 'ms' },
      { name: 'rank' },
    ],
    rows,
  };
}

interface Named {
  readonly name: string;
  readonly ms: number;
}

function stepRows(cell: Cell, { system, measured }: SystemRuns): CellValue[][] {
  const operations = measured.flatMap(({ history }) => history?.operations ?? []);
  return [...Map.groupBy(operations, ({ kind }) => kind)].flatMap(([kind, own]) => {
    const rows = (what: string, of: (operation: (typeof own)[number]) => readonly Named[]) =>
      ranked(own.flatMap(of)).map(({ name, values, rank }): CellValue[] => {
        const spread = spreadOf(values);
        return [
          nameOf(cell),
          system,
          kind,
          what,
          name,
          values.length,
          spread?.median ?? null,
          spread?.low ?? null,
          spread?.high ?? null,
          rank,
        ];
      });
    return [
      ...rows('whole', ({ ms }) => [{ name: 'from begin to end', ms }]).map((row) => row.with(-1, null)),
      ...rows('step', ({ steps }) => steps),
      ...rows('action', ({ actions }) => actions),
    ];
  });
}

const markedRanks = 3;

/** In the order in which they first occur; rank 1 is the longest by its median. */
function ranked(figures: readonly Named[]): { name: string; values: number[]; rank: number | null }[] {
  const byName = [...Map.groupBy(figures, ({ name }) => name)].map(([name, own]) => ({
    name,
    values: own.map(({ ms }) => ms),
  }));
  const medianOf = ({ values }: { values: number[] }) => spreadOf(values)?.median ?? 0;
  const longest = byName.toSorted((left, right) => medianOf(right) - medianOf(left));
  return byName.map((own) => {
    const place = longest.indexOf(own) + 1;
    return { ...own, rank: place <= markedRanks ? place : null };
  });
}

/** When each event first came after the blow, beside the gap that clients saw. Null when no run has a history. */
export function eventTable(cells: readonly Cell[]): Table | null {
  const rows = cells.flatMap((cell) => cell.systems.flatMap((system) => eventRows(cell, system)));
  if (rows.length === 0) return null;
  return {
    title: 'What happened when',
    explanation:
      'Milliseconds from the blow (for what is asked for: from the ask) to the first event of each kind, medians over runs, in the order of time; ' +
      'and between them where the gap that clients saw began and ended.',
    columns: [
      { name: 'what was done' },
      { name: 'system' },
      { name: 'event' },
      { name: 'runs' },
      { name: 'median', unit: 'ms' },
      { name: 'lowest', unit: 'ms' },
      { name: 'highest', unit: 'ms' },
    ],
    rows,
  };
}

function eventRows(cell: Cell, { system, measured }: SystemRuns): CellValue[][] {
  const told = measured.filter(({ history }) => history !== null);
  const times = told.flatMap(({ history, gapFromMs, gapToMs }) => [
    { name: '(clients: the gap begins)', ms: gapFromMs },
    { name: '(clients: the gap ends)', ms: gapToMs },
    ...firstOfEach(history),
  ]);
  return [...Map.groupBy(times, ({ name }) => name)]
    .map(([name, own]) => ({
      name,
      spread: spreadOf(own.map(({ ms }) => Math.round(ms))),
      count: own.length,
    }))
    .toSorted((left, right) => (left.spread?.median ?? 0) - (right.spread?.median ?? 0))
    .map(({ name, spread, count }) => [
      nameOf(cell),
      system,
      name,
      count,
      spread?.median ?? null,
      spread?.low ?? null,
      spread?.high ?? null,
    ]);
}

function firstOfEach(history: SystemHistory | null): Named[] {
  const seen = new Set<string>();
  return (history?.events ?? []).flatMap(({ name, afterMs }) => {
    if (seen.has(name)) return [];
    seen.add(name);
    return [{ name, ms: afterMs }];
  });
}
