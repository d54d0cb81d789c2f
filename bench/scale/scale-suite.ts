/**
 * `npm run bench -- scale`: the agents of more and more clusters against one table, until something gives; without PostgreSQL. Against the
 * embedded endpoint that shows where the stand-in ends, not where DynamoDB does; `--endpoint` takes any other, `aws` the real one.
 */
import type { AwsConfig } from '../../adapters/aws/dynamo-client.ts';
import { checkedOutCommit, machineFacts } from '../measure/machine-facts.ts';
import { benchCommand, readNumber } from '../read-options.ts';
import type { BenchResult } from '../report/bench-result.ts';
import { renderTables } from '../report/render-markdown.ts';
import { saveResult } from '../report/result-files.ts';
import type { SuiteCommand } from '../suite-command.ts';
import { type Endpoint, openEmbeddedEndpoint, runStep, type StepFigures } from './run-step.ts';
import { dueRate, limitsTable, mostUnhindered, stepTable } from './scale-tables.ts';
import type { LeaseTimes } from './simulated-cluster.ts';

export const scaleSuite: SuiteCommand = {
  command: () =>
    benchCommand('bench -- scale', 'Agents of many clusters against one table, without PostgreSQL.')
      .name('scale')
      .option('--clusters <list>', 'how many, step by step', '1,10,25,50,100')
      .option('--seconds <n>', 'how long to count in each step', '20')
      .option('--heartbeat <ms>', 'ttl is 2000 below 1000, else 5000', '1000')
      .option('--workers <n>', 'programs among which the agents are divided', '1')
      .option('--endpoint <url>', 'of a DynamoDB elsewhere, or aws; needs --table', 'embedded')
      .option('--table <name>', "the stack's table at that endpoint; what is written there stays", ''),
  run: (options, signal) => runScale(readScaleOptions(options), signal),
};

export interface ScaleOptions {
  readonly clusters: readonly number[];
  readonly seconds: number;
  readonly times: LeaseTimes;
  readonly workers: number;
  /** Null: the embedded one. */
  readonly elsewhere: { readonly url: string | null; readonly table: string } | null;
}

const mostClusters = 10_000;
const mostSeconds = 3_600;
const mostWorkers = 64;
const settleMs = 4_000;

/** Throws what is wrong, with the option's name. */
export function readScaleOptions(options: unknown): ScaleOptions {
  const given = options as Readonly<
    Record<'clusters' | 'seconds' | 'heartbeat' | 'workers' | 'endpoint' | 'table', string>
  >;
  const heartbeatMs = within('heartbeat', given.heartbeat, 100, 2_000);
  const elsewhere = given.endpoint !== 'embedded';
  if (elsewhere && given.endpoint !== 'aws' && !URL.canParse(given.endpoint)) {
    throw new Error(`--endpoint ${given.endpoint}: embedded, aws, or a URL such as http://127.0.0.1:8000`);
  }
  if (elsewhere === (given.table === '')) {
    throw new Error(
      elsewhere ? '--endpoint needs --table, the name of the table there' : '--table is for --endpoint',
    );
  }
  return {
    clusters: given.clusters.split(',').map((text) => within('clusters', text.trim(), 1, mostClusters)),
    seconds: within('seconds', given.seconds, 2, mostSeconds),
    times: { heartbeatMs, ttlMs: heartbeatMs < 1_000 ? 2_000 : 5_000 },
    workers: within('workers', given.workers, 1, mostWorkers),
    elsewhere: elsewhere
      ? { url: given.endpoint === 'aws' ? null : given.endpoint, table: given.table }
      : null,
  };
}

function within(name: string, text: string, least: number, most: number): number {
  const value = readNumber(name, text, { whole: true });
  if (value < least || value > most) throw new Error(`--${name} ${text}: from ${least} to ${most}`);
  return value;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function runScale(options: ScaleOptions, signal: AbortSignal): Promise<number> {
  const steps: StepFigures[] = [];
  for (const clusters of options.clusters) {
    say(`${clusters} clusters for ${options.seconds} s`);
    // A table of its own for each step: an earlier one's reports would be in the way of none, but its process has grown.
    const endpoint = await openEndpoint(options, signal);
    try {
      const prefix = `scale-${Date.now().toString(36)}-${clusters}`;
      const { times, workers, seconds } = options;
      const task = { prefix, clusters, times, workers, settleMs, measureMs: seconds * 1_000 };
      const step = await runStep(endpoint, task, signal);
      steps.push(step);
      const { missed, renewals } = step.deadlines;
      say(
        `  ${Math.round(step.requestsPerSecond)} requests/s, ${renewals} renewals, ${missed + step.overdue} missed`,
      );
    } finally {
      endpoint.close();
    }
  }
  const result = scaleResult(steps, options);
  const file = saveResult(result);
  for (const line of renderTables(result).split('\n')) say(line);
  say(`written to ${file}`);
  return 0;
}

async function openEndpoint({ elsewhere }: ScaleOptions, signal: AbortSignal): Promise<Endpoint> {
  if (elsewhere === null) return openEmbeddedEndpoint(signal);
  const region = process.env['AWS_REGION'] ?? 'us-east-1';
  // Credentials by the SDK's own chain.
  const aws: AwsConfig = elsewhere.url === null ? { region } : { region, endpoint: elsewhere.url };
  return { aws, tableName: elsewhere.table, use: async () => null, close: () => undefined };
}

function scaleResult(steps: readonly StepFigures[], options: ScaleOptions): BenchResult {
  const { clusters, seconds, times, workers, elsewhere } = options;
  const where =
    elsewhere === null
      ? 'the embedded endpoint, one process, in memory'
      : `the table ${elsewhere.table} at ${elsewhere.url ?? 'AWS'}`;
  const endpointWords =
    elsewhere === null ? '' : ` --endpoint ${elsewhere.url ?? 'aws'} --table ${elsewhere.table}`;
  // Rhythms of seconds show best where there are many clusters, and nothing was held up.
  const most = mostUnhindered(steps, dueRate(times.heartbeatMs));
  const typical = steps.find((step) => step.clusters === most) ?? steps[0];
  const limits = typical === undefined ? null : limitsTable(typical);
  return {
    suite: 'scale',
    madeAt: new Date().toISOString(),
    command: `npm run bench -- scale --clusters ${clusters.join()} --seconds ${seconds} --heartbeat ${times.heartbeatMs} --workers ${workers}${endpointWords}`,
    commit: checkedOutCommit(),
    machine: machineFacts({}),
    settings: { clusters: clusters.join(), seconds, ...times, workers, endpoint: where },
    tables: [stepTable(steps, dueRate(times.heartbeatMs), where), ...(limits === null ? [] : [limits])],
    plots: [],
    notes: notesOn(steps, options),
    raw: steps,
  };
}

function notesOn(steps: readonly StepFigures[], { elsewhere, clusters, times }: ScaleOptions): string[] {
  const most = mostUnhindered(steps, dueRate(times.heartbeatMs));
  const least = Math.min(...clusters);
  const reach =
    most === null
      ? `Fewer than ${least} clusters were served in time.`
      : `Up to ${most} clusters were served in time.`;
  if (elsewhere !== null) return [reach];
  return [
    reach,
    'What held a step up is in the table. It is the stand-in (dynalite, one thread of one process) or this machine, which runs the agents as well: nothing here says where DynamoDB ends.',
    'Latencies are those of the stand-in on this machine. DynamoDB answers a warm conditional write within some milliseconds, and slower now and then.',
  ];
}
