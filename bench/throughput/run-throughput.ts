/**
 * Measures all cells that were asked for: mode by mode (each is a cluster of its own), run by run, workloads and paths interleaved; with
 * servers without an agent between the runs where that is asked for. A cell that fails is kept as failed, and the rest goes on.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { SynchronousMode } from '../history/check-losses.ts';
import { chooseScale, type ScaleWish } from './choose-scale.ts';
import { type ClientPrograms, findClientPrograms } from './client-programs.ts';
import { type EmbeddedOptions, EmbeddedTarget } from './embedded-target.ts';
import { givenTarget } from './given-target.ts';
import { type Cell, type CellSettings, measureCell } from './measure-cell.ts';
import { PlainTarget } from './plain-target.ts';
import { type Condition, cellsOfRun, conditionsOf, type PlannedCell } from './plan-cells.ts';
import { prepareData, withClient, writeBulkFile } from './prepare-data.ts';
import { type EmbeddedPath, embeddedPaths, type Route, type Target } from './target.ts';
import { sizesFor } from './workload-schema.ts';
import type { Switches, Workload } from './workloads.ts';

export interface WantedThroughput {
  readonly workloads: readonly Workload[];
  readonly paths: readonly EmbeddedPath[];
  readonly clients: readonly number[];
  readonly modes: readonly SynchronousMode[];
  readonly runs: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly scale: ScaleWish;
  readonly rate: number | null;
  readonly sampling: number;
  readonly switches: Switches;
  readonly withoutAgent: boolean;
  /** PostgreSQL's, such as `1GB`; null: its default. */
  readonly sharedBuffers: string | null;
  /** Instead of a cluster of this machine; empty: that. */
  readonly given: readonly Route[];
}

/** What is known of the servers once they run. */
export interface ServerFacts {
  readonly version: string;
  readonly sharedBuffersBytes: number;
  readonly fsync: boolean;
  readonly synchronousCommit: string;
  readonly scale: number;
  readonly dataBytes: number;
}

export interface Throughput {
  readonly wanted: WantedThroughput;
  readonly cells: readonly Cell[];
  readonly facts: ServerFacts;
  readonly notes: readonly string[];
}

