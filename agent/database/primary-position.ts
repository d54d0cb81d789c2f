/**
 * Asks another node's PostgreSQL how far it has written: a standby cannot know from its own receiver what it has not been
 * sent yet. One short connection a question; null when there is no answer in time.
 */
import pg from 'pg';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { type Lsn, parseLsn } from '../../core/model/lsn.ts';

const timeoutMs = 1_000;

export async function askPrimaryPosition(
  config: DatabaseHostConfig,
  primary: { readonly host: string; readonly port: number },
): Promise<Lsn | null> {
  const client = new pg.Client({
    host: primary.host,
    port: primary.port,
    user: config.secrets.superuser.name,
    password: config.secrets.superuser.password,
    database: 'postgres',
    application_name: 'leasehold-position',
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const result = await client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
    return parseLsn(result.rows[0]?.lsn ?? '');
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}
