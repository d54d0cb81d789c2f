/** Which PostgreSQL it is that answers. */
import { Client } from 'pg';

/** Such as `15.14`. Throws what keeps it from answering. */
export async function versionOfServer(dsn: string): Promise<string> {
  const client = new Client({ connectionString: dsn, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return /^[\d.]+/.exec(rows[0]?.server_version ?? '')?.[0] ?? 'unknown';
  } finally {
    await client.end();
  }
}