interface Surroundings {
  readonly wanted: WantedThroughput;
  readonly programs: ClientPrograms;
  readonly folder: string;
  readonly cells: Cell[];
  readonly notes: Set<string>;
  facts: ServerFacts | null;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export async function runThroughput(
  wanted: WantedThroughput,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Throughput> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-bench-'));
  const surroundings: Surroundings = {
    wanted,
    programs: await findClientPrograms(),
    folder,
    cells: [],
    notes: new Set(),
    facts: null,
    signal,
    say,
  };
  try {
    if (wanted.given.length > 0) await measureGiven(surroundings);
    else for (const mode of wanted.modes) await measureMode(mode, surroundings);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { cells, facts, notes } = surroundings;
  if (facts === null) throw new Error('nothing was measured');
  return { wanted, cells, facts, notes: [...notes] };
}

async function measureGiven(surroundings: Surroundings): Promise<void> {
  const { wanted } = surroundings;
  const target = givenTarget(wanted.given);
  const settings = await prepare(target, 1, surroundings);
  for (let run = 1; run <= wanted.runs; run += 1) {
    const paths = target.routes.map(({ path }) => path);
    await measureCells(
      planOf(run, target, paths, surroundings),
      { mode: 'given', condition: 'with-agent' },
      {
        target,
        settings,
        surroundings,
      },
    );
  }
}

async function measureMode(mode: SynchronousMode, surroundings: Surroundings): Promise<void> {
  const { wanted, signal, say } = surroundings;
  const options: EmbeddedOptions = { mode, settings: postgresSettings(wanted), signal, say };
  say(`mode ${mode}: bringing a cluster up`);
  const embedded = await EmbeddedTarget.open(options);
  let plain: PlainTarget | null = null;
  try {
    const settings = await prepare(embedded, embedded.nodes.length, surroundings);
    if (wanted.withoutAgent) {
      await embedded.down();
      plain = await openPlain(embedded, options, surroundings);
      await prepareData(surroundings.programs, { ...settings, dsn: plain.adminDsn, signal });
      await plain.down();
    }
    let standing: Condition | null = null;
    for (const { run, condition } of conditionsOf(wanted.runs, wanted.withoutAgent)) {
      if (condition !== standing) await change(condition, embedded, plain);
      standing = condition;
      const target = condition === 'with-agent' ? embedded : plain;
      if (target === null) throw new Error('servers without an agent were not asked for');
      const paths = condition === 'with-agent' ? wanted.paths : ['direct'];
      const refresh = condition === 'with-agent' ? () => embedded.refresh() : undefined;
      await measureCells(
        planOf(run, target, paths, surroundings),
        { mode, condition },
        {
          target,
          settings,
          surroundings,
          ...(refresh === undefined ? {} : { refresh }),
        },
      );
    }
  } finally {
    await plain?.close();
    await embedded.close();
  }
}

/** One takes no time from the other: only one of them runs. */
async function change(to: Condition, embedded: EmbeddedTarget, plain: PlainTarget | null): Promise<void> {
  if (to === 'with-agent') {
    await plain?.down();
    await embedded.up();
  } else {
    await embedded.down();
    await plain?.up();
  }
}

async function openPlain(
  embedded: EmbeddedTarget,
  options: EmbeddedOptions,
  { say }: Surroundings,
): Promise<PlainTarget> {
  say('making the same servers without an agent');
  const folder = join(embedded.folder, 'plain');
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return PlainTarget.open({ ...options, folder, nodes: embedded.nodes });
}

function postgresSettings({ sharedBuffers }: WantedThroughput): Record<string, string> {
  return sharedBuffers === null ? {} : { shared_buffers: sharedBuffers };
}

/** Makes the data, and says how large it and the memories are. */
async function prepare(target: Target, copies: number, surroundings: Surroundings): Promise<CellSettings> {
  const { wanted, programs, folder, signal, say } = surroundings;
  const before = await readServer(target.adminDsn);
  const { bavail, bsize } = statfsSync(tmpdir());
  const scale = chooseScale(wanted.scale, {
    sharedBuffersBytes: before.sharedBuffersBytes,
    memoryBytes: totalmem(),
    freeDiskBytes: bavail * bsize,
    copies: wanted.withoutAgent ? 2 * copies : copies,
  });
  const sizes = sizesFor(scale);
  say(`making the tables at scale ${scale}`);
  const { switches } = wanted;
  await prepareData(programs, { dsn: target.adminDsn, switches, scale, sizes, signal });
  surroundings.facts = { ...before, scale, dataBytes: await databaseBytes(target.adminDsn) };
  const bulkFile = join(folder, 'bulk.tsv');
  if (wanted.workloads.some(({ load }) => load.kind === 'copy'))
    await writeBulkFile(bulkFile, sizes.bulkRows);
  const { seconds, warmUpSeconds, rate, sampling } = wanted;
  return { switches, scale, sizes, seconds, warmUpSeconds, rate, sampling, folder, bulkFile };
}

async function readServer(dsn: string): Promise<Omit<ServerFacts, 'scale' | 'dataBytes'>> {
  return withClient(dsn, async (client) => {
    const show = async (name: string) => {
      const { rows } = await client.query<{ value: string }>('select current_setting($1) as value', [name]);
      return rows[0]?.value ?? '';
    };
    const { rows } = await client.query<{ bytes: string }>(
      "select pg_size_bytes(current_setting('shared_buffers')) as bytes",
    );
    return {
      version: await show('server_version'),
      sharedBuffersBytes: Number(rows[0]?.bytes),
      fsync: (await show('fsync')) === 'on',
      synchronousCommit: await show('synchronous_commit'),
    };
  });
}

async function databaseBytes(dsn: string): Promise<number> {
  return withClient(dsn, async (client) => {
    const { rows } = await client.query<{ bytes: string }>(
      'select pg_database_size(current_database()) as bytes',
    );
    return Number(rows[0]?.bytes);
  });
}

function planOf(
  run: number,
  target: Target,
  paths: readonly string[],
  { wanted, notes }: Surroundings,
): PlannedCell[] {
  return cellsOfRun(run, {
    ...wanted,
    pathsFor: ({ name, reads }) => {
      const there = target.routes.filter(({ serves }) => serves === reads).map(({ path }) => path);
      const missing = paths.filter((path) => !there.includes(path) && path in embeddedPaths);
      if (missing.length > 0 && target.routes.length > 1) {
        notes.add(`${name} is not measured by ${missing.join(', ')}: no such way leads to the ${reads}.`);
      }
      return there.filter((path) => paths.includes(path));
    },
  });
}

async function measureCells(
  planned: readonly PlannedCell[],
  name: { readonly mode: string; readonly condition: Condition },
  measuring: {
    readonly target: Target;
    readonly settings: CellSettings;
    readonly surroundings: Surroundings;
    /** Before each cell. */
    readonly refresh?: () => Promise<void>;
  },
): Promise<void> {
  const { target, settings, surroundings, refresh } = measuring;
  const { programs, signal, cells, say } = surroundings;
  for (const cell of planned) {
    signal.throwIfAborted();
    await refresh?.();
    const { workload, run, path, clients } = cell;
    const named = { ...name, run, workload: workload.name, unit: workload.unit, path, clients };
    const measured = await measureCell(cell, named, { target, programs, settings, signal });
    cells.push(measured);
    say(lineOf(measured));
  }
}

function lineOf(cell: Cell): string {
  const what = `${cell.mode} ${cell.condition} run ${cell.run}: ${cell.workload} by ${cell.path}, ${cell.clients} clients`;
  if (cell.outcome === 'failed') return `${what}: failed: ${cell.reason}`;
  const { rate, check } = cell.figures;
  const bound = check.bottleneck === 'none' ? '' : ` (bound by the ${check.bottleneck})`;
  return `${what}: ${Math.round(rate).toLocaleString('en')} ${cell.unit}${bound}`;
}
