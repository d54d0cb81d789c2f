/** One measurement: a workload by one way with so many clients, from fresh tables, with what clients, database and processes used. */

import { startUsageMeter, type UsageReport } from '../measure/process-usage.ts';
import { median } from '../measure/statistics.ts';
import type { GroupUsage } from '../measure/usage-accounting.ts';
import { type ClientCheck, checkClient } from './client-check.ts';
import { type ClientPrograms, copyFile, type PgbenchRun, runPgbench, threadsFor } from './client-programs.ts';
import { databaseShare } from './database-time.ts';
import type { LatencyPoint } from './parse-pgbench.ts';
import type { Condition, PlannedCell } from './plan-cells.ts';
import { freshen, withClient } from './prepare-data.ts';
import type { Route, Target } from './target.ts';
import type { Sizes } from './workload-schema.ts';
import type { Switches } from './workloads.ts';

export interface CellSettings {
  readonly switches: Switches;
  readonly scale: number;
  readonly sizes: Sizes;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rate: number | null;
  /** Of the latencies, 0 to 1. */
  readonly sampling: number;
  /** For scripts and logs of the clients. */
  readonly folder: string;
  readonly bulkFile: string;
}

/** What a cell is, as the result keeps it. */
export interface CellName {
  readonly mode: string;
  readonly condition: Condition;
  readonly run: number;
  readonly workload: string;
  readonly unit: string;
  readonly path: string;
  readonly clients: number;
}

export interface CellFigures {
  readonly rate: number;
  readonly seconds: number;
  readonly failedTransactions: number;
  readonly latencyMeanMs: number | null;
  readonly latencies: readonly LatencyPoint[];
  readonly check: ClientCheck;
  /** Of the clients' time, 0 to 1: PostgreSQL was at work for them. */
  readonly databaseShare: number | null;
  readonly primary: string | null;
  /** How long the processes were looked at. */
  readonly usageSeconds: number;
  readonly groups: readonly GroupUsage[];
}

export type Cell = CellName &
  (
    | { readonly outcome: 'measured'; readonly figures: CellFigures }
    | { readonly outcome: 'failed'; readonly reason: string }
  );

/** `seconds`: without the starts and ends of programs. */
type Load = Pick<CellFigures, 'rate' | 'seconds' | 'failedTransactions' | 'latencyMeanMs' | 'latencies'>;
type LoadOutcome = ({ readonly kind: 'ran' } & Load) | { readonly kind: 'failed'; readonly reason: string };

