/**
 * Questions to another node's PostgreSQL: how far it has written (a standby cannot know from its own receiver what it has
 * not been sent yet), how far it has received, and a checkpoint there (right after a promotion its control file still names the old timeline, which
 * misleads pg_rewind). One short connection a question; null or false when there is no answer in time.
 */
import pg from 'pg';
import { trustingAuthority } from '../../adapters/tls/trusting-authority.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { type Lsn, parseLsn } from '../../core/model/lsn.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** PEM of the authorities that are trusted where TLS is required; null: in the clear. */
type Trusted = string | null;

const connectMs = 1_000;
const positionMs = 1_000;
/** A checkpoint writes all that is dirty: with a large cache this takes a while. */
const checkpointMs = 120_000;

export async function askPrimaryPosition(
  config: DatabaseHostConfig,
  primary: Address,
  trusted: Trusted,
): Promise<Lsn | null> {
  return await ask(config, { ...primary, trusted }, positionMs, async (client) => {
    const result = await client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
    return parseLsn(result.rows[0]?.lsn ?? '');
  });
}

/** How far a standby's log reaches on its disk, or was replayed if that is more; null as well when it is a primary. */
export async function askStandbyPosition(
  config: DatabaseHostConfig,
  standby: Address,
  trusted: Trusted,
): Promise<Lsn | null> {
  return await ask(config, { ...standby, trusted }, positionMs, async (client) => {
    const result = await client.query<{ lsn: string | null }>(
      `select case when pg_is_in_recovery()
         then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text end as lsn`,
    );
    return parseLsn(result.rows[0]?.lsn ?? '');
  });
}

export async function checkpointOn(
  config: DatabaseHostConfig,
  primary: Address,
  trusted: Trusted,
): Promise<boolean> {
  const done = await ask(config, { ...primary, trusted }, checkpointMs, async (client) => {
    await client.query('checkpoint');
    return true;
  });
  return done ?? false;
}

async function ask<T>(
  config: DatabaseHostConfig,
  node: Address & { readonly trusted: Trusted },
  timeoutMs: number,
  question: (client: pg.Client) => Promise<T>,
): Promise<T | null> {
  const client = new pg.Client({
    host: node.host,
    port: node.port,
    user: config.secrets.superuser.name,
    password: config.secrets.superuser.password,
    database: 'postgres',
    application_name: 'leasehold-agent',
    connectionTimeoutMillis: connectMs,
    query_timeout: timeoutMs,
    ...(node.trusted === null ? {} : { ssl: trustingAuthority(node.trusted) }),
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await question(client);
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}
