// Ending the WAL receiver: a node that has done it acknowledges nothing more to its primary, and knows how far its log goes.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { PostgresSandbox } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

const sleep = <T>(ms: number, value?: T) =>
  new Promise<T | undefined>((resolve) => setTimeout(resolve, ms, value));

test('after its receiver has ended a synchronous standby acknowledges no commit until it follows again', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  expect(await primary.postgres.setSynchronousStandbyNames('FIRST 1 ("node-2")')).toEqual({
    kind: 'in-force',
  });
  const client = await sandbox.client(primary);
  await client.query('create table t (i int)');

  const ended = await standby.postgres.endReceiver(10_000);
  if (ended.kind !== 'ended') return expect.fail(JSON.stringify(ended));
  const position = ended.positionLsn;
  const commit = client.query('insert into t values (1)').then(() => 'acknowledged');
  expect(await Promise.race([commit, sleep(500, 'waits')])).toBe('waits');
  expect(await sandbox.value(standby, 'select count(*)::int from pg_stat_wal_receiver')).toBe(0);
  expect(await sandbox.value(standby, `select pg_last_wal_replay_lsn() - '0/0' = ${position}`)).toBe(true);

  expect(await standby.postgres.follow(sandbox.upstream(primary, standby))).toEqual({ kind: 'in-force' });
  expect(await commit).toBe('acknowledged');
});

test('a replay that is held up by a query does not keep the receiver acknowledging', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary, {
    settings: { max_standby_streaming_delay: '-1' },
  });
  await sandbox.value(primary, 'create table t as select generate_series(1, 10) as i');
  await sandbox.caughtUp(standby, primary);
  await primary.postgres.setSynchronousStandbyNames('FIRST 1 ("node-2")');
  const reader = await sandbox.client(standby);
  await reader.query('begin isolation level repeatable read; select count(*) from t');
  await sandbox.value(primary, 'delete from t');
  await sandbox.value(primary, 'vacuum t');
  const waits = `select exists (select from pg_stat_activity
    where backend_type = 'startup' and wait_event_type <> 'Activity' and wait_event like 'RecoveryConflict%')`;
  while (!(await sandbox.value(standby, waits))) await sleep(5);
  const client = await sandbox.client(primary);
  await client.query('insert into t values (1)');

  // The startup process is stuck in the conflict and does not see the reload: only the signal ends the receiver.
  const unknown = await standby.postgres.endReceiver(1_000);
  expect(unknown).toMatchObject({ kind: 'unknown', reason: expect.stringMatching(/replay/) });
  const commit = client.query('insert into t values (2)').then(() => 'acknowledged');
  expect(await Promise.race([commit, sleep(500, 'waits')])).toBe('waits');

  await reader.query('rollback');
  expect(await standby.postgres.endReceiver(10_000)).toMatchObject({ kind: 'ended' });
  expect(await Promise.race([commit, sleep(300, 'waits')])).toBe('waits');
  await primary.postgres.setSynchronousStandbyNames('');
  expect(await commit).toBe('acknowledged');
});

test('the receiver stays away across a restart', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await standby.postgres.endReceiver(10_000);
  await standby.postgres.killAll('a crash');
  await sandbox.startNode(standby, 'standby');
  await sleep(500);
  expect(await standby.postgres.observe(2_000)).toMatchObject({ kind: 'running', receiver: null });
  const again = await standby.postgres.endReceiver(10_000);
  expect(again).toMatchObject({ kind: 'ended', receivedLsn: null, timeline: 1 });
});

test('a position is told only when the replay has reached the end of what was received', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await sandbox.value(standby, 'select pg_wal_replay_pause()');
  await sandbox.value(primary, 'create table t as select generate_series(1, 200000) as i');
  await sleep(200);
  expect(await standby.postgres.endReceiver(1_000)).toEqual({
    kind: 'unknown',
    reason: 'the replay is paused',
  });
  await sandbox.value(standby, 'select pg_wal_replay_resume()');
  const ended = await standby.postgres.endReceiver(20_000);
  if (ended.kind !== 'ended') return expect.fail(JSON.stringify(ended));
  expect(ended.replayedLsn).toBe(ended.positionLsn);
  expect(await sandbox.value(standby, 'select count(*)::int from t')).toBe(200_000);
});

