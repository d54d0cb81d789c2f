/**
 * `npm start`: the main job, end to end. Three nodes and a proxy come up, four clients write through the endpoint without a
 * pause, and the cluster is switched over, loses its primary's host, and has its primary's postmaster killed. What the clients
 * saw of it is measured, printed beside the budgets, and written to `.leasehold/last-run.json`. Ends with nothing left running;
 * `--keep` leaves the cluster up; `--tls` has it require TLS. Exit code 0 only when every scenario worked.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CliError, interruptedCode } from '../cli/cli-error.ts';
import { clusterFolder, livingRuntime } from '../cli/cluster/cluster-folder.ts';
import { cleanUp } from '../cli/cluster/runtime-process.ts';
import { table } from '../cli/terminal.ts';
import { budgets } from './budgets.ts';
import { checkout } from './runtime/build-artifacts.ts';
import { ClusterHandle } from './runtime/cluster-handle.ts';
import { ContinuousWriter, lostWrites } from './runtime/continuous-writer.ts';
import { writeJsonFile } from './runtime/json-file.ts';
import { type MeasuredRun, runScenario, type Scenario, scenarios } from './scenarios.ts';

const clusterFiles = {
  plain: join(checkout, 'examples', 'three-nodes.json'),
  tls: join(checkout, 'examples', 'three-nodes-tls.json'),
};
const folder = clusterFolder(checkout, 'main');
/** Says that the cluster was made by this job, which may therefore remove it. */
const marker = join(folder.path, 'made-by-npm-start');
const lastRun = join(checkout, '.leasehold', 'last-run.json');
const upTimeoutMs = 150_000;
const clients = 4;

const say = (line: string) => process.stdout.write(`${line}\n`);

/** One run of a scenario, as `last-run.json` has it. */
interface Run extends MeasuredRun {
  readonly lost: number;
}

async function main(
  { keep, tls }: { readonly keep: boolean; readonly tls: boolean },
  signal: AbortSignal,
): Promise<number> {
  if (livingRuntime(folder) !== null) {
    throw new CliError(
      'the cluster main is running here: end it with `npx leasehold down`, then start again',
    );
  }
  const ours = await prepareFolder();
  const startedMs = performance.now();
  say(`Starting three nodes and a proxy${tls ? ', with TLS required' : ''}`);
  const cluster = await ClusterHandle.bringUp({
    clusterFile: tls ? clusterFiles.tls : clusterFiles.plain,
    project: checkout,
    timeoutMs: upTimeoutMs,
    signal,
    onProgress: (line) => say(`  ${line}`),
  });
  let stays = false;
  let worked = false;
  try {
    say(`  whole after ${seconds(performance.now() - startedMs)}: ${await cluster.primary()} is primary`);
    const runs = await runAll(cluster, signal);
    say('');
    say(report(runs));
    writeJsonFile(lastRun, { runs });
    const failures = shortcomings(runs);
    for (const failure of failures) say(`FAILED: ${failure}`);
    if (keep) {
      stays = true;
      leaveUp(cluster);
    }
    worked = failures.length === 0;
    return worked ? 0 : 1;
  } finally {
    if (!stays) {
      say('Bringing everything down');
      await cluster.down(ours && worked);
      if (!worked) say(`Logs and data are kept until the next run: ${folder.path}`);
    }
  }
}

/** A cluster of an earlier run is removed; one that somebody made with `leasehold up` is used as it is, and kept. */
async function prepareFolder(): Promise<boolean> {
  const ours = existsSync(marker) || !existsSync(folder.state);
  if (existsSync(folder.path)) await cleanUp(folder, checkout, ours, say);
  if (ours) {
    mkdirSync(folder.path, { recursive: true });
    writeFileSync(marker, '');
  }
  return ours;
}

async function runAll(cluster: ClusterHandle, signal: AbortSignal): Promise<Run[]> {
  const tableName = `main_job_${Date.now()}`;
  const writer = new ContinuousWriter({ dsn: cluster.endpoints().dsn.endpoint, clients, table: tableName });
  say(`Four clients write through ${withoutPassword(cluster.endpoints().dsn.endpoint)}`);
  const measured: { run: MeasuredRun; from: number }[] = [];
  try {
    await writer.start();
    for (const scenario of scenarios) {
      signal.throwIfAborted();
      const from = writer.count();
      const run = await runScenario(scenario, { cluster, writer, signal, say });
      measured.push({ run, from });
    }
  } finally {
    await writer.stop();
  }
  for (const text of writer.errorTexts().slice(0, 5)) say(`  an error that a client saw: ${text}`);
  const primary = await cluster.primary();
  const lost = new Set(await lostWrites(cluster.dsn(primary), tableName, writer.acknowledged()));
  return measured.map(({ run, from }, at) => {
    const ids = writer.acknowledged(from, measured[at + 1]?.from);
    const { redundantAfterMs, ...figures } = run;
    return { ...figures, lost: ids.filter((id) => lost.has(id)).length, redundantAfterMs };
  });
}

function report(runs: readonly Run[]): string {
  const rows = runs.map((run) => {
    const budget = budgets.runtime[run.scenario];
    return [
      run.scenario,
      `${run.gapMs} ms`,
      `<= ${budget.gapMs} ms`,
      run.errors,
      budget.errors ?? '-',
      run.acked,
      run.lost,
      budget.lost ?? '-',
      seconds(run.redundantAfterMs),
    ];
  });
  const head = [
    'scenario',
    'longest gap',
    'budget',
    'errors',
    'budget',
    'acked',
    'lost',
    'budget',
    'redundant after',
  ];
  return table([head, ...rows]);
}

/** What did not work, in words. A budget that was missed is in the table; it is no failure of the scenario. */
function shortcomings(runs: readonly Run[]): string[] {
  const missing = scenarios.filter((scenario) => !runs.some((run) => run.scenario === scenario));
  const lossy = runs.filter((run) => run.lost > 0 && budgets.runtime[run.scenario].lost === 0);
  return [
    ...missing.map((scenario: Scenario) => `${scenario} was not measured`),
    ...lossy.map(({ scenario, lost }) => `${scenario} lost ${lost} acknowledged writes`),
    ...runs
      .filter(({ acked }) => acked === 0)
      .map(({ scenario }) => `no write was acknowledged in ${scenario}`),
  ];
}

function leaveUp(cluster: ClusterHandle): void {
  // From now on it is its owner's: the next run must not remove it.
  rmSync(marker, { force: true });
  cluster.leaveUp();
  const { dsn } = cluster.endpoints();
  say('');
  say('The cluster stays up (--keep):');
  say(`  clients      psql ${dsn.endpoint}`);
  say(`  everything   ${folder.endpoints}`);
  say('  next         npx leasehold status | switchover | events | history | down');
}

function withoutPassword(dsn: string): string {
  const url = new URL(dsn);
  url.password = '';
  return url.toString();
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

const { values } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, tls: { type: 'boolean', default: false } },
});
const interruption = new AbortController();
let interrupted: keyof typeof interruptedCode | null = null;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    interrupted ??= name;
    interruption.abort(new CliError(`interrupted by ${name}`));
  });
}
let code = 1;
try {
  code = await main(values, interruption.signal);
} catch (error) {
  process.stderr.write(`${error instanceof CliError ? error.message : (error as Error).stack}\n`);
}
process.exit(interrupted === null ? code : interruptedCode[interrupted]);
