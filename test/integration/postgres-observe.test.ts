// What a server says of itself, and the three facts that look alike from outside: no answer, not ready, an error.

import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { walPosition } from '../../adapters/postgres/observe.ts';
import { sendSignal } from '../../adapters/process.ts';
import { PostgresSandbox } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('a primary and its standby describe themselves and each other', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await sandbox.caughtUp(standby, primary);
  const [one, two] = [await primary.postgres.observe(2_000), await standby.postgres.observe(2_000)];
  if (one.kind !== 'running' || two.kind !== 'running')
    return expect.fail(JSON.stringify([one.kind, two.kind]));
  expect(one).toMatchObject({
    inRecovery: false,
    timeline: 1,
    receivedLsn: null,
    replayedLsn: null,
    receiver: null,
  });
  expect(one.slots).toMatchObject([{ name: 'node_2', active: true }]);
  expect(one.replication).toMatchObject([
    { applicationName: 'node-2', clientAddress: '127.0.0.1', state: 'streaming', syncState: 'async' },
  ]);
  expect(two).toMatchObject({
    inRecovery: true,
    timeline: 1,
    currentLsn: null,
    replayPaused: false,
    replication: [],
  });
  expect(two.receiver).toEqual({
    status: 'streaming',
    host: '127.0.0.1',
    port: primary.port,
    slot: 'node_2',
    timeline: 1,
  });
  expect(two.systemIdentifier).toBe(one.systemIdentifier);
  expect(walPosition(two)).toBe(walPosition(one));
  expect(one.version).toMatch(new RegExp(`^${sandbox.installation.major}\\b`));
});

test('open transactions, a paused replay and settings that wait for a restart show', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  const client = await sandbox.client(primary);
  await client.query('begin; select 1');
  await sandbox.value(standby, 'select pg_wal_replay_pause()');
  appendFileSync(join(primary.postgres.host.dataDir, 'leasehold.conf'), 'max_connections = 77\n');
  await sandbox.value(primary, 'select pg_reload_conf()');
  await sleep(150);
  const one = await primary.postgres.observe(2_000);
  const two = await standby.postgres.observe(2_000);
  expect(two).toMatchObject({ replayPaused: true });
  expect(one).toMatchObject({ kind: 'running', pendingRestart: true });
  if (one.kind !== 'running') return;
  expect(one.oldestXactAgeMs).toBeGreaterThan(100);
  expect(one.oldestXactAgeMs).toBeLessThan(60_000);
});

test('no server, a frozen server and a server that never answers are unreachable, within the time allowed', async () => {
  const node = await sandbox.primary('node-1');
  const silent = await sandbox.node('node-2');
  const server = createServer(() => undefined).listen(
    `${silent.postgres.host.socketDir}/.s.PGSQL.${silent.port}`,
  );
  for (const { pid } of node.postgres.findProcesses()) sendSignal(pid, 'SIGSTOP');
  for (const { postgres } of [node, silent, await sandbox.node('node-3')]) {
    const startedMs = performance.now();
    expect(await postgres.observe(300)).toMatchObject({ kind: 'unreachable' });
    expect(performance.now() - startedMs).toBeLessThan(600);
  }
  for (const { pid } of node.postgres.findProcesses()) sendSignal(pid, 'SIGCONT');
  expect(await node.postgres.observe(5_000)).toMatchObject({ kind: 'running' });
  server.close();
});

test('a server that refuses for a reason of its own is alive: the SQLSTATE is told', async () => {
  const node = await sandbox.primary('node-1', { settings: { max_connections: '10' } });
  const stranger = await sandbox.node('node-2', {
    socketDir: node.postgres.host.socketDir,
    port: node.port,
    superuser: { name: 'nobody', password: 'x' },
  });
  // Two nodes of one sandbox cannot share a folder's servers: this one only looks at the other's socket.
  expect(await stranger.postgres.observe(2_000)).toMatchObject({ kind: 'query-failed', sqlstate: '28P01' });
  expect(await node.postgres.query('select 1/0', 2_000)).toMatchObject({
    kind: 'query-failed',
    sqlstate: '22012',
  });
  expect(await node.postgres.observe(2_000)).toMatchObject({ kind: 'running' });
});

test('a server that is not ready says so: a standby that waits for its consistent point', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await standby.postgres.killAll('before it has all it needs');
  // The end of this backup was never replayed: without its primary it can never become consistent.
  const fresh = await sandbox.node('node-3');
  await primary.postgres.ensurePhysicalSlots(['node_3']);
  await fresh.postgres.baseBackup({ source: sandbox.upstream(primary, fresh) });
  await primary.postgres.killAll('gone');
  const walFolder = join(fresh.postgres.host.dataDir, 'pg_wal');
  const { readdirSync, rmSync } = await import('node:fs');
  for (const name of readdirSync(walFolder)) if (/^[0-9A-F]{24}$/.test(name)) rmSync(join(walFolder, name));
  const started = await fresh.postgres.start({ as: 'standby' });
  if (started.kind !== 'started') return expect.fail(JSON.stringify(started));
  expect(await fresh.postgres.awaitAccepting(started, 500)).toMatchObject({
    kind: 'timed-out',
    status: 'starting',
  });
  expect(await fresh.postgres.observe(2_000)).toMatchObject({ kind: 'starting-up' });
});

test('a kept connection survives a restart of the server without an error', async () => {
  const node = await sandbox.primary('node-1');
  await node.postgres.observe(2_000);
  await node.postgres.stopFast(10_000);
  await node.postgres.awaitGone(5_000);
  expect(await node.postgres.observe(500)).toMatchObject({ kind: 'unreachable' });
  await sandbox.startNode(node, 'primary');
  expect(await node.postgres.observe(2_000)).toMatchObject({ kind: 'running' });
});

test('a query out of time does not hold up the next one', async () => {
  const node = await sandbox.primary('node-1');
  expect(await node.postgres.query('select pg_sleep(30)', 100)).toMatchObject({ kind: 'unreachable' });
  expect(await node.postgres.query('select 1 as one', 2_000)).toEqual({ kind: 'rows', rows: [{ one: 1 }] });
});

test('an observation does not wait for a command that takes its time', async () => {
  const node = await sandbox.primary('node-1');
  await node.postgres.observe(2_000);
  const slow = node.postgres.query('select pg_sleep(3)', 10_000);
  expect(await node.postgres.observe(1_500)).toMatchObject({ kind: 'running' });
  expect(await slow).toMatchObject({ kind: 'rows' });
});

test('the timeline of a standby without a receiver is the one it replays, not the one of its last checkpoint', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  const third = await sandbox.standby('node-3', second);
  await second.postgres.follow(null);
  await second.postgres.promote();
  expect(await second.postgres.awaitWritable(10_000)).toMatchObject({ kind: 'writable', timeline: 2 });
  expect(await second.postgres.observe(2_000)).toMatchObject({ inRecovery: false, timeline: 2 });
  await sandbox.value(second, 'create table on_the_second_timeline ()');
  await sandbox.caughtUp(third, second);
  const ended = await third.postgres.endReceiver(10_000);
  expect(ended).toMatchObject({ kind: 'ended', timeline: 2 });
  const control = await third.postgres.controlFile();
  expect(control).toMatchObject({ checkpointTimeline: 1 });
  expect(await third.postgres.observe(2_000)).toMatchObject({ timeline: 2, receiver: null });
});
