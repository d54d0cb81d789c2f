/**
 * How long clients were down, what they lost, and when the system was redundant again, beside the design's budgets and the best peer. A run
 * that failed is counted where it belongs and enters no median. Pure.
 */
import { type BudgetProfile, budgetOf } from '../../local/budgets.ts';
import { percentile, spreadOf } from '../measure/statistics.ts';
import type { BarPlot, CellValue, Table } from '../report/bench-result.ts';
import { type Cell, nameOf, type SystemRuns } from './cells.ts';

/** Budgets are of this system, by this path. */
export const ownSystem = 'leasehold';
const budgetedPath = 'endpoint';

/** Fewer runs say nothing of such a percentile. */
const enoughForP95 = 20;
const enoughForP99 = 100;

export function gapTable(cells: readonly Cell[], profile: BudgetProfile): Table {
  return {
    title: 'How long clients were down',
    explanation:
      'A row is a system in one scenario, synchronous mode and path. The gap is the longest time in which no client at all had a write acknowledged; ' +
      'its percentiles are over runs and stand only where there are enough of them (20, 100). Errors are failed writes and refused connections of one run (median); ' +
      'lost and doubled are of all runs. Redundant again counts from the blow, a killed host being started again once clients write. ' +
      "The ratio is this system's median gap to that of the best other one.",
    columns: [
      { name: 'scenario' },
      { name: 'mode' },
      { name: 'path' },
      { name: 'system' },
      { name: 'runs' },
      { name: 'failed runs' },
      { name: 'median gap', unit: 'ms' },
      { name: 'lowest', unit: 'ms' },
      { name: 'highest', unit: 'ms' },
      { name: 'p95', unit: 'ms' },
      { name: 'p99', unit: 'ms' },
      { name: 'budget', unit: 'ms' },
      { name: 'verdict' },
      { name: 'ratio to the best peer' },
      { name: 'errors' },
      { name: 'lost' },
      { name: 'doubled' },
      { name: 'redundant again', unit: 'ms' },
    ],
    rows: cells.flatMap((cell) => cell.systems.map((system) => gapRow(cell, system, profile))),
  };
}

function gapRow(cell: Cell, system: SystemRuns, profile: BudgetProfile): CellValue[] {
  const { runs, measured } = system;
  const gaps = measured.map(({ gapMs }) => gapMs);
  const gap = spreadOf(gaps);
  const sum = (of: (run: (typeof measured)[number]) => number) =>
    measured.length === 0 ? null : measured.reduce((total, run) => total + of(run), 0);
  const median = (values: number[]) => rounded(spreadOf(values)?.median ?? null);
  const ratio = ratioToBestPeer(cell, system);
  return [
    cell.scenario,
    cell.mode,
    cell.path,
    system.system,
    runs.length,
    runs.length - measured.length,
    rounded(gap?.median ?? null),
    gap?.low ?? null,
    gap?.high ?? null,
    gaps.length < enoughForP95 ? null : rounded(percentile(gaps, 95)),
    gaps.length < enoughForP99 ? null : rounded(percentile(gaps, 99)),
    budgetFor(cell, system, profile)?.gapMs ?? null,
    verdictOf(cell, system, profile),
    ratio === null ? null : Math.round(ratio * 100) / 100,
    median(measured.map(({ errors }) => errors)),
    sum(({ lost }) => lost),
    sum(({ doubled }) => doubled),
    median(measured.map(({ redundantAfterMs }) => redundantAfterMs)),
  ];
}

function budgetFor({ scenario, mode, path }: Cell, { system }: SystemRuns, profile: BudgetProfile) {
  if (system !== ownSystem || path !== budgetedPath) return null;
  return budgetOf(scenario, profile, mode !== 'off');
}

/** `met`, or what is over its budget; null where there is no budget or nothing was measured. */
export function verdictOf(cell: Cell, system: SystemRuns, profile: BudgetProfile): string | null {
  const budget = budgetFor(cell, system, profile);
  const gap = spreadOf(system.measured.map(({ gapMs }) => gapMs));
  if (budget === null || gap === null) return null;
  const errors = spreadOf(system.measured.map((run) => run.errors))?.median ?? 0;
  const lost = system.measured.reduce((total, run) => total + run.lost, 0);
  const over = [
    gap.median > budget.gapMs ? `gap ${Math.round(gap.median)} > ${budget.gapMs} ms` : '',
    budget.errors !== null && errors > budget.errors ? `errors ${errors} > ${budget.errors}` : '',
    budget.lost !== null && lost > budget.lost ? `lost ${lost} > ${budget.lost}` : '',
  ].filter((words) => words !== '');
  return over.length === 0 ? 'met' : `not met: ${over.join(', ')}`;
}

/** Of medians; below 1 it is better than every other. Null without another system. */
export function ratioToBestPeer({ systems }: Cell, { system, measured }: SystemRuns): number | null {
  const own = spreadOf(measured.map(({ gapMs }) => gapMs));
  const others = systems
    .filter((other) => other.system !== system)
    .flatMap((other) => spreadOf(other.measured.map(({ gapMs }) => gapMs))?.median ?? []);
  if (own === null || others.length === 0) return null;
  // A gap is never less than the time between two writes, so this is not zero.
  return own.median / Math.min(...others);
}

/** One plot a mode and path: scenarios side by side, in each the systems. */
export function gapBars(cells: readonly Cell[]): BarPlot[] {
  const groups = Map.groupBy(cells, ({ mode, path }) => `mode ${mode}, ${path}`);
  return [...groups].map(([name, own]) => {
    const systems = [...new Set(own.flatMap((cell) => cell.systems.map(({ system }) => system)))];
    return {
      kind: 'bars',
      title: `Longest gap, ${name}`,
      unit: 'ms',
      groups: own.map(({ scenario }) => scenario),
      series: systems.map((system) => ({
        name: system,
        values: own.map((cell) => {
          const found = cell.systems.find((one) => one.system === system);
          return found === undefined ? null : spreadOf(found.measured.map(({ gapMs }) => gapMs));
        }),
      })),
      logarithmic: true,
    };
  });
}

/** Runs that failed, with the reason; null when none did. */
export function failedRunsTable(cells: readonly Cell[]): Table | null {
  const rows = cells.flatMap((cell) =>
    cell.systems.flatMap(({ system, runs }) =>
      runs.flatMap((run) => (run.outcome === 'failed' ? [[nameOf(cell), system, run.round, run.why]] : [])),
    ),
  );
  if (rows.length === 0) return null;
  return {
    title: 'Runs that failed',
    explanation:
      'Each is counted above and enters no median. The system was brought up anew for its next run.',
    columns: [{ name: 'what' }, { name: 'system' }, { name: 'run' }, { name: 'why' }],
    rows,
  };
}

export function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
