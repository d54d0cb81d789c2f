/** pgbench and psql: where they are, and runs of them with bounds on time, the password in the environment, and the server's last words. */
import {
  accessSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { type ProgramResult, runProgram } from '../../adapters/process.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import {
  type LatencyPoint,
  latencyPoints,
  type PgbenchSummary,
  parsePgbenchSummary,
  parseTransactionLog,
} from './parse-pgbench.ts';
import type { Switches, Workload } from './workloads.ts';

export interface ClientPrograms {
  readonly pgbench: string;
  readonly psql: string;
}

/** Beside a server's programs, else by PATH. Throws naming the packages. */
export async function findClientPrograms(): Promise<ClientPrograms> {
  const installation = await findInstallation();
  const folders = [
    ...(installation.kind === 'installation' ? [installation.binDir] : []),
    ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/')),
  ];
  const find = (program: string, debianPackage: string): string => {
    const folder = folders.find((candidate) => isProgram(join(candidate, program)));
    if (folder === undefined)
      throw new Error(`${program} is not installed (Debian package: ${debianPackage})`);
    return join(folder, program);
  };
  return { pgbench: find('pgbench', 'postgresql'), psql: find('psql', 'postgresql-client') };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface PgbenchRun {
  readonly dsn: string;
  readonly workload: Workload;
  readonly switches: Switches;
  readonly variables: Readonly<Record<string, number>>;
  readonly scale: number;
  readonly clients: number;
  readonly seconds: number;
  /** Transactions a second in all, at their scheduled times; null: as fast as it goes. */
  readonly rate: number | null;
  /** Of the transactions whose latency is kept, 0 to 1; 0: none. */
  readonly sampling: number;
  /** For scripts and logs; exists. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

export type PgbenchOutcome =
  | { readonly kind: 'ran'; readonly summary: PgbenchSummary; readonly latencies: readonly LatencyPoint[] }
  | { readonly kind: 'failed'; readonly reason: string };

const graceMs = 60_000;

/** pgbench's threads for so many clients. */
export function threadsFor(clients: number): number {
  return Math.min(clients, availableParallelism());
}

export async function runPgbench(programs: ClientPrograms, run: PgbenchRun): Promise<PgbenchOutcome> {
  const folder = mkdtempSync(join(run.folder, 'pgbench-'));
  try {
    const result = await runProgram([programs.pgbench, ...pgbenchArguments(run, folder)], {
      env: libpqEnvironment(run.dsn),
      cwd: folder,
      timeoutMs: run.seconds * 1_000 + graceMs,
      signal: run.signal,
    });
    run.signal.throwIfAborted();
    const reason = failureOf(result);
    if (reason !== null || result.kind !== 'exited')
      return { kind: 'failed', reason: reason ?? 'it did not end' };
    const summary = parsePgbenchSummary(result.stdout);
    if (summary === null)
      return { kind: 'failed', reason: `pgbench told no result: ${result.stdout.slice(-300)}` };
    if (summary.aborted)
      return { kind: 'failed', reason: `a client was aborted: ${result.stderrTail.slice(-300)}` };
    return { kind: 'ran', summary, latencies: latencyPoints(readLogs(folder)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function pgbenchArguments(run: PgbenchRun, folder: string): string[] {
  const { load } = run.workload;
  const variables = Object.entries(run.variables).map(([name, value]) => `--define=${name}=${value}`);
  const log = ['--log', `--log-prefix=${join(folder, 'log')}`];
  return [
    '--no-vacuum',
    `--client=${run.clients}`,
    `--jobs=${threadsFor(run.clients)}`,
    `--time=${run.seconds}`,
    `--scale=${run.scale}`,
    ...(load.kind === 'builtin' ? [`--builtin=${load.script}`] : scriptArguments(run, folder)),
    ...variables,
    ...(run.rate === null ? [] : [`--rate=${run.rate}`]),
    ...(run.sampling === 0 ? [] : log),
    ...(run.sampling === 0 || run.sampling === 1 ? [] : [`--sampling-rate=${run.sampling}`]),
  ];
}

function scriptArguments({ workload, switches }: PgbenchRun, folder: string): string[] {
  if (workload.load.kind !== 'scripts') throw new Error(`${workload.name} is not for pgbench`);
  return workload.load.scripts(switches).map(({ weight, text }, at) => {
    const file = join(folder, `script-${at}.sql`);
    writeFileSync(file, text);
    return `--file=${file}@${weight}`;
  });
}

/** One file a thread: `log.<pid>`, `log.<pid>.<thread>`. */
function readLogs(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('log.'))
    .flatMap((name) => parseTransactionLog(readFileSync(join(folder, name), 'latin1')));
}

/** `steps` as `pgbench --init-steps` takes them. Throws what pgbench says. */
export async function initialisePgbench(
  programs: ClientPrograms,
  init: {
    readonly dsn: string;
    readonly scale: number;
    readonly steps: string;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const argv = [
    programs.pgbench,
    '--initialize',
    '--quiet',
    `--init-steps=${init.steps}`,
    `--scale=${init.scale}`,
  ];
  const env = libpqEnvironment(init.dsn);
  // 100,000 rows take a second or so on a slow machine.
  const timeoutMs = 120_000 + init.scale * 10_000;
  const result = await runProgram(argv, { env, timeoutMs, signal: init.signal });
  init.signal.throwIfAborted();
  const reason = failureOf(result);
  if (reason !== null) throw new Error(`pgbench could not make its tables: ${reason}`);
}

const copyTimeoutMs = 600_000;

/** Loads the file with so many connections at once. Null, or what was wrong. */
export async function copyFile(
  programs: ClientPrograms,
  copy: {
    readonly dsn: string;
    readonly file: string;
    readonly clients: number;
    readonly signal: AbortSignal;
  },
): Promise<string | null> {
  const command = `\\copy bench_bulk from '${copy.file.replaceAll("'", "''")}'`;
  const argv = [programs.psql, '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', `--command=${command}`];
  const options = { env: libpqEnvironment(copy.dsn), timeoutMs: copyTimeoutMs, signal: copy.signal };
  const results = await Promise.all(Array.from({ length: copy.clients }, () => runProgram(argv, options)));
  copy.signal.throwIfAborted();
  return results.map(failureOf).find((reason) => reason !== null) ?? null;
}

/** Null for a program that ended well. */
function failureOf(result: ProgramResult): string | null {
  if (result.kind === 'not-started') return result.reason;
  if (result.kind === 'exited' && result.exitCode === 0) return null;
  const words = (result.stderrTail.trim() || result.stdout.trim()).slice(-400);
  return `${result.kind === 'exited' ? `exit code ${result.exitCode}` : result.kind}: ${words}`;
}
