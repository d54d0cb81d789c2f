/** The measured cells as tables, plots and notes. Pure. */
import { spreadOf } from '../measure/statistics.ts';
import type { BenchResult, Plot, Spread, Table } from '../report/bench-result.ts';
import { agentTable } from './agent-table.ts';
import { type Cell, type CellFigures, medianLatencies } from './measure-cell.ts';
import { latencyAt } from './parse-pgbench.ts';
import { saturationOf } from './plan-cells.ts';
import type { Throughput } from './run-throughput.ts';
import { usageTables } from './usage-tables.ts';

/** All runs of one thing. */
export interface CellGroup {
  readonly mode: string;
  readonly workload: string;
  readonly unit: string;
  readonly path: string;
  readonly clients: number;
  readonly measured: readonly CellFigures[];
  readonly failed: number;
}

/** In the order in which they first come. */
export function groupCells(cells: readonly Cell[]): CellGroup[] {
  const groups = Map.groupBy(cells, ({ mode, workload, path, clients }) =>
    JSON.stringify([mode, workload, clients, path]),
  );
  return [...groups.values()].flatMap((members) => {
    const [first] = members;
    if (first === undefined) return [];
    const { mode, workload, unit, path, clients } = first;
    const measured = members.flatMap((cell) => (cell.outcome === 'measured' ? [cell.figures] : []));
    return { mode, workload, unit, path, clients, measured, failed: members.length - measured.length };
  });
}

export function throughputResult(
  throughput: Throughput,
  circumstances: Pick<BenchResult, 'madeAt' | 'command' | 'commit' | 'machine'>,
): BenchResult {
  const { wanted, cells, facts } = throughput;
  const order = [...wanted.workloads.map(({ name }) => name)];
  const groups = groupCells(cells.filter(({ condition }) => condition === 'with-agent')).sort(
    (left, right) =>
      order.indexOf(left.workload) - order.indexOf(right.workload) || left.clients - right.clients,
  );
  const agent = wanted.withoutAgent ? [agentTable(cells)] : [];
  // At a set rate nothing comes to saturation.
  const saturation = wanted.clients.length > 2 && wanted.rate === null ? [saturationTable(groups)] : [];
  return {
    suite: 'throughput',
    ...circumstances,
    settings: settingsOf(throughput),
    tables: [throughputTable(groups), ...saturation, ...agent, ...usageTables(groups)],
    plots: plotsOf(groups),
    notes: notesOf(throughput, groups),
    raw: { facts, cells },
  };
}

function throughputTable(groups: readonly CellGroup[]): Table {
  return {
    title: 'Throughput by workload and path',
    explanation:
      'Each row stands for all runs of it: median, lowest and highest. "To direct" is the ratio of the medians. Latencies are what the client saw of each transaction while all clients asked without a pause. "In the database" is the part of the clients\' time in which PostgreSQL was at work for them. "Client busy" is of the time of its threads, "machine busy" of all cores.',
    columns: [
      { name: 'mode' },
      { name: 'workload' },
      { name: 'clients' },
      { name: 'path' },
      { name: 'median', unit: '1/s' },
      { name: 'low', unit: '1/s' },
      { name: 'high', unit: '1/s' },
      { name: 'of' },
      { name: 'to direct' },
      { name: 'mean', unit: 'ms' },
      { name: 'p95', unit: 'ms' },
      { name: 'p99', unit: 'ms' },
      { name: 'in the database', unit: '%' },
      { name: 'client busy', unit: '%' },
      { name: 'machine busy', unit: '%' },
      { name: 'bottleneck' },
      { name: 'runs' },
    ],
    rows: groups.map((group) => {
      const { mode, workload, clients, path, measured, failed } = group;
      const rate = rateOf(group);
      const points = medianLatencies(measured.map(({ latencies }) => latencies));
      const direct = rateOf(
        groups.find((other) => other.path === 'direct' && sameBut(group, other, 'path')) ?? null,
      );
      return [
        mode,
        workload,
        clients,
        path,
        ...threeOf(rate),
        group.unit.replace('/s', ''),
        rate === null || direct === null ? null : rate.median / direct.median,
        middle(measured, ({ latencyMeanMs }) => latencyMeanMs),
        latencyAt(points, 95),
        latencyAt(points, 99),
        percent(middle(measured, ({ databaseShare }) => databaseShare)),
        percent(middle(measured, ({ check }) => check.clientBusy)),
        percent(middle(measured, ({ check }) => check.machineBusy)),
        bottleneckOf(measured),
        failed === 0 ? `${measured.length}` : `failed: ${failed} of ${measured.length + failed}`,
      ];
    }),
  };
}

function sameBut(one: CellGroup, other: CellGroup, but: 'path' | 'clients'): boolean {
  const keys = ['mode', 'workload', 'path', 'clients'] as const;
  return keys.every((key) => key === but || one[key] === other[key]);
}

function rateOf(group: CellGroup | null): Spread | null {
  return group === null ? null : spreadOf(group.measured.map(({ rate }) => rate));
}

function threeOf(spread: Spread | null): (number | null)[] {
  return spread === null ? [null, null, null] : [spread.median, spread.low, spread.high];
}

/** The median of what the runs know; null where none does. */
function middle(runs: readonly CellFigures[], of: (run: CellFigures) => number | null): number | null {
  return spreadOf(runs.flatMap((run) => of(run) ?? []))?.median ?? null;
}

function percent(share: number | null): number | null {
  return share === null ? null : share * 100;
}

