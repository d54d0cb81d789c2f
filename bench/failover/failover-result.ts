/** The figures of a comparison as tables and plots, and the runs themselves beside them. Pure. */
import type { BudgetProfile } from '../../local/budgets.ts';
import { LatencyRecorder } from '../measure/latency-recorder.ts';
import type { BenchResult } from '../report/bench-result.ts';
import { cellsOf } from './cells.ts';
import type { Comparison, Run } from './compare.ts';
import { failedRunsTable, gapBars, gapTable } from './gap-table.ts';
import { latencyPlots, latencyTable, timelinePlots } from './latency-figures.ts';
import { eventTable, stepTable } from './time-tables.ts';

type Context = Pick<BenchResult, 'madeAt' | 'command' | 'commit' | 'machine'>;

export function failoverResult(comparison: Comparison, context: Context): BenchResult {
  const { wanted, runs, settings, notes } = comparison;
  const { rate, clients, rounds, awayMs, hosts, latency } = wanted;
  const profile: BudgetProfile = latency === 'aws' ? 'aws' : 'runtime';
  const cells = cellsOf(runs);
  // The first path is the one that was asked for first, or the endpoint.
  const shown = cells.filter(({ path }) => path === wanted.paths[0]);
  return {
    ...context,
    suite: 'failover',
    settings: {
      'writes a second': rate,
      clients,
      'runs of each': rounds,
      'store away': `${awayMs / 1000} s`,
      hosts,
      latency,
      ...settings,
    },
    tables: [
      gapTable(cells, profile),
      failedRunsTable(cells),
      latencyTable(cells),
      stepTable(cells),
      eventTable(cells),
    ].filter((table) => table !== null),
    plots: [...gapBars(cells), ...timelinePlots(shown), ...latencyPlots(shown)],
    notes: [...notes, ...notesOn(runs)],
    raw: runs.map(rawRun),
  };
}

/** What a reader must know of these runs before believing a median. */
function notesOn(runs: readonly Run[]): string[] {
  const measured = runs.flatMap((run) => (run.outcome === 'measured' ? [{ ...run, ...run.measured }] : []));
  const name = ({ system, scenario, path, mode, round }: (typeof measured)[number]) =>
    `${system}, ${scenario}, mode ${mode}, ${path}, run ${round}`;
  return [
    ...measured
      .filter(({ recoveredByItself }) => !recoveredByItself)
      .map((run) => `Clients could not write before the blow was taken back: ${name(run)}.`),
    ...measured
      .filter(({ errorsBefore }) => errorsBefore > 0)
      .map((run) => `${run.errorsBefore} errors before the blow: ${name(run)}.`),
    ...measured.flatMap((run) =>
      run.violations.map((words) => `The table is not what clients were told, ${name(run)}: ${words}.`),
    ),
  ];
}

/** Thousands of latencies are kept as their percentiles. */
function rawRun(run: Run): unknown {
  if (run.outcome === 'failed') return run;
  const { latenciesBeforeMs, latenciesDuringMs, ...measured } = run.measured;
  return {
    ...run,
    measured: {
      ...measured,
      latenciesBefore: new LatencyRecorder(latenciesBeforeMs).points(),
      latenciesDuring: new LatencyRecorder(latenciesDuringMs).points(),
    },
  };
}
