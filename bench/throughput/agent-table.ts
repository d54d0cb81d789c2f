/** What the agents' presence costs: runs with them against runs of the same servers without, pair by pair. Pure. */
import { spreadOf } from '../measure/statistics.ts';
import type { Table } from '../report/bench-result.ts';
import { agentBudget, judgeAgent } from './client-check.ts';
import type { Cell } from './measure-cell.ts';

/** The cells of one mode, workload and number of clients, straight to the primary. */
export function agentTable(cells: readonly Cell[]): Table {
  const direct = cells.filter(({ path }) => path === 'direct');
  const subjects = Map.groupBy(
    direct.filter(({ condition }) => condition === 'without-agent'),
    ({ mode, workload, clients }) => JSON.stringify([mode, workload, clients]),
  );
  return {
    title: 'With and without the agents',
    explanation: `The same servers with the same settings and as many standbys, straight to the primary: a cluster with its agents, and servers that the bench starts with none (the cluster is down meanwhile). The runs alternate; a ratio is that of the two of one run. The budget is ${agentBudget}. With the agents this machine also runs all that stands in for AWS and the proxies, which on hosts of their own it would not.`,
    columns: [
      { name: 'mode' },
      { name: 'workload' },
      { name: 'clients' },
      { name: 'with', unit: '1/s' },
      { name: 'without', unit: '1/s' },
      { name: 'ratio' },
      { name: 'low' },
      { name: 'high' },
      { name: 'budget' },
      { name: 'all runs agree' },
    ],
    rows: [...subjects.values()].flatMap((without) => {
      const [first] = without;
      if (first === undefined) return [];
      const { mode, workload, clients } = first;
      const withAgent = direct.filter(
        (cell) =>
          cell.condition === 'with-agent' &&
          cell.mode === mode &&
          cell.workload === workload &&
          cell.clients === clients,
      );
      const ratios = ratiosOf(withAgent, without);
      const ratio = spreadOf(ratios);
      const judgement = judgeAgent(ratios);
      return [
        [
          mode,
          workload,
          clients,
          spreadOf(ratesOf(withAgent))?.median ?? null,
          spreadOf(ratesOf(without))?.median ?? null,
          ratio?.median ?? null,
          ratio?.low ?? null,
          ratio?.high ?? null,
          judgement?.verdict ?? null,
          judgement?.agreement ?? null,
        ],
      ];
    }),
  };
}

function ratesOf(cells: readonly Cell[]): number[] {
  return cells.flatMap((cell) => (cell.outcome === 'measured' ? [cell.figures.rate] : []));
}

/** One of each run that has both. */
function ratiosOf(withAgent: readonly Cell[], without: readonly Cell[]): number[] {
  return without.flatMap((cell) => {
    const [rate] = ratesOf([cell]);
    const [other] = ratesOf(withAgent.filter(({ run }) => run === cell.run));
    return rate === undefined || other === undefined ? [] : [other / rate];
  });
}
