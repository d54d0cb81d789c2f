/**
 * Whether a cluster is whole: at rest, its lease held, the primary open for writes, every other node streaming from it, every
 * proxy routing to it, and clients answered through the endpoint. Reports in DynamoDB may be seconds old, so the primary itself
 * is asked who streams.
 */
import { Client } from 'pg';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import type { Endpoints } from './endpoints.ts';

/** What is seen of a cluster at one moment. */
export interface ClusterSight {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  readonly nodes: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
}

export interface WantedCluster {
  readonly nodes: readonly string[];
  readonly proxies: readonly string[];
}

/** What the table says is still missing, in words; empty when nothing is. Pure. */
export function missingByReports(sight: ClusterSight, wanted: WantedCluster): string[] {
  const { record, lease } = sight;
  if (record === null) return ['the cluster has no record yet'];
  if (lease === null) return [describeBootstrap(record, sight.nodes)];
  const missing: string[] = [];
  if (record.operation !== null || record.failoverState !== 'stable') {
    missing.push(`${record.operation?.kind ?? 'an operation'} is under way (${record.failoverState})`);
  }
  if (lease.state !== 'held') missing.push(`the lease is ${lease.state}`);
  for (const id of wanted.nodes) {
    const report = sight.nodes.find(({ node }) => node === id);
    const lack = id === lease.holder ? primaryLacks(report, lease) : standbyLacks(report, lease);
    if (lack !== null) missing.push(`${id} ${lack}`);
  }
  for (const id of wanted.proxies) {
    const report = sight.proxies.find(({ proxy }) => proxy === id);
    if (report === undefined) missing.push(`${id} has not reported`);
    else if (report.paused) missing.push(`${id} holds its clients back`);
    else if (report.epoch !== lease.epoch || report.routesTo !== lease.holder) {
      missing.push(`${id} does not route to ${lease.holder} yet`);
    }
  }
  return missing;
}

function describeBootstrap(record: ClusterRecord, nodes: readonly NodeReport[]): string {
  const claimant = record.bootstrap?.node;
  if (claimant === undefined) return `no node has begun the bootstrap (${nodes.length} have reported)`;
  return `${claimant} makes the first data directory`;
}

function primaryLacks(report: NodeReport | undefined, lease: Lease): string | null {
  if (report === undefined) return 'has not reported';
  if (report.role !== 'primary' || report.epoch !== lease.epoch)
    return 'holds the lease and is not primary yet';
  return report.postgres === 'running' ? null : `is primary and its PostgreSQL is ${report.postgres}`;
}

function standbyLacks(report: NodeReport | undefined, lease: Lease): string | null {
  if (report === undefined) return 'has not reported';
  if (report.activity !== 'none') {
    // A refusal is for people to mend; what the others are doing changes with every order.
    return report.activity === 'refused' ? `is refused: ${report.detail}` : `is ${report.activity}`;
  }
  if (report.role !== 'standby') return `is no standby yet (PostgreSQL ${report.postgres})`;
  return report.streaming && report.epoch === lease.epoch ? null : `does not stream from ${lease.holder} yet`;
}

/** Reads the store; null with a reason when it does not answer. */
export async function readSight(store: ClusterStore): Promise<ClusterSight | string> {
  const [head, nodes, proxies] = await Promise.all([
    store.readHead(),
    store.readNodes(),
    store.readProxies(),
  ]);
  for (const answer of [head, nodes, proxies]) {
    if (answer.kind !== 'ok') return `DynamoDB: ${answer.kind}: ${answer.message}`;
  }
  if (head.kind !== 'ok' || nodes.kind !== 'ok' || proxies.kind !== 'ok') throw new Error('checked above');
  return { ...head.value, nodes: nodes.value, proxies: proxies.value };
}

/** Everything that is missing, in words; empty when the cluster is whole. Asks the table, the primary and the endpoint. */
export async function missingForRedundancy(
  store: ClusterStore,
  endpoints: Endpoints,
  wanted: WantedCluster,
): Promise<string[]> {
  const sight = await readSight(store);
  if (typeof sight === 'string') return [sight];
  const missing = missingByReports(sight, wanted);
  const holder = sight.lease?.holder;
  if (missing.length > 0 || holder === undefined) return missing;
  const others = wanted.nodes.filter((id) => id !== holder);
  const [primary, endpoint] = await Promise.all([
    notStreaming(endpoints.dsn.nodes[holder] ?? '', others),
    wanted.proxies.length === 0 ? [] : notAnswering(endpoints.dsn.endpoint),
  ]);
  return [...primary, ...endpoint];
}

/** As above, and the way to the standbys is open too: what `up` promises. */
export async function missingForClients(
  store: ClusterStore,
  endpoints: Endpoints,
  wanted: WantedCluster,
): Promise<string[]> {
  const missing = await missingForRedundancy(store, endpoints, wanted);
  if (missing.length > 0 || wanted.proxies.length === 0 || wanted.nodes.length < 2) return missing;
  const answer = await ask(endpoints.dsn.replicas, 'select pg_is_in_recovery() as standby');
  if (typeof answer === 'string') return [`the way to the standbys is not open yet: ${answer}`];
  return answer['standby'] === true ? [] : ['the way to the standbys leads to the primary'];
}

async function notStreaming(dsn: string, standbys: readonly string[]): Promise<string[]> {
  const answer = await ask(
    dsn,
    `select coalesce(json_agg(application_name), '[]') as names from pg_stat_replication where state = 'streaming'`,
  );
  if (typeof answer === 'string') return [`the primary does not answer: ${answer}`];
  const names = answer['names'];
  const streaming = Array.isArray(names) ? names : [];
  return standbys.filter((id) => !streaming.includes(id)).map((id) => `${id} does not stream`);
}

async function notAnswering(dsn: string): Promise<string[]> {
  const answer = await ask(dsn, 'select pg_is_in_recovery() as standby');
  if (typeof answer === 'string') return [`the endpoint does not answer: ${answer}`];
  return answer['standby'] === false ? [] : ['the endpoint leads to a standby'];
}

/** The first row, or why there is none. */
async function ask(dsn: string, query: string): Promise<Record<string, unknown> | string> {
  let client: Client;
  try {
    // Reads the file of the authorities, which may not be there yet.
    client = new Client({ connectionString: dsn, connectionTimeoutMillis: 2_000, query_timeout: 2_000 });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(query);
    return rows[0] ?? 'no row';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}
