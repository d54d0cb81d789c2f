/**
 * PostgreSQL on the nodes of a peer: the same settings as on Leasehold's nodes (adapters/postgres/configuration.ts, initialise.ts), the same
 * log-in, and what its own views say of primary and standbys. A difference between two systems must not come from here.
 */
import { Client } from 'pg';
import { DEFAULT_SETTINGS } from '../../../adapters/postgres/configuration.ts';
import { endQuietly } from '../../measure/connect-in-order.ts';

/** As Leasehold writes them, but for what the peer itself decides; a test keeps the two equal. */
export const peerSettings: Readonly<Record<string, string>> = {
  ...DEFAULT_SETTINGS,
  wal_level: 'replica',
  hot_standby: 'on',
  wal_log_hints: 'on',
  full_page_writes: 'on',
};

/** Checksums, UTF-8 and the C locale, as Leasehold's. */
export const initdbOptions = { encoding: 'UTF8', locale: 'C' } as const;

/** Of clients and of the harness. A cluster on loopback, gone after the run. */
export const login = { user: 'postgres', password: 'benchmark' } as const;

export function dsnOf(port: number, database = 'postgres'): string {
  return `postgres://${login.user}:${login.password}@127.0.0.1:${port}/${database}`;
}

/** The lines of a postgresql.conf. */
export function settingLines(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    .join('');
}

/** What a node says of itself; null when it does not answer. */
export interface NodeView {
  readonly standby: boolean;
  /** Members that stream from it and have almost all of its log. */
  readonly streaming: number;
  /** Those of them that a commit waits for, or may wait for. */
  readonly synchronous: number;
}

/** More than this behind, and a standby does not count as streaming. */
const mostLagBytes = 1024 * 1024;
const lookTimeoutMs = 2_000;

const viewQuery = `
  select pg_is_in_recovery() as standby,
    count(*) filter (where caught_up)::int as streaming,
    count(*) filter (where caught_up and sync_state in ('sync', 'quorum'))::int as synchronous
  from (
    select sync_state, state = 'streaming' and application_name <> 'pg_basebackup'
      and case when pg_is_in_recovery() then false
        else pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) < ${mostLagBytes} end as caught_up
    from pg_stat_replication
  ) as members`;

export async function lookAtNode(port: number): Promise<NodeView | null> {
  const rows = await queryOnce<NodeView>(dsnOf(port), viewQuery).catch(() => []);
  return rows[0] ?? null;
}

/** Whether who connects there may write. */
export async function takesWrites(port: number): Promise<boolean> {
  const rows = await queryOnce<{ transaction_read_only: string }>(
    dsnOf(port),
    'show transaction_read_only',
  ).catch(() => []);
  return rows[0]?.transaction_read_only === 'off';
}

/** One statement on a connection of its own. Throws what the server, or its absence, says. */
export async function queryOnce<Row extends object>(dsn: string, query: string): Promise<Row[]> {
  const client = new Client({
    connectionString: dsn,
    connectionTimeoutMillis: lookTimeoutMs,
    query_timeout: lookTimeoutMs,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<Row>(query);
    return rows;
  } finally {
    await endQuietly(client);
  }
}