/** An error that ends one measurement is its outcome; only an interruption is thrown. */
export async function measureCell(
  planned: PlannedCell,
  name: CellName,
  surroundings: {
    readonly target: Target;
    readonly programs: ClientPrograms;
    readonly settings: CellSettings;
    readonly signal: AbortSignal;
  },
): Promise<Cell> {
  const { target, signal } = surroundings;
  try {
    const route = target.routes.find(
      ({ path, serves }) => path === planned.path && serves === planned.workload.reads,
    );
    if (route === undefined)
      throw new Error(`there is no path ${planned.path} to the ${planned.workload.reads}`);
    const before = await target.primary();
    await freshen(target.adminDsn, planned.workload);
    const figures = await measure(planned, route, surroundings);
    const after = await target.primary();
    if (before !== after) throw new Error(`the primary changed in the middle: ${before}, then ${after}`);
    return { ...name, outcome: 'measured', figures: { ...figures, primary: before } };
  } catch (error) {
    signal.throwIfAborted();
    return { ...name, outcome: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

async function measure(
  planned: PlannedCell,
  route: Route,
  surroundings: Parameters<typeof measureCell>[2],
): Promise<Omit<CellFigures, 'primary'>> {
  const { target, settings, signal } = surroundings;
  await warmUp(planned, route, surroundings);
  const meter = startUsageMeter(target.groups);
  let usage: UsageReport | null = null;
  try {
    const watched = { seconds: settings.seconds, clients: planned.clients, signal };
    const inStatements =
      planned.workload.load.kind !== 'copy' && route.serves === 'primary'
        ? databaseShare(target.adminDsn, watched)
        : Promise.resolve(null);
    const load = await runLoad(planned, route, surroundings);
    usage = meter.stop();
    if (load.kind === 'failed') throw new Error(load.reason);
    const { kind: _kind, ...figures } = load;
    const check = checkClient({
      clientCpuSeconds: usage.groups.find(({ group }) => group === 'client')?.cpuSeconds ?? 0,
      threads: threadsFor(planned.clients),
      seconds: load.seconds,
      machine: usage.machine,
    });
    return {
      ...figures,
      check,
      databaseShare: await inStatements,
      usageSeconds: usage.seconds,
      groups: usage.groups,
    };
  } finally {
    if (usage === null) meter.stop();
  }
}

/** Fills caches and pools by this way; what it brings is thrown away. */
async function warmUp(
  planned: PlannedCell,
  route: Route,
  { programs, settings, signal }: Parameters<typeof measureCell>[2],
): Promise<void> {
  if (settings.warmUpSeconds === 0 || planned.workload.load.kind === 'copy') return;
  const run = {
    ...pgbenchRun(planned, route, settings, signal),
    seconds: settings.warmUpSeconds,
    sampling: 0,
  };
  const outcome = await runPgbench(programs, run);
  if (outcome.kind === 'failed') throw new Error(outcome.reason);
}

async function runLoad(
  planned: PlannedCell,
  route: Route,
  { target, programs, settings, signal }: Parameters<typeof measureCell>[2],
): Promise<LoadOutcome> {
  if (planned.workload.load.kind === 'copy') {
    const { clients } = planned;
    const startedMs = performance.now();
    const reason = await copyFile(programs, { dsn: route.dsn, file: settings.bulkFile, clients, signal });
    const seconds = (performance.now() - startedMs) / 1_000;
    if (reason !== null) return { kind: 'failed', reason };
    const wanted = clients * settings.sizes.bulkRows;
    const rows = await countRows(target.adminDsn);
    if (rows !== wanted) return { kind: 'failed', reason: `${rows} of ${wanted} rows were loaded` };
    return {
      kind: 'ran',
      rate: rows / seconds,
      seconds,
      failedTransactions: 0,
      latencyMeanMs: null,
      latencies: [],
    };
  }
  const outcome = await runPgbench(programs, pgbenchRun(planned, route, settings, signal));
  if (outcome.kind === 'failed') return outcome;
  const { tps, failed, latencyMeanMs } = outcome.summary;
  const { seconds } = settings;
  return {
    kind: 'ran',
    rate: tps,
    seconds,
    failedTransactions: failed,
    latencyMeanMs,
    latencies: outcome.latencies,
  };
}

function pgbenchRun(
  planned: PlannedCell,
  route: Route,
  settings: CellSettings,
  signal: AbortSignal,
): PgbenchRun {
  const { customers, products, documents } = settings.sizes;
  return {
    dsn: route.dsn,
    workload: planned.workload,
    switches: settings.switches,
    variables: { customers, products, documents },
    scale: settings.scale,
    clients: planned.clients,
    seconds: settings.seconds,
    rate: settings.rate,
    sampling: settings.sampling,
    folder: settings.folder,
    signal,
  };
}

async function countRows(dsn: string): Promise<number> {
  return withClient(dsn, async (client) => {
    const { rows } = await client.query<{ rows: string }>('select count(*) as rows from bench_bulk');
    return Number(rows[0]?.rows);
  });
}

/** The median of each percentile over several runs, where most of them have it. */
export function medianLatencies(runs: readonly (readonly LatencyPoint[])[]): LatencyPoint[] {
  const byPercentile = Map.groupBy(runs.flat(), ({ percentile }) => percentile);
  return [...byPercentile]
    .filter(([, points]) => points.length * 2 > runs.length)
    .map(([percentile, points]) => ({ percentile, ms: median(points.map(({ ms }) => ms)) }))
    .sort((left, right) => left.percentile - right.percentile);
}
