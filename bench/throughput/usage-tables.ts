/** Who used the machine while it was measured: CPU by workload and path, memory and disk by kind of process. Pure. */
import { spreadOf } from '../measure/statistics.ts';
import type { GroupUsage } from '../measure/usage-accounting.ts';
import type { Table } from '../report/bench-result.ts';
import type { CellFigures } from './measure-cell.ts';
import type { CellGroup } from './throughput-result.ts';

/** In the order in which tables show them. */
const kinds = [
  'client',
  'haproxy',
  'pgbouncer',
  'primary',
  'standbys',
  'agents',
  'guards',
  'Run Command',
  'AWS stand-in',
  'bench',
] as const;
type Kind = (typeof kinds)[number];

const kindOfPart: Readonly<Record<string, Kind>> = {
  client: 'client',
  haproxy: 'haproxy',
  pgbouncer: 'pgbouncer',
  agent: 'agents',
  guard: 'guards',
  ssm: 'Run Command',
  runtime: 'AWS stand-in',
  bench: 'bench',
};

/** Null for a group that is none of these. */
export function kindOf(group: string, primary: string | null): Kind | null {
  const [part = '', host] = group.split(' ');
  if (part === 'postgres') return host === primary ? 'primary' : 'standbys';
  return kindOfPart[part] ?? null;
}

export function usageTables(groups: readonly CellGroup[]): Table[] {
  const runs = groups.flatMap(({ measured }) => measured);
  if (runs.length === 0) return [];
  const used = kinds.filter((kind) => runs.some((run) => ofKind(run, kind).length > 0));
  return [cpuTable(groups, used), memoryTable(runs, used)];
}

function ofKind({ groups, primary }: CellFigures, kind: Kind): GroupUsage[] {
  return groups.filter(({ group }) => kindOf(group, primary) === kind);
}

function cpuTable(groups: readonly CellGroup[], used: readonly Kind[]): Table {
  const cores = (run: CellFigures, kind: Kind) =>
    sum(ofKind(run, kind).map(({ cpuSeconds }) => cpuSeconds)) / run.usageSeconds;
  return {
    title: 'CPU by kind of process',
    explanation: 'In cores: 1 is one core all of the time. The median over the runs.',
    columns: [
      { name: 'mode' },
      { name: 'workload' },
      { name: 'clients' },
      { name: 'path' },
      ...used.map((name) => ({ name })),
    ],
    rows: groups.map(({ mode, workload, clients, path, measured }) => [
      mode,
      workload,
      clients,
      path,
      ...used.map((kind) => spreadOf(measured.map((run) => cores(run, kind)))?.median ?? null),
    ]),
  };
}

function memoryTable(runs: readonly CellFigures[], used: readonly Kind[]): Table {
  const mib = 2 ** 20;
  const most = (kind: Kind, of: (group: GroupUsage) => number | null) => {
    const sums = runs.flatMap((run) => known(ofKind(run, kind).map(of)) ?? []);
    return sums.length === 0 ? null : Math.max(...sums) / mib;
  };
  const perSecond = (kind: Kind, of: (group: GroupUsage) => number | null) => {
    const rates = runs.flatMap((run) => {
      const bytes = known(ofKind(run, kind).map(of));
      return bytes === null ? [] : [bytes / run.usageSeconds];
    });
    const median = spreadOf(rates)?.median;
    return median === undefined ? null : median / mib;
  };
  return {
    title: 'Memory and disk by kind of process',
    explanation:
      'All processes of a kind together. Memory is the most over all measurements; PSS divides what processes share between them, RSS counts it in each. Disk is the median over all measurements: what was read from the disk and not from the page cache, and what was written for it.',
    columns: [
      { name: 'kind' },
      { name: 'PSS', unit: 'MiB' },
      { name: 'RSS', unit: 'MiB' },
      { name: 'read', unit: 'MiB/s' },
      { name: 'written', unit: 'MiB/s' },
    ],
    rows: used.map((kind) => [
      kind,
      most(kind, ({ pssBytes }) => pssBytes?.most ?? null),
      most(kind, ({ rssBytes }) => rssBytes?.most ?? null),
      perSecond(kind, ({ readBytes }) => readBytes),
      perSecond(kind, ({ writtenBytes }) => writtenBytes),
    ]),
  };
}

/** Their sum; null where one is unknown, or there are none. */
function known(values: readonly (number | null)[]): number | null {
  if (values.length === 0 || values.includes(null)) return null;
  return sum(values.map((value) => value ?? 0));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