test('a receiver cut off in the middle of a large write still leaves a known position', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  const client = await sandbox.client(primary);
  client
    .query("create table t as select repeat('x', 100000) as text from generate_series(1, 20000)")
    .catch(() => undefined);
  await sleep(150);
  await primary.postgres.killAll('a crash in the middle of a record');
  const ended = await standby.postgres.endReceiver(20_000);
  if (ended.kind !== 'ended') return expect.fail(JSON.stringify(ended));
  expect(ended.positionLsn).toBeGreaterThanOrEqual(ended.replayedLsn);
  await standby.postgres.promote();
  const promoted = await standby.postgres.awaitWritable(10_000);
  if (promoted.kind !== 'writable') return expect.fail(JSON.stringify(promoted));
  // The fork is where the last whole record ends: never before what was replayed, never past what was received.
  expect(promoted.forkLsn).toBeGreaterThanOrEqual(ended.replayedLsn);
  expect(promoted.forkLsn).toBeLessThanOrEqual(ended.positionLsn);
});

test('a primary and a stopped server have no receiver to end: unknown, not a position', async () => {
  const primary = await sandbox.primary('node-1');
  expect(await primary.postgres.endReceiver(1_000)).toMatchObject({
    kind: 'unknown',
    reason: expect.stringMatching(/standby/),
  });
  await primary.postgres.killAll('gone');
  expect(await primary.postgres.endReceiver(1_000)).toMatchObject({ kind: 'unknown' });
});

test("ALTER SYSTEM's value does not override ours", async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await sandbox.value(primary, "alter system set synchronous_standby_names = '*'");
  expect(await primary.postgres.setSynchronousStandbyNames('FIRST 1 ("node-2")')).toEqual({
    kind: 'in-force',
  });
  expect(await sandbox.value(primary, 'show synchronous_standby_names')).toBe('FIRST 1 ("node-2")');
  await sandbox.value(standby, "alter system set primary_conninfo = 'host=127.0.0.1 port=1'");
  expect(await standby.postgres.follow(sandbox.upstream(primary, standby))).toEqual({ kind: 'in-force' });
  await sandbox.streams(standby, primary);
});

test('slots are made and advanced on standbys too, never moved back, and dropped while in use', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  const { postgres } = standby;
  expect(await postgres.ensurePhysicalSlots(['node_1', 'node_3'])).toEqual({
    kind: 'done',
    changed: ['node_1', 'node_3'],
  });
  expect(await postgres.ensurePhysicalSlots(['node_1', 'node_3'])).toEqual({ kind: 'done', changed: [] });
  await sandbox.value(primary, 'create table t as select generate_series(1, 10000)');
  await sandbox.caughtUp(standby, primary);
  const before = await postgres.observe(2_000);
  if (before.kind !== 'running' || before.replayedLsn === null)
    return expect.fail(JSON.stringify(before.kind));
  const target = before.replayedLsn;
  expect(await postgres.advanceSlots([{ name: 'node_3', lsn: target }])).toEqual({
    kind: 'done',
    changed: ['node_3'],
  });
  const [first] = before.slots;
  expect(await postgres.advanceSlots([{ name: 'node_3', lsn: first?.restartLsn ?? target }])).toEqual({
    kind: 'done',
    changed: [],
  });
  const after = await postgres.observe(2_000);
  expect(after).toMatchObject({
    slots: expect.arrayContaining([{ name: 'node_3', active: false, restartLsn: target }]),
  });
  // In use: the walsender of node-2.
  expect(await primary.postgres.advanceSlots([{ name: 'node_2', lsn: target }])).toEqual({
    kind: 'done',
    changed: [],
  });
  expect(await primary.postgres.dropSlots(['node_2', 'absent'])).toEqual({
    kind: 'done',
    changed: ['node_2'],
  });
  expect(await sandbox.value(primary, 'select count(*)::int from pg_replication_slots')).toBe(0);
  await expect(primary.postgres.ensurePhysicalSlots(['Not-A-Slot'])).rejects.toThrow(/not a slot/);
});
