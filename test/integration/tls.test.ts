/**
 * A cluster that requires TLS, from its first start: its authority and its hosts' certificates are the control plane's, nobody is let in
 * without, hosts verify one another, and a switchover and the renewal of every certificate pass without an error.
 */
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { servedCertificate } from '../../adapters/tls/served-certificate.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import { type ClusterSandbox, eventually, openClusterSandbox } from './support/cluster-sandbox.ts';
import { operate, succeeded } from './support/operations.ts';

/** The shortest life: certificates are renewed 13 s after they were signed. */
const lifetimeMs = 20_000;

let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox({
    cluster: 'main',
    nodes: [{ id: 'node1' }, { id: 'node2' }],
    proxies: [{ id: 'proxy1' }],
    tls: { mode: 'required', lifetimeMs },
  });
});
afterAll(async () => {
  await sandbox?.close();
});

const doors = (): Record<string, string> => {
  const { dsn } = sandbox.cluster.endpoints();
  const { nodes, ...proxies } = dsn;
  return { ...proxies, ...nodes };
};

async function connected(connectionString: string): Promise<Client> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** The serial numbers of what PostgreSQL on each node and PgBouncer serve now. */
async function serials(): Promise<string[]> {
  const { pgbouncer, node1, node2 } = doors();
  const looks = [pgbouncer, node1, node2].map(async (dsn = '') => {
    const { hostname, port } = new URL(dsn);
    return (await servedCertificate(hostname, Number(port), 2_000))?.serialNumber ?? 'none';
  });
  return await Promise.all(looks);
}

it('lets clients in who verify it, by every door, and nobody in the clear', async () => {
  for (const [door, dsn] of Object.entries(doors())) {
    expect(dsn, door).toContain('sslmode=verify-full');
    const client = await connected(dsn);
    await client.query('select 1');
    await client.end();
    const inTheClear = dsn.replace(/\?.*/, '?sslmode=disable');
    await expect(connected(inTheClear), door).rejects.toThrow(/SSL|encryption|TLS/);
    // Whoever does not trust the cluster's authority does not come in either.
    await expect(connected(dsn.replace(/&sslrootcert=.*/, '')), door).rejects.toThrow(/certificate/);
  }
});

it('passes a switchover and the renewal of every certificate without an error or a broken connection', async () => {
  const { cluster } = sandbox;
  const { endpoint = '' } = doors();
  const encrypted = `select bool_and(ssl) as ssl from pg_stat_replication join pg_stat_ssl using (pid)`;
  const writer = new ContinuousWriter({ dsn: endpoint, clients: 3, table: 'under_tls' });
  const before = await serials();
  const held = [await connected(endpoint), await connected(cluster.dsn(await cluster.standby()))];
  await writer.start();
  try {
    expect(await operate(cluster, { kind: 'switchover' })).toEqual(succeeded);
    await cluster.untilWhole(20_000);
    expect(await cluster.query(await cluster.primary(), encrypted)).toEqual([{ ssl: true }]);
    const renewed = async () =>
      (await serials()).every((serial, at) => serial !== before[at] && serial !== 'none');
    await eventually('every certificate to be another', renewed, lifetimeMs);
    for (const client of held) await client.query('select 1');
    expect(await cluster.missing()).toEqual([]);
  } finally {
    await writer.stop();
    await Promise.all(held.map((client) => client.end()));
  }
  const lost = await lostWrites(cluster.dsn(await cluster.primary()), 'under_tls', writer.acknowledged());
  expect({ ...writer.figures(), texts: writer.errorTexts(), lost }).toMatchObject({ errors: 0, lost: [] });
});