/** The client's as soon as one run says so: that row is no figure of the database. */
function bottleneckOf(runs: readonly CellFigures[]): string | null {
  const found = runs.map(({ check }) => check.bottleneck);
  if (found.includes('client')) return 'the client';
  if (found.includes('machine')) return 'the machine';
  return found.length === 0 ? null : 'neither client nor CPU';
}

/** The groups of one ramp, by ascending number of clients. */
function ramps(groups: readonly CellGroup[]): CellGroup[][] {
  const byRamp = Map.groupBy(groups, ({ mode, workload, path }) => JSON.stringify([mode, workload, path]));
  return [...byRamp.values()].map((ramp) => ramp.toSorted((left, right) => left.clients - right.clients));
}

function saturationTable(groups: readonly CellGroup[]): Table {
  return {
    title: 'Saturation',
    explanation:
      'The fewest clients of the ramp that come within 5 % of the most that was reached. Where the client was the bottleneck, it is the client that is saturated.',
    columns: [
      { name: 'mode' },
      { name: 'workload' },
      { name: 'path' },
      { name: 'saturated by', unit: 'clients' },
      { name: 'most', unit: '1/s' },
      { name: 'bottleneck there' },
    ],
    rows: ramps(groups).map((ramp) => {
      const points = ramp.flatMap((group) => {
        const rate = rateOf(group);
        return rate === null ? [] : [{ clients: group.clients, rate: rate.median, group }];
      });
      const saturation = saturationOf(points);
      const most = points.reduce<(typeof points)[number] | null>(
        (best, point) => (best === null || point.rate > best.rate ? point : best),
        null,
      );
      return [
        ramp[0]?.mode ?? '',
        ramp[0]?.workload ?? '',
        ramp[0]?.path ?? '',
        saturation.kind === 'reached' ? `${saturation.clients}` : saturation.kind.replace('-', ' '),
        most?.rate ?? null,
        most === null ? null : bottleneckOf(most.group.measured),
      ];
    }),
  };
}

function plotsOf(groups: readonly CellGroup[]): Plot[] {
  const bySubject = Map.groupBy(groups, ({ mode, workload }) => `${workload}, mode ${mode}`);
  return [...bySubject].flatMap(([subject, members]) => {
    const paths = [...new Set(members.map(({ path }) => path))].sort();
    const counts = [...new Set(members.map(({ clients }) => clients))];
    const find = (path: string, clients: number) =>
      members.find((member) => member.path === path && member.clients === clients) ?? null;
    const bars: Plot = {
      kind: 'bars',
      title: `Throughput of ${subject}`,
      unit: members[0]?.unit ?? '',
      groups: counts.map((clients) => `${clients} clients`),
      series: paths.map((path) => ({
        name: path,
        values: counts.map((clients) => rateOf(find(path, clients))),
      })),
    };
    const most = counts.at(-1) ?? 0;
    const series = paths.flatMap((path) => {
      const points = medianLatencies(find(path, most)?.measured.map(({ latencies }) => latencies) ?? []);
      return points.length === 0 ? [] : [{ name: path, points }];
    });
    if (series.length === 0) return [bars];
    return [bars, { kind: 'percentiles', title: `Latency of ${subject}, ${most} clients`, series }];
  });
}

function settingsOf({ wanted, facts }: Throughput): Record<string, string | number | boolean> {
  const { switches } = wanted;
  return {
    scale: facts.scale,
    'data bytes': facts.dataBytes,
    shared_buffers: facts.sharedBuffersBytes,
    fsync: facts.fsync,
    synchronous_commit: facts.synchronousCommit,
    clients: wanted.clients.join(','),
    modes: wanted.given.length > 0 ? 'as given' : wanted.modes.join(','),
    runs: wanted.runs,
    seconds: wanted.seconds,
    'warm-up seconds': wanted.warmUpSeconds,
    rate: wanted.rate ?? 'as fast as it goes',
    'latencies kept': wanted.sampling,
    indexes: switches.indexes,
    'foreign keys': switches.foreignKeys,
    'explicit transactions': switches.explicitTransactions,
  };
}

function notesOf({ wanted, facts, cells, notes }: Throughput, groups: readonly CellGroup[]): string[] {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;
  const bound = groups.filter(({ measured }) => bottleneckOf(measured) === 'the client').length;
  const machine = groups.filter(({ measured }) => bottleneckOf(measured) === 'the machine').length;
  const failures = cells.flatMap((cell) =>
    cell.outcome === 'failed' ? [`${cell.workload} by ${cell.path}, run ${cell.run}: ${cell.reason}`] : [],
  );
  return [
    `The data set takes ${mib(facts.dataBytes)}, PostgreSQL's shared_buffers are ${mib(facts.sharedBuffersBytes)}.`,
    ...(wanted.given.length > 0
      ? []
      : [
          'Client, proxies, all servers and what stands in for AWS share one machine: paths compare with one another, not with hosts of their own.',
        ]),
    ...(wanted.rate === null
      ? [
          'Clients ask again as soon as they have their answer: latencies are those of full load, and a stall counts once for each client.',
        ]
      : [`Latencies count from the time at which a transaction was due (${wanted.rate} a second).`]),
    ...(bound > 0
      ? [
          `In ${bound} rows the client was the bottleneck: they say what the client can ask, not what the database can do.`,
        ]
      : []),
    ...(machine > 0
      ? [
          `In ${machine} rows no core of the machine was idle: client, proxies and servers took time from one another.`,
        ]
      : []),
    ...notes,
    ...failures.map((failure) => `Failed: ${failure}`),
  ];
}
