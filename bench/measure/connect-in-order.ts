/**
 * A connection as libpq makes one for a DSN with several hosts and `target_session_attrs=read-write`: each host in turn, and the first
 * that accepts writes is taken. node-postgres knows no such DSN, so it is done here; a single DSN is taken as it is.
 */
import { Client } from 'pg';
import { sleepMs } from '../../adapters/clock.ts';

export interface ConnectOptions {
  /** Of one host, as libpq's `connect_timeout`. */
  readonly connectTimeoutMs: number;
  /** Of every statement; its outcome is then unknown. */
  readonly answerTimeoutMs: number;
}

/** Throws the last host's error when none is open for writes. */
export async function connectInOrder(dsns: readonly string[], options: ConnectOptions): Promise<Client> {
  let lastError: unknown = new Error('no host to connect to');
  for (const dsn of dsns) {
    const client = new Client({
      connectionString: dsn,
      connectionTimeoutMillis: options.connectTimeoutMs,
      query_timeout: options.answerTimeoutMs,
    });
    // A connection that breaks between two statements: the next statement shows it.
    client.on('error', () => undefined);
    try {
      await client.connect();
      if (dsns.length === 1 || (await isReadWrite(client))) return client;
      lastError = new Error('session is read-only');
    } catch (error) {
      lastError = error;
    }
    await endQuietly(client);
  }
  throw lastError;
}

async function isReadWrite(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ transaction_read_only: string }>('show transaction_read_only');
  return rows[0]?.transaction_read_only === 'off';
}

/** Against a server that is gone, end() may wait for an answer that never comes. */
export async function endQuietly(client: Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), sleepMs(200)]);
}
