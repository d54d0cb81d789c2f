/** Synchronous replication of a whole cluster: strict, then preferring availability, through losses of the primary and of the standbys. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleepMs } from '../../adapters/clock.ts';
import type { Lease } from '../../core/model/lease.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { eventsOf, eventsSince, operate, succeeded } from './support/operations.ts';

const file = threeNodes({
  lease: { ttlMs: 4_000, heartbeatMs: 500 },
  synchronous: { mode: 'strict', k: 1 },
});
const wholeMs = 90_000;

let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox(file);
  await sandbox.cluster.untilWhole(wholeMs);
});
afterAll(async () => {
  await sandbox?.close();
});

async function lease(): Promise<Lease> {
  const head = await sandbox.cluster.store().readHead();
  if (head.kind !== 'ok' || head.value.lease === null) throw new Error('no lease');
  return head.value.lease;
}

/** Nothing is changing, and these are waited for. */
async function settled(mode: string, k: number, count: number): Promise<Lease> {
  return await eventually(
    `${mode}, ${k} of ${count} names`,
    async () => {
      const now = await lease();
      const { sync } = now;
      const there = sync.mode === mode && sync.k === k && sync.names.length === count && sync.next === null;
      return now.state === 'held' && there ? now : null;
    },
    30_000,
  );
}

async function whileClientsWrite(table: string, work: (writer: ContinuousWriter) => Promise<void>) {
  const { cluster } = sandbox;
  const writer = new ContinuousWriter({ dsn: cluster.endpoints().dsn.endpoint, table, clients: 4 });
  await writer.start();
  try {
    await work(writer);
  } finally {
    await writer.stop();
  }
  const { errors, acked } = writer.figures();
  const lost = await lostWrites(cluster.dsn(await cluster.primary()), table, writer.acknowledged());
  return { errors, acked, lost };
}

/** Straight to the primary, as an application's commit; resolves when it was acknowledged. */
async function insert(node: string, id: number): Promise<'acknowledged'> {
  const client = new pg.Client({ connectionString: sandbox.cluster.dsn(node) });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('insert into direct values ($1)', [id]);
    return 'acknowledged';
  } finally {
    await client.end().catch(() => undefined);
  }
}

const soon = (ms: number) => sleepMs(ms).then(() => 'waits' as const);
const others = (primary: string) => sandbox.cluster.wanted.nodes.filter((node) => node !== primary);

describe('strict, one of two standbys', () => {
  it('records its names in the lease, and PostgreSQL has them in force', async () => {
    const { cluster } = sandbox;
    const { holder, sync } = await settled('strict', 1, 2);
    expect([...sync.names].sort()).toEqual([...others(holder)].sort());
    const [row] = await cluster.query<{ names: string }>(
      holder,
      "select current_setting('synchronous_standby_names') as names",
    );
    expect(row?.names).toBe(`ANY 1 ("${sync.names.join('", "')}")`);
    await cluster.query(holder, 'create table direct (id int primary key)');
  });

  it('is switched over without an error, and the new epoch comes to wait for both others', async () => {
    const written = await whileClientsWrite('sync_switchover', async () => {
      for (let round = 0; round < 2; round += 1) {
        const target = await sandbox.cluster.standby();
        expect(await operate(sandbox.cluster, { kind: 'switchover', target })).toEqual(succeeded);
        await sandbox.cluster.untilWhole(wholeMs);
        expect((await settled('strict', 1, 2)).holder).toBe(target);
      }
    });
    expect(written).toMatchObject({ errors: 0, lost: [] });
    expect(written.acked).toBeGreaterThan(50);
  });

  it('loses nothing that was acknowledged when the host of the primary is killed under load', async () => {
    const { cluster } = sandbox;
    const lost = await cluster.primary();
    const written = await whileClientsWrite('sync_killed', async (writer) => {
      await eventually('some writes', () => writer.figures().acked > 50);
      await cluster.killHost(lost);
      const successor = await eventually(
        'another primary',
        async () => (await cluster.primary().catch(() => lost)) !== lost && (await lease()).state === 'held',
        60_000,
      );
      expect(successor).toBe(true);
      const before = writer.figures().acked;
      await eventually('writes go on', () => writer.figures().acked > before + 50, 30_000);
    });
    expect(written.lost).toEqual([]);
    await cluster.bootHost(lost);
    await cluster.untilWhole(wholeMs);
    await settled('strict', 1, 2);
  });

  it('keeps commits waiting while no standby is left, and acknowledges them when one returns', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    expect(await insert(primary, 1)).toBe('acknowledged');
    await Promise.all(others(primary).map((node) => cluster.killHost(node)));
    const waiting = insert(primary, 2);
    expect(await Promise.race([waiting, soon(4_000)])).toBe('waits');
    expect((await lease()).sync).toMatchObject({ mode: 'strict', k: 1 });
    await Promise.all(others(primary).map((node) => cluster.bootHost(node)));
    expect(await Promise.race([waiting, soon(60_000)])).toBe('acknowledged');
    await cluster.untilWhole(wholeMs);
    await settled('strict', 1, 2);
  });
});

describe('on, preferring availability', () => {
  it('goes on alone without standbys; then nobody but that primary is elected, but by the word of an operator', async () => {
    const { cluster } = sandbox;
    const store = cluster.store();
    const head = await store.readHead();
    if (head.kind !== 'ok' || head.value.record === null) throw new Error('no record');
    const { version, spec } = head.value.record;
    const sync = { mode: 'on', method: 'any', k: 1 } as const;
    const changed = await store.updateRecord({ expect: { version }, set: { spec: { ...spec, sync } } });
    expect(changed.kind).toBe('ok');
    const { holder } = await settled('on', 1, 2);
    const before = await eventsOf(cluster);

    await Promise.all(others(holder).map((node) => cluster.killHost(node)));
    expect(await Promise.race([insert(holder, 10), soon(20_000)])).toBe('acknowledged');
    expect((await lease()).sync).toMatchObject({ mode: 'on', k: 0, names: [] });
    await cluster.killHost(holder);
    await Promise.all(others(holder).map((node) => cluster.bootHost(node)));

    await eventually(
      'a failover that waits for the last primary',
      async () => {
        const now = await lease();
        return now.state === 'sealed' && now.successor === holder;
      },
      60_000,
    );
    const refused = await operate(cluster, { kind: 'failover' });
    expect(refused).toMatchObject({ status: 'FAILED', error: 'OperationInProgress' });
    const accepted = await operate(cluster, {
      kind: 'failover',
      acceptDataLoss: true,
      requestedBy: 'a test',
    });
    expect(accepted).toEqual(succeeded);
    expect(await cluster.primary()).not.toBe(holder);
    const events = await eventsSince(cluster, before);
    expect(events.filter((event) => event.endsWith(' data_loss_accepted'))).toHaveLength(1);
    const operations = await store.listOperations(5);
    expect(operations.kind === 'ok' && operations.value.some((one) => one.acceptDataLoss)).toBe(true);
    await settled('on', 1, 1);
  });
});
