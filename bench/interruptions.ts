/**
 * `npm run interruptions -- [--operation a,b] [--step text] [--victim text] [--every N] [--list]`: kills one program at each step
 * of each operation on a real cluster while clients write, one after the other, and prints what became of it. Writes
 * `.leasehold/interruptions.json`. Exit code 0 when the cluster was whole again each time and no promise was broken, 1
 * otherwise (logs and data are then kept), 130 after Ctrl-C. `--every N` takes each Nth case.
 */
import { join } from 'node:path';
import { table } from '../cli/terminal.ts';
import { Operator } from '../local/faults/operator.ts';
import { checkout } from '../local/runtime/build-artifacts.ts';
import { ClusterHandle } from '../local/runtime/cluster-handle.ts';
import { writeJsonFile } from '../local/runtime/json-file.ts';
import { Observation } from './history/observation.ts';
import { runBootstrap } from './interruptions/run-bootstrap.ts';
import { type CaseReport, runCase } from './interruptions/run-case.ts';
import { allCases, type InterruptionCase, operationNames } from './interruptions/scene.ts';
import { benchCommand, readCommandLine, readNumber } from './read-options.ts';
import { runBench } from './run-bench.ts';
import { openTemporaryCluster, type TemporaryCluster } from './temporary-cluster.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const wholeTimeoutMs = 120_000;
const upTimeoutMs = 150_000;
const clients = 4;
const everyMs = 10;

async function main(cases: readonly InterruptionCase[], signal: AbortSignal): Promise<number> {
  const reports: CaseReport[] = [];
  const tell = (report: CaseReport) => {
    reports.push(report);
    const { operation, step, victim, struck, wholeAfterMs, outcome, violations } = report;
    const whole = wholeAfterMs === null ? 'NOT WHOLE' : `whole after ${(wholeAfterMs / 1000).toFixed(1)} s`;
    say(`${operation} | ${step} | ${victim} | ${struck === 'yes' ? whole : `${struck}, ${whole}`}`);
    for (const event of outcome) say(`  ${event.replaceAll('\n', ' ').slice(0, 300)}`);
    for (const violation of violations) say(`  VIOLATED ${violation}`);
  };
  for (const one of cases.filter(({ operation }) => operation === 'bootstrap')) {
    signal.throwIfAborted();
    tell(await runBootstrap(one, signal).catch((error: unknown) => failedCase(one, signal, error)));
  }
  const others = cases.filter(({ operation }) => operation !== 'bootstrap');
  const kept = others.length === 0 ? null : await sweep(others, signal, tell);
  writeJsonFile(join(checkout, '.leasehold', 'interruptions.json'), { reports });
  const bad = reports.filter(({ violations }) => violations.length > 0).length;
  const seen = reports.filter(({ struck }) => struck === 'yes').length;
  say('');
  say(
    table([
      ['operation', 'cases', 'struck', 'longest to whole', 'lost', 'violated'],
      ...operationNames
        .filter((name) => reports.some(({ operation }) => operation === name))
        .map((name) => summary(name, reports)),
    ]),
  );
  say(`${reports.length} cases, ${seen} struck, ${bad} with a promise broken`);
  if (kept !== null) say(`logs and data are kept in ${kept}`);
  return bad === 0 ? 0 : 1;
}

function summary(name: string, reports: readonly CaseReport[]): string[] {
  const own = reports.filter(({ operation }) => operation === name);
  const longest = Math.max(...own.map(({ wholeAfterMs }) => wholeAfterMs ?? Number.POSITIVE_INFINITY));
  const lost = own.reduce((sum, { judgement }) => sum + (judgement?.lost ?? 0), 0);
  return [
    name,
    String(own.length),
    String(own.filter(({ struck }) => struck === 'yes').length),
    `${(longest / 1000).toFixed(1)} s`,
    String(lost),
    String(own.filter(({ violations }) => violations.length > 0).length),
  ];
}

/** On one cluster, one case after the other. The folder, when it is kept for a look. */
async function sweep(
  cases: readonly InterruptionCase[],
  signal: AbortSignal,
  tell: (report: CaseReport) => void,
): Promise<string | null> {
  const temporary = await openTemporaryCluster({ mode: 'off', signal });
  let running: Pick<TemporaryCluster, 'cluster'> = temporary;
  const observation = new Observation({ cluster: temporary.cluster, mode: 'off', clients, everyMs });
  const operator = new Operator(temporary.cluster);
  let keep = true;
  try {
    await observation.start();
    let bad = false;
    for (const one of cases) {
      signal.throwIfAborted();
      const report = await runCase(one, {
        cluster: running.cluster,
        observation,
        operator,
        signal,
        wholeTimeoutMs,
        restartRuntime: async () => {
          const clusterFile = join(temporary.folder, 'cluster.json');
          const timeoutMs = upTimeoutMs;
          const cluster = await ClusterHandle.bringUp({
            clusterFile,
            project: temporary.folder,
            timeoutMs,
            signal,
          });
          running = { cluster };
        },
      }).catch((error: unknown) => failedCase(one, signal, error));
      tell(report);
      bad ||= report.violations.length > 0;
      if (report.wholeAfterMs === null) break;
    }
    keep = bad;
  } finally {
    if (signal.aborted) keep = false;
    await observation.stop();
    operator.close();
    if (running.cluster !== temporary.cluster) await running.cluster.down(false);
    await temporary.close(keep);
  }
  return keep ? temporary.folder : null;
}

/** A case that could not be carried through counts as one that broke a promise; what it says is for a person. */
function failedCase(
  { operation, step, victim }: InterruptionCase,
  signal: AbortSignal,
  error: unknown,
): CaseReport {
  signal.throwIfAborted();
  const violations = [error instanceof Error ? error.message : String(error)];
  const none = { struck: 'nobody', wholeAfterMs: null, outcome: [], judgement: null } as const;
  return { operation, step: step.name, victim, ...none, violations };
}

const values = readCommandLine<{
  readonly operation: string;
  readonly step: string;
  readonly victim: string;
  readonly every: string;
  readonly list: boolean;
}>(
  benchCommand(
    'interruptions',
    'Kills one program at each step of each operation, and checks what comes of it.',
  )
    .option('--operation <names>', `of ${operationNames.join(', ')}; all when it is left out`, '')
    .option('--step <part>', 'only steps whose name has this in it', '')
    .option('--victim <part>', 'only victims whose name has this in it', '')
    .option('--every <number>', 'only every n-th case', '1')
    .option('--list', 'names the cases, and does nothing', false),
);

function wantedCases(): readonly InterruptionCase[] {
  const operations = values.operation === '' ? operationNames : values.operation.split(',');
  const unknown = operations.find((name) => !operationNames.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`--operation ${unknown}: one of ${operationNames.join(', ')}`);
  const every = readNumber('every', values.every, { whole: true });
  return allCases
    .filter(
      ({ operation, step, victim }) =>
        operations.includes(operation) && step.name.includes(values.step) && victim.includes(values.victim),
    )
    .filter((_one, at) => at % Math.max(1, every) === 0);
}

const code = await runBench(async (signal) => {
  const cases = wantedCases();
  if (!values.list) return await main(cases, signal);
  for (const { operation, step, victim } of cases) say(`${operation} | ${step.name} | ${victim}`);
  return 0;
});
process.exit(code);
