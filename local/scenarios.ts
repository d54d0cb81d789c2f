/**
 * The scenarios of the main job, each from a whole cluster to a whole cluster, while clients write: a switchover asked for
 * through Step Functions, the primary's host killed, the primary's postmaster killed.
 */
import {
  DescribeInstancesCommand,
  EC2Client,
  StartInstancesCommand,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2';
import { sleepMs } from '../adapters/clock.ts';
import { sendSignal } from '../adapters/process.ts';
import { CliError } from '../cli/cli-error.ts';
import type { ClusterAccess } from '../cli/cluster/cluster-access.ts';
import { followExecution, startExecution, stepFunctionsClient } from '../cli/follow-execution.ts';
import type { ClusterHandle } from './runtime/cluster-handle.ts';
import type { ContinuousWriter } from './runtime/continuous-writer.ts';

export type Scenario = 'switchover' | 'host-killed' | 'postgres-killed';

export const scenarios: readonly Scenario[] = ['switchover', 'host-killed', 'postgres-killed'];

/** Durations in milliseconds. */
export interface MeasuredRun {
  readonly scenario: Scenario;
  /** The longest time without any acknowledged write, over all clients. */
  readonly gapMs: number;
  readonly errors: number;
  readonly acked: number;
  /** From the blow to a cluster in which every node streams again. */
  readonly redundantAfterMs: number;
}

export interface ScenarioSurroundings {
  readonly cluster: ClusterHandle;
  readonly writer: ContinuousWriter;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Clients write this long before and after, so that the figures hold ordinary operation at both ends. */
const ordinaryMs = 1_500;
const wholeTimeoutMs = 60_000;
const executionTimeoutMs = 60_000;
/** A failover asks EC2 to stop a host that does not answer; an operator does so after this long. */
const stoppedByFailoverMs = 15_000;
const instanceTimeoutMs = 30_000;
const pollMs = 100;

/** Runs one scenario. Throws when it did not work, or the signal was aborted. */
export async function runScenario(
  scenario: Scenario,
  surroundings: ScenarioSurroundings,
): Promise<MeasuredRun> {
  const { cluster, writer, signal, say } = surroundings;
  await cluster.untilWhole(wholeTimeoutMs, signal);
  writer.mark();
  await sleepMs(ordinaryMs);
  const primary = await cluster.primary();
  say(`${scenario}: ${primary} is primary`);
  const blowMs = performance.now();
  await blows[scenario](primary, surroundings);
  await cluster.untilWhole(wholeTimeoutMs, signal);
  const redundantAfterMs = Math.round(performance.now() - blowMs);
  await sleepMs(ordinaryMs);
  const figures = writer.figures();
  const successor = await cluster.primary();
  say(
    `  ${successor} is primary; longest gap ${figures.gapMs} ms, ${figures.errors} errors, redundant after ${redundantAfterMs} ms`,
  );
  return { scenario, ...figures, redundantAfterMs };
}

type Blow = (primary: string, surroundings: ScenarioSurroundings) => Promise<void>;

const blows: Readonly<Record<Scenario, Blow>> = {
  switchover,
  'host-killed': killHost,
  'postgres-killed': killPostmaster,
};

async function switchover(primary: string, { cluster, say }: ScenarioSurroundings): Promise<void> {
  const access = accessTo(cluster);
  const sfn = stepFunctionsClient(access);
  try {
    const executionArn = await startExecution(sfn, access, {
      cluster: access.cluster,
      kind: 'switchover',
      reason: 'main job',
    });
    const outcome = await followExecution(sfn, executionArn, executionTimeoutMs, ({ step, ms }) =>
      say(`  ${step.padEnd(20)} ${String(ms).padStart(5)} ms`),
    );
    if (outcome.kind === 'failed')
      throw new CliError(`the switchover failed: ${outcome.error}: ${outcome.message}`);
    if (outcome.kind === 'still-running') throw new CliError('the switchover did not end');
  } finally {
    sfn.destroy();
  }
  if ((await cluster.primary()) === primary) throw new CliError(`${primary} is still primary`);
}

/** Everything on the host dies at once. What brings redundancy back is an operator who starts the host again. */
async function killHost(primary: string, surroundings: ScenarioSurroundings): Promise<void> {
  const { cluster, say, signal } = surroundings;
  const { instanceId } = nodeOf(cluster, primary);
  await cluster.killHost(primary);
  await untilAnotherPrimary(cluster, primary, signal);
  const ec2 = new EC2Client(accessTo(cluster).clientConfig);
  try {
    const stopped = await untilState(ec2, instanceId, 'stopped', stoppedByFailoverMs, signal);
    if (!stopped) {
      say(`  as an operator: EC2 StopInstances --force ${instanceId}, for the failover has not stopped it`);
      await ec2.send(new StopInstancesCommand({ InstanceIds: [instanceId], Force: true }));
      if (!(await untilState(ec2, instanceId, 'stopped', instanceTimeoutMs, signal))) {
        throw new CliError(`${instanceId} does not stop`);
      }
    }
    say(`  as an operator: EC2 StartInstances ${instanceId} (${primary})`);
    await ec2.send(new StartInstancesCommand({ InstanceIds: [instanceId] }));
    if (!(await untilState(ec2, instanceId, 'running', instanceTimeoutMs, signal))) {
      throw new CliError(`${instanceId} does not start`);
    }
  } finally {
    ec2.destroy();
  }
}

async function killPostmaster(primary: string, { cluster, signal }: ScenarioSurroundings): Promise<void> {
  const { postmasterPid } = nodeOf(cluster, primary);
  if (postmasterPid === null) throw new CliError(`no postmaster runs on ${primary}`);
  if (sendSignal(postmasterPid, 'SIGKILL') !== 'sent') throw new CliError('the postmaster was gone already');
  // The reports that say "running" are older than the blow: the new postmaster must be seen first.
  const untilMs = performance.now() + wholeTimeoutMs;
  while (performance.now() < untilMs) {
    signal.throwIfAborted();
    const now = nodeOf(cluster, primary).postmasterPid;
    if (now !== null && now !== postmasterPid) return;
    await sleepMs(pollMs);
  }
  throw new CliError(`PostgreSQL did not come back on ${primary}`);
}

function nodeOf(cluster: ClusterHandle, id: string) {
  const node = cluster.endpoints().nodes[id];
  if (node === undefined) throw new Error(`there is no node ${id}`);
  return node;
}

async function untilAnotherPrimary(
  cluster: ClusterHandle,
  former: string,
  signal: AbortSignal,
): Promise<void> {
  const untilMs = performance.now() + wholeTimeoutMs;
  while (performance.now() < untilMs) {
    signal.throwIfAborted();
    const head = await cluster.store().readHead();
    const lease = head.kind === 'ok' ? head.value.lease : null;
    if (lease?.state === 'held' && lease.holder !== former) return;
    await sleepMs(pollMs);
  }
  throw new CliError(`nobody took over from ${former}`);
}

/** False when the instance did not reach that state in time. */
async function untilState(
  ec2: EC2Client,
  instanceId: string,
  state: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const untilMs = performance.now() + timeoutMs;
  while (performance.now() < untilMs) {
    signal.throwIfAborted();
    const described = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }));
    if (described.Reservations?.[0]?.Instances?.[0]?.State?.Name === state) return true;
    await sleepMs(pollMs);
  }
  return false;
}

function accessTo(cluster: ClusterHandle): ClusterAccess {
  const endpoints = cluster.endpoints();
  const { accessKeyId, secretAccessKey, region, tableName, stateMachineArn, documents } = endpoints;
  return {
    cluster: endpoints.cluster,
    tableName,
    stateMachineArn,
    documents: { upgrade: '', ...documents },
    clientConfig: {
      region,
      endpoint: endpoints.awsEndpointUrl,
      credentials: { accessKeyId, secretAccessKey },
    },
    store: cluster.store(),
    endpoints,
  };
}
