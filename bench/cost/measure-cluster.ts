/**
 * One cluster of its own, looked at while nothing happens, while clients write, and through a switchover and a failover: what its processes
 * use of the machine, and what it asks of AWS.
 */
import { sleepMs } from '../../adapters/clock.ts';
import { type UsageLine, usageBetween } from '../../local/aws/usage-meter.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { ContinuousWriter } from '../../local/runtime/continuous-writer.ts';
import { runScenario, type Scenario } from '../../local/scenarios.ts';
import { clusterGroups } from '../measure/cluster-groups.ts';
import { startUsageMeter, type UsageReport } from '../measure/process-usage.ts';
import { openTemporaryCluster } from '../temporary-cluster.ts';

export interface LeaseTimes {
  readonly heartbeatMs: number;
  readonly ttlMs: number;
}

export interface ClusterUse {
  readonly times: LeaseTimes;
  /** By host; the primary at the time of the windows. */
  readonly primary: string;
  readonly nodes: readonly string[];
  readonly proxies: readonly string[];
  readonly idle: Window;
  readonly loaded: Window & { readonly writes: number };
  readonly operations: readonly OperationUse[];
}

/** What was counted within a stretch of time. */
export interface Window {
  readonly seconds: number;
  readonly processes: UsageReport;
  readonly aws: readonly UsageLine[];
}

export interface OperationUse {
  readonly scenario: Scenario;
  /** From the ask or the blow, and a moment before, until all nodes stream again and a moment after. */
  readonly seconds: number;
  readonly aws: readonly UsageLine[];
  /** Why it has no figures; null: it went well. */
  readonly failure: string | null;
}

export interface MeasureOptions {
  readonly times: LeaseTimes;
  readonly seconds: number;
  readonly clients: number;
  readonly scenarios: readonly Scenario[];
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** No rest: copies and checkpoints of the first seconds, and the first minute after anything has changed, in which agents read and report more. */
const settleMs = 95_000;
const betweenWritesMs = 5;

export async function measureCluster(options: MeasureOptions): Promise<ClusterUse> {
  const { times, signal, say } = options;
  say(`a cluster with a heartbeat of ${times.heartbeatMs} ms and a ttl of ${times.ttlMs} ms comes up`);
  const temporary = await openTemporaryCluster({ mode: 'off', lease: times, signal });
  const { cluster } = temporary;
  try {
    await pause(settleMs, signal);
    const primary = await cluster.primary();
    say(`at rest for ${options.seconds} s`);
    const idle = await lookAt(cluster, options.seconds, signal);
    say(`${options.clients} clients write for ${options.seconds} s`);
    const writer = new ContinuousWriter({
      dsn: cluster.endpoints().dsn.endpoint,
      clients: options.clients,
      table: 'bench_cost',
      pauseMs: betweenWritesMs,
    });
    await writer.start();
    try {
      const loaded = await lookAt(cluster, options.seconds, signal);
      const writes = writer.figures().acked;
      if (writes === 0) throw new Error(`no write was acknowledged: ${writer.errorTexts().join('; ')}`);
      const operations: OperationUse[] = [];
      for (const scenario of options.scenarios)
        operations.push(await measureOperation(scenario, cluster, writer, options));
      const { nodes, proxies } = cluster.wanted;
      return { times, primary, nodes, proxies, idle, loaded: { ...loaded, writes }, operations };
    } finally {
      await writer.stop();
    }
  } finally {
    await temporary.close(false);
  }
}

async function lookAt(cluster: ClusterHandle, seconds: number, signal: AbortSignal): Promise<Window> {
  const before = await cluster.awsUsage();
  const startedMs = performance.now();
  const meter = startUsageMeter(clusterGroups(cluster));
  let processes: UsageReport | null = null;
  try {
    await pause(seconds * 1_000, signal);
  } finally {
    processes = meter.stop();
  }
  const aws = usageBetween(before, await cluster.awsUsage());
  return { seconds: (performance.now() - startedMs) / 1_000, processes, aws };
}

async function measureOperation(
  scenario: Scenario,
  cluster: ClusterHandle,
  writer: ContinuousWriter,
  { signal, say }: MeasureOptions,
): Promise<OperationUse> {
  const before = await cluster.awsUsage();
  const startedMs = performance.now();
  const done = (failure: string | null, aws: readonly UsageLine[]): OperationUse => ({
    scenario,
    seconds: (performance.now() - startedMs) / 1_000,
    aws,
    failure,
  });
  try {
    await runScenario(scenario, { cluster, writer, signal, say });
    return done(null, usageBetween(before, await cluster.awsUsage()));
  } catch (error) {
    signal.throwIfAborted();
    const text = error instanceof Error ? error.message : String(error);
    say(`  ${scenario} failed: ${text}`);
    return done(text, []);
  }
}

/** Rejects with the signal's reason when that is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + ms;
  for (let leftMs = ms; leftMs > 0; leftMs = untilMs - performance.now()) {
    signal.throwIfAborted();
    await sleepMs(Math.min(leftMs, 250));
  }
}
