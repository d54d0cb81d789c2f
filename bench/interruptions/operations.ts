/**
 * How each operation is set up, begun and repaired: what an operator would do, or a host that dies. Everything is real: a
 * diverged log is written by clients, a new disk is an empty one.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAwsClients } from '../../adapters/aws/clients.ts';
import { sleepMs } from '../../adapters/clock.ts';
import { sendSignal } from '../../adapters/process.ts';
import { hostFolder } from '../../local/faults/host-parts.ts';
import type { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { type OperationName, type Parts, partsOf } from './scene.ts';

export interface Prepared {
  readonly parts: Parts;
  /** Begins the operation and does not wait for its end. */
  readonly begin: () => Promise<void>;
  /** After the blow: brings back what was switched off for it. */
  readonly repair: () => Promise<void>;
}

type Prepare = (cluster: ClusterHandle, operator: Operator) => Promise<Prepared>;

const wholeMs = 90_000;
const callTimeoutMs = 5_000;
const nothing = async (): Promise<void> => undefined;

/** All but the bootstrap, which begins without a cluster. */
export const prepare: Readonly<Record<Exclude<OperationName, 'bootstrap'>, Prepare>> = {
  async switchover(cluster) {
    const parts = await partsOf(cluster);
    return { parts, begin: () => switchoverTo(cluster, parts.target ?? ''), repair: nothing };
  },
  async failover(cluster, operator) {
    const parts = await partsOf(cluster);
    const from = parts.from ?? '';
    return {
      parts,
      begin: () => cluster.killHost(from),
      repair: () => bootWhenReplaced(cluster, operator, from),
    };
  },
  async join(cluster, operator) {
    const comer = await cluster.standby();
    const parts = await partsOf(cluster, comer);
    await cluster.killHost(comer);
    // A new disk: nothing of the host is left but its name.
    for (const name of ['data/pgdata', 'state'])
      rmSync(join(hostFolder(cluster, comer), name), { recursive: true, force: true });
    return { parts, begin: () => bootUnlessStopped(cluster, operator, comer), repair: nothing };
  },
  async rewind(cluster, operator) {
    const comer = await divergedOldPrimary(cluster);
    return {
      parts: await partsOf(cluster, comer),
      begin: () => bootUnlessStopped(cluster, operator, comer),
      repair: nothing,
    };
  },
  async rebuild(cluster, operator) {
    const comer = await cluster.standby();
    const parts = await partsOf(cluster, comer);
    await cluster.killHost(comer);
    // As a rewind leaves it that was cut.
    writeFileSync(`${dataOf(cluster, comer)}.quarantine`, 'a rewind that was interrupted\n');
    return { parts, begin: () => bootUnlessStopped(cluster, operator, comer), repair: nothing };
  },
};

function dataOf(cluster: ClusterHandle, node: string): string {
  return join(hostFolder(cluster, node), 'data', 'pgdata');
}

async function switchoverTo(cluster: ClusterHandle, target: string): Promise<void> {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey, stateMachineArn } = cluster.endpoints();
  const credentials = { accessKeyId, secretAccessKey };
  const clients = createAwsClients({ region, endpoint: awsEndpointUrl, credentials });
  try {
    const input = JSON.stringify({ cluster: 'main', kind: 'switchover', target, reason: 'interruptions' });
    const name = `interrupted-${process.pid}-${Math.round(performance.now())}`;
    const started = await clients.startExecution(
      { stateMachineArn, name, input },
      { timeoutMs: callTimeoutMs },
    );
    if (started.kind !== 'ok') throw new Error(`the switchover was not started: ${started.kind}`);
  } finally {
    clients.destroy();
  }
}

/** The old primary, killed with a log that no standby has, once another one is primary and at rest. */
async function divergedOldPrimary(cluster: ClusterHandle): Promise<string> {
  const primary = await cluster.primary();
  const senders = await cluster.query<{ pid: number }>(primary, 'select pid from pg_stat_replication');
  for (const { pid } of senders) sendSignal(pid, 'SIGSTOP');
  await cluster.query(primary, 'create table if not exists diverged (id int)');
  await cluster.query(primary, 'insert into diverged select generate_series(1, 1000)');
  await cluster.killHost(primary);
  await untilReplaced(cluster, primary);
  return primary;
}

async function untilReplaced(cluster: ClusterHandle, former: string): Promise<void> {
  const untilMs = performance.now() + wholeMs;
  for (;;) {
    const head = await cluster.store().readHead({ timeoutMs: callTimeoutMs });
    const { record, lease } = head.kind === 'ok' ? head.value : { record: null, lease: null };
    const moved = lease?.state === 'held' && lease.holder !== former;
    if (moved && record?.operation === null) return;
    if (performance.now() > untilMs) throw new Error(`nobody took over from ${former}`);
    await sleepMs(100);
  }
}

async function bootWhenReplaced(cluster: ClusterHandle, operator: Operator, host: string): Promise<void> {
  await untilReplaced(cluster, host);
  await bootUnlessStopped(cluster, operator, host);
}

/** A host that EC2 has stopped is started through EC2 by whoever waits for the cluster to be whole. */
async function bootUnlessStopped(cluster: ClusterHandle, operator: Operator, host: string): Promise<void> {
  if ((await operator.instanceState(host)) === 'running') await cluster.bootHost(host);
}
