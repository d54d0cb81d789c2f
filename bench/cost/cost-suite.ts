/**
 * `npm run bench -- cost`: what it costs to have this running. Brings clusters of its own up, one for each heartbeat, and measures what their
 * processes use and what they ask of AWS: at rest, under load, in a switchover and a failover; then what that costs a month.
 */
import { ensureArtifacts } from '../../local/runtime/build-artifacts.ts';
import { type Scenario, scenarios } from '../../local/scenarios.ts';
import { checkedOutCommit, machineFacts } from '../measure/machine-facts.ts';
import { benchCommand, readNumber } from '../read-options.ts';
import type { BenchResult } from '../report/bench-result.ts';
import { renderTables } from '../report/render-markdown.ts';
import { saveResult } from '../report/result-files.ts';
import type { SuiteCommand } from '../suite-command.ts';
import {
  benchName,
  billTable,
  clustersTable,
  operationTable,
  priceTable,
  processTable,
  requestTable,
} from './cost-tables.ts';
import { type ClusterUse, type LeaseTimes, measureCluster } from './measure-cluster.ts';

export const costSuite: SuiteCommand = {
  command: () =>
    benchCommand('bench -- cost', 'CPU and memory of agents, requests to AWS, and what they cost.')
      .name('cost')
      .option('--seconds <n>', 'how long to look at each state; the sentinel runs once a minute', '120')
      .option('--clients <n>', 'clients that write in the loaded state', '8')
      .option('--heartbeats <list>', 'milliseconds; ttl is 2000 below 1000, else 5000', '500,1000')
      .option('--scenarios <list>', `of ${scenarios.join(', ')}; or none`, 'switchover,host-killed'),
  run: (options, signal) => runCost(readOptions(options), signal),
};

interface CostOptions {
  readonly seconds: number;
  readonly clients: number;
  readonly times: readonly LeaseTimes[];
  readonly scenarios: readonly Scenario[];
}

const leastSeconds = 10;
const mostSeconds = 3_600;
const mostClients = 200;
const leastHeartbeatMs = 100;
const mostHeartbeatMs = 2_000;

/** Throws what is wrong, with the option's name. */
export function readOptions(options: unknown): CostOptions {
  const given = options as Readonly<Record<'seconds' | 'clients' | 'heartbeats' | 'scenarios', string>>;
  return {
    seconds: within('seconds', given.seconds, leastSeconds, mostSeconds),
    clients: within('clients', given.clients, 1, mostClients),
    times: listed(given.heartbeats).map((text) => {
      const heartbeatMs = within('heartbeats', text, leastHeartbeatMs, mostHeartbeatMs);
      // As the cluster file's default here, and as on AWS.
      return { heartbeatMs, ttlMs: heartbeatMs < 1_000 ? 2_000 : 5_000 };
    }),
    scenarios: given.scenarios === 'none' ? [] : listed(given.scenarios).map(readScenario),
  };
}

function readScenario(name: string): Scenario {
  const scenario = scenarios.find((known) => known === name);
  if (scenario === undefined) throw new Error(`--scenarios ${name}: one of ${scenarios.join(', ')}, or none`);
  return scenario;
}

function within(name: string, text: string, least: number, most: number): number {
  const value = readNumber(name, text, { whole: true });
  if (value < least || value > most) throw new Error(`--${name} ${text}: from ${least} to ${most}`);
  return value;
}

function listed(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function runCost(options: CostOptions, signal: AbortSignal): Promise<number> {
  // This program's own requests are told from the cluster's by it.
  process.env['AWS_SDK_UA_APP_ID'] = benchName;
  await ensureArtifacts(signal, say);
  const uses: ClusterUse[] = [];
  for (const times of options.times) uses.push(await measureCluster({ ...options, times, signal, say }));
  const result = costResult(uses, options);
  const file = saveResult(result);
  for (const line of renderTables(result).split('\n')) say(line);
  say(`written to ${file}`);
  const failed = uses.some(({ operations }) => operations.some(({ failure }) => failure !== null));
  return failed ? 1 : 0;
}

function costResult(uses: readonly ClusterUse[], options: CostOptions): BenchResult {
  const heartbeats = options.times.map(({ heartbeatMs }) => heartbeatMs).join();
  const asked = options.scenarios.length === 0 ? 'none' : options.scenarios.join();
  return {
    suite: 'cost',
    madeAt: new Date().toISOString(),
    command: `npm run bench -- cost --seconds ${options.seconds} --clients ${options.clients} --heartbeats ${heartbeats} --scenarios ${asked}`,
    commit: checkedOutCommit(),
    machine: machineFacts({}),
    settings: {
      seconds: options.seconds,
      clients: options.clients,
      heartbeats,
      scenarios: asked,
      mode: 'off',
    },
    tables: [
      processTable(uses),
      requestTable(uses),
      operationTable(uses),
      ...uses.map(billTable),
      clustersTable(uses),
      priceTable(),
    ],
    plots: [],
    notes: notesOn(uses),
    raw: uses,
  };
}

/** What the figures do not say. */
function notesOn(uses: readonly ClusterUse[]): string[] {
  const seen = (use: ClusterUse) =>
    use.idle.aws.some(({ service, what }) => service === 'lambda' && what === 'sentinel');
  const busy = uses.map(({ idle, times }) => {
    const { busySeconds, idleSeconds } = idle.processes.machine;
    const share = Math.round((100 * busySeconds) / (busySeconds + idleSeconds));
    return `${share} % of the machine's CPU time was in use at rest with a heartbeat of ${times.heartbeatMs} ms, by all programs together.`;
  });
  return [
    ...busy,
    ...uses
      .filter((use) => !seen(use))
      .map(
        ({ times }) =>
          `Heartbeat ${times.heartbeatMs} ms: the sentinel did not run while the cluster was at rest, so its duration is missing in the bill.`,
      ),
    ...uses.flatMap(({ operations, times }) =>
      operations
        .filter(({ failure }) => failure !== null)
        .map(({ scenario, failure }) => `Heartbeat ${times.heartbeatMs} ms: ${scenario} failed: ${failure}`),
    ),
    'Functions run on this machine: their duration on AWS differs, and with it the smallest part of the bill.',
    'A month is 730 hours. Prices are for one region and date; nothing was read from an AWS account.',
  ];
}
