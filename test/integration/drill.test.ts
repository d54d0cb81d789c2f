/**
 * Drills on a live cluster: the switchover is a real one, through the state machine, and the canary writes through the endpoint meanwhile.
 * What it saw is in the history, from which p50 and p99 come.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ClusterSandbox, eventually, openClusterSandbox } from './support/cluster-sandbox.ts';
import { startLeasehold } from './support/leasehold-cli.ts';
import { allSecrets, ComingAndGoing, rotate, secretVersions, untilRotated } from './support/rotation.ts';

let sandbox: ClusterSandbox;
/** The host that the fault killed. */
let lost = '';

const leasehold = (...args: string[]) => startLeasehold([...args, '--folder', sandbox.project]).finished;

beforeAll(async () => {
  sandbox = await openClusterSandbox();
});

afterAll(async () => {
  await sandbox?.close();
});

it('a drill moves the primary, loses nothing, and is the history with its p50 and p99', async ({
  annotate,
}) => {
  await sandbox.cluster.untilWhole(60_000);
  const before = await sandbox.cluster.primary();
  const { code, stdout: printed, stderr } = await leasehold('drill', '--json');
  expect(code, stderr).toBe(0);
  const drill = JSON.parse(printed);
  const primary = await sandbox.cluster.primary();
  expect(primary).not.toBe(before);
  expect(drill).toMatchObject({
    ...{ kind: 'switchover', status: 'succeeded', from: before, to: primary },
    canary: { failed: 0, unknown: 0, lost: 0 },
  });
  // A primary stopped and another one opened: there is a gap, and it is no minute.
  const { gapMs } = drill.canary;
  expect(gapMs).toBeGreaterThan(20);
  expect(gapMs).toBeLessThan(20_000);
  expect(drill.canary.acknowledged).toBeGreaterThan(100);
  const { summary, drills } = JSON.parse((await leasehold('drills', '--json')).stdout);
  expect(summary.switchover).toEqual({
    ...{ drills: 1, succeeded: 1, failed: 0 },
    gapMs: { p50: gapMs, p99: gapMs, max: gapMs },
  });
  const operations = JSON.parse((await leasehold('history', '--json')).stdout);
  expect(drills.map(({ operation }: { operation: string }) => operation)).toEqual(
    operations.map(({ id }: { id: string }) => id),
  );
  const events = JSON.parse((await leasehold('events', '--json', '--limit', '200')).stdout);
  const kinds = events.map(({ kind }: { kind: string }) => kind);
  expect(kinds.filter((kind: string) => kind === 'drill_ended')).toHaveLength(1);
  const { stdout } = await leasehold('drills');
  expect(stdout).toMatch(/p50 \d+ ms, p99 \d+ ms, longest \d+ ms, of 1 that succeeded; 0 failed/);
  await annotate(stdout);
});

it('the canary leaves no rows behind', async () => {
  const client = new Client({ connectionString: sandbox.cluster.endpoints().dsn.endpoint });
  await client.connect();
  const { rows } = await client.query('select count(*)::int as rows from leasehold_canary');
  await client.end();
  expect(rows).toEqual([{ rows: 0 }]);
});

it('outside of its window nothing is touched, and a window that is none is refused by name', async () => {
  const primary = await sandbox.cluster.primary();
  const otherDay = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(new Date().getUTCDay() + 3) % 7];
  const refused = await leasehold('drill', '--window', `${otherDay} 01:00-02:00`);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('outside-window') });
  const wrong = await leasehold('drill', '--window', 'sometime');
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('--window was "sometime"') });
  expect(await sandbox.cluster.primary()).toBe(primary);
});

/** What a client is told whose login is not taken, by PostgreSQL or by PgBouncer. */
const lockedOut = /password|authentication|no such (user|role)|login/i;

