/** The figures of a comparison as tables and plots, and the runs themselves beside them. Pure. */
import { spreadOf } from '../measure/statistics.ts';
import type { BenchResult, CellValue, Table } from '../report/bench-result.ts';
import type { Comparison, Run } from './compare.ts';

export function failoverResult(
  comparison: Comparison,
  context: Pick<BenchResult, 'madeAt' | 'command' | 'commit' | 'machine'>,
): BenchResult {
  const { wanted, runs, settings, notes } = comparison;
  const { rate, clients, rounds, awayMs, hosts } = wanted;
  return {
    ...context,
    suite: 'failover',
    settings: { rate, clients, runs: rounds, 'store away ms': awayMs, hosts, ...settings },
    tables: [gapTable(runs)],
    plots: [],
    notes,
    raw: runs,
  };
}

const keyOfGroup = ({ scenario, mode, path, system }: Run) => [scenario, mode, path, system].join('\n');

function gapTable(runs: readonly Run[]): Table {
  const groups = [...Map.groupBy(runs, keyOfGroup).values()];
  return {
    title: 'Longest gap',
    explanation:
      'The longest time without any acknowledged write, over all clients: one row a scenario, mode, path and system.',
    columns: [
      { name: 'scenario' },
      { name: 'mode' },
      { name: 'path' },
      { name: 'system' },
      { name: 'median gap', unit: 'ms' },
      { name: 'lowest', unit: 'ms' },
      { name: 'highest', unit: 'ms' },
      { name: 'errors' },
      { name: 'lost' },
      { name: 'failed runs' },
    ],
    rows: groups.flatMap((group) => {
      const [first] = group;
      if (first === undefined) return [];
      const measured = group.flatMap((run) => (run.outcome === 'measured' ? [run.measured] : []));
      const gap = spreadOf(measured.map(({ gapMs }) => gapMs));
      const row: CellValue[] = [
        first.scenario,
        first.mode,
        first.path,
        first.system,
        gap?.median ?? null,
        gap?.low ?? null,
        gap?.high ?? null,
        spreadOf(measured.map(({ errors }) => errors))?.median ?? null,
        measured.length === 0 ? null : measured.reduce((sum, { lost }) => sum + lost, 0),
        group.length - measured.length,
      ];
      return [row];
    }),
  };
}
