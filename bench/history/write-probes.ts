/**
 * Probes that try to write on every node directly, past the proxies: over its Unix socket, which no partition cuts, at
 * `synchronous_commit = local`, so that a node that would let a client in is seen even while it waits for a standby. One kept
 * connection a node, one write at a time; a broken one is opened anew after a pause, so that a probe disturbs nothing.
 */
import { join } from 'node:path';
import { Client } from 'pg';
import { sleepMs } from '../../adapters/clock.ts';
import { parseHostConfig } from '../../core/wire/parse-host-config.ts';
import { hostFolder } from '../../local/faults/host-parts.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { readJsonFile } from '../../local/runtime/json-file.ts';
import { endQuietly } from '../measure/connect-in-order.ts';
import type { AcceptedWrite } from './history.ts';

const everyMs = 60;
/** Each attempt forks a server process where the server is up. */
const reconnectMs = 200;
const connectTimeoutMs = 1_000;
/** A server process that was stopped in the middle of a write answers when it wakes, and is then asked at once again. */
const answerTimeoutMs = 60_000;

const makeTable = 'create table if not exists chaos_probes (node text, at timestamptz default now())';
const probe = `
  insert into chaos_probes (node) values (current_setting('cluster_name'))
  returning current_setting('cluster_name') as node, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline`;

export class WriteProbes {
  readonly accepted: AcceptedWrite[] = [];
  readonly #cluster: ClusterHandle;
  #stopped = false;
  #running: Promise<void>[] = [];

  constructor(cluster: ClusterHandle) {
    this.#cluster = cluster;
  }

  async start(): Promise<void> {
    await this.#cluster.query('endpoint', makeTable);
    this.#running = this.#cluster.wanted.nodes.map((node) => this.#run(node));
  }

  /** Resolves once every probe has ended; one that waits for a stopped server is left to its connection's end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.race([Promise.all(this.#running), sleepMs(2 * connectTimeoutMs)]);
  }

  async #run(node: string): Promise<void> {
    while (!this.#stopped) {
      const client = directClient(this.#cluster, node, {
        connectionTimeoutMillis: connectTimeoutMs,
        query_timeout: answerTimeoutMs,
        // A standby refuses each probe: its log need not say so sixteen times a second.
        options: '-c synchronous_commit=local -c log_min_messages=fatal',
      });
      try {
        await client.connect();
        while (!this.#stopped) {
          await this.#probe(client);
          await sleepMs(everyMs);
        }
      } catch {
        await sleepMs(reconnectMs);
      } finally {
        await endQuietly(client);
      }
    }
  }

  /** Throws when the connection is of no more use. */
  async #probe(client: Client): Promise<void> {
    const sentMs = performance.now();
    try {
      const { rows } = await client.query<{ node: string; timeline: string }>(probe);
      const answeredMs = performance.now();
      for (const { node, timeline } of rows) {
        this.accepted.push({ node, timeline: Number.parseInt(timeline, 16), sentMs, answeredMs });
      }
    } catch (error) {
      // Not to be written, or no table yet: a standby. Anything else ends the connection.
      const code = (error as { code?: string }).code ?? '';
      if (code !== '25006' && code !== '42P01') throw error;
    }
  }
}

/** A connection to the node's own PostgreSQL, past every proxy and every network. */
export function directClient(
  cluster: ClusterHandle,
  node: string,
  options: Omit<ConstructorParameters<typeof Client>[0] & object, 'host' | 'port'>,
): Client {
  const dsn = new URL(cluster.dsn(node));
  const folder = hostFolder(cluster, node);
  // The DSN may lead through a relay: the socket bears the server's own port.
  const config = parseHostConfig(readJsonFile(join(folder, 'config.json')));
  if (config.role !== 'database') throw new Error(`${node} has no PostgreSQL`);
  const client = new Client({
    ...options,
    host: join(folder, 'data', 's'),
    port: config.postgres.port,
    user: decodeURIComponent(dsn.username),
    password: decodeURIComponent(dsn.password),
    database: 'postgres',
  });
  client.on('error', () => undefined);
  return client;
}