it('all secrets are rotated while clients write and the primary host is lost: nobody is locked out', async ({
  annotate,
}) => {
  const { cluster } = sandbox;
  const first = cluster.endpoints().dsn.endpoint;
  await cluster.query(await cluster.primary(), 'create table if not exists rotated (row int)');
  const client = new ComingAndGoing(first, 'rotated');
  const wanted = await rotate(cluster, allSecrets);
  await eventually('a version that is offered', async () =>
    Object.values(await secretVersions(cluster)).some(({ next }) => next !== null),
  );
  const killed = await cluster.primary();
  await cluster.killHost(killed);
  await eventually('another primary', async () => (await cluster.primary().catch(() => killed)) !== killed);
  await cluster.bootHost(killed);
  await untilRotated(cluster, wanted, 60_000);
  await client.stop();
  expect(client.errors.filter((message) => lockedOut.test(message))).toEqual([]);
  const primary = await cluster.primary();
  const rows = await cluster.query<{ row: number }>(primary, 'select row from rotated');
  const kept = new Set(rows.map(({ row }) => row));
  expect(client.acknowledged.filter((row) => !kept.has(row))).toEqual([]);
  // Whoever asks for the secret now gets the other role; what it makes belongs to the same one.
  // The runtime publishes it within a moment.
  const second = await eventually('the new DSN', () => {
    const { endpoint } = cluster.endpoints().dsn;
    return endpoint !== first && endpoint;
  });
  expect(new URL(second).username).toBe(`${new URL(first).username}_alt`);
  expect(await asked(second, 'select current_user, session_user')).toEqual([
    { current_user: 'postgres', session_user: 'postgres_alt' },
  ]);
  expect(await asked(first, 'select session_user')).toEqual([{ session_user: 'postgres' }]);
  const senders = await cluster.query(primary, 'select distinct usename from pg_stat_replication');
  expect(senders).toEqual([{ usename: 'leasehold_replication_alt' }]);
  await annotate(`${client.acknowledged.length} rows, errors: ${JSON.stringify(client.errors)}`);
});

it('after a second rotation the first password opens nothing, and a host that was installed with it comes back', async () => {
  const { cluster } = sandbox;
  const [node] = Object.values(cluster.endpoints().dsn.nodes);
  await untilRotated(cluster, await rotate(cluster, ['superuser']), 30_000);
  const file = join(sandbox.project, '.leasehold/main/state.json');
  const installed = JSON.parse(readFileSync(file, 'utf8')).secrets.superuser.password;
  const old = new URL(node ?? '');
  Object.assign(old, { username: 'postgres', password: installed });
  await expect(asked(`${old}`, 'select 1')).rejects.toThrow('password authentication failed');
  const standby = await cluster.standby();
  await cluster.killHost(standby);
  await cluster.bootHost(standby);
  await cluster.untilWhole(60_000);
  const now = cluster.endpoints().dsn.endpoint;
  expect(await asked(now, 'select session_user')).toEqual([{ session_user: new URL(now).username }]);
});

async function asked(dsn: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: dsn });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

// Its host is left dead, for the next one.
it('a fault is a drill too: the primary host is killed, another one takes over, the gap is in the history', async ({
  annotate,
}) => {
  await sandbox.cluster.untilWhole(60_000);
  lost = await sandbox.cluster.primary();
  const flag = join(sandbox.project, 'break');
  const inject = `echo "$LEASEHOLD_PRIMARY $LEASEHOLD_PRIMARY_INSTANCE" > ${flag}`;
  const running = leasehold('drill', '--kind', 'fault', '--inject', inject, '--json');
  const order = await eventually(
    'the order to break it, whole',
    () => existsSync(flag) && (/^.+\n$/.exec(readFileSync(flag, 'utf8'))?.[0] ?? null),
    60_000,
  );
  expect(order.trim()).toBe(`${lost} ${sandbox.cluster.endpoints().nodes[lost]?.instanceId}`);
  await sandbox.cluster.killHost(lost);
  const { code, stdout, stderr } = await running;
  expect(code, stderr).toBe(0);
  const drill = JSON.parse(stdout);
  expect(drill).toMatchObject({ kind: 'fault', status: 'succeeded', from: lost });
  expect(drill.to).toBe(await sandbox.cluster.primary());
  expect(drill.to).not.toBe(lost);
  // The lease must run out first: two seconds here.
  expect(drill.canary.gapMs).toBeGreaterThan(1_000);
  await annotate((await leasehold('drills')).stdout);
});
