// Killing PostgreSQL means all of it: nothing may go on to acknowledge a write.

import { spawn } from 'node:child_process';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sharedMemoryAttachments } from '../../adapters/postgres/host.ts';
import { isProcessAlive, readProcessStatus, runProgram, sendSignal } from '../../adapters/process.ts';
import { PostgresSandbox } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, test: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!test()) {
    if (performance.now() > deadlineMs) throw new Error(`not in time: ${what}`);
    await sleep(2);
  }
}

test('a backend in a long write outlives its postmaster, and killAll ends it before it can commit', async () => {
  const node = await sandbox.primary('node-1');
  await sandbox.value(node, 'create table t (i int)');
  const client = await sandbox.client(node);
  const answer = client.query('insert into t select generate_series(1, 100000000)').then(
    () => 'acknowledged',
    () => 'broken',
  );
  await sleep(100);
  const postmaster = await node.postgres.findPostmaster();
  sendSignal(postmaster?.pid ?? 0, 'SIGKILL');
  await until('the postmaster is gone', () => !isProcessAlive(postmaster?.pid ?? 0));
  await sleep(100);

  const orphans = node.postgres.findProcesses();
  expect(orphans.map(({ title }) => title)).toContainEqual(expect.stringMatching(/INSERT/));
  const evidence = await node.postgres.killAll('orphans');
  expect(evidence.remaining).toEqual([]);
  expect(evidence.killed).toBeGreaterThanOrEqual(1);
  for (const { pid, startTicks } of orphans) expect(isProcessAlive(pid, startTicks)).toBe(false);
  expect(await answer).toBe('broken');

  await sandbox.startNode(node, 'primary');
  expect(await sandbox.value(node, 'select count(*)::int from t')).toBe(0);
});

test('no backend is left of a busy server, its shared memory is free at once, and the other server lives on', async () => {
  const node = await sandbox.primary('node-1');
  const neighbour = await sandbox.primary('node-2');
  for (let index = 0; index < 10; index += 1) {
    const client = await sandbox.client(node);
    client.query('select pg_sleep(60)').catch(() => undefined);
  }
  const { shmId } = (await node.postgres.findPostmaster()) ?? { shmId: null };
  expect(sharedMemoryAttachments(shmId ?? -1)).toBeGreaterThan(10);
  const evidence = await node.postgres.killAll('a fence');
  expect(evidence.remaining).toEqual([]);
  expect(evidence.killed).toBeGreaterThanOrEqual(11);
  expect(evidence.ms).toBeLessThan(500);
  expect(sharedMemoryAttachments(shmId ?? -1) ?? 0).toBe(0);
  expect(node.postgres.findProcesses()).toEqual([]);
  expect(await node.postgres.observe(500)).toMatchObject({ kind: 'unreachable' });
  expect(await neighbour.postgres.observe(2_000)).toMatchObject({ kind: 'running' });
  await sandbox.startNode(node, 'primary');
});

test('a start is refused while an orphan lives', async () => {
  const node = await sandbox.primary('node-1');
  const client = await sandbox.client(node);
  client.query('select count(*) from generate_series(1, 10000000000)').catch(() => undefined);
  await sleep(100);
  const postmaster = await node.postgres.findPostmaster();
  sendSignal(postmaster?.pid ?? 0, 'SIGKILL');
  await until('the postmaster is gone', () => !isProcessAlive(postmaster?.pid ?? 0));
  expect(await node.postgres.start({ as: 'primary' })).toMatchObject({
    kind: 'refused',
    reason: 'processes-left',
  });
  expect(await node.postgres.stopFast(1_000)).toMatchObject({
    kind: 'timed-out',
    reason: expect.stringMatching(/orphan/),
  });
});

test('killing nothing is quick and says so', async () => {
  const node = await sandbox.node('node-1');
  expect(await node.postgres.killAll('again')).toMatchObject({ reason: 'again', killed: 0, remaining: [] });
});

test('a stopped (frozen) server is killed as well', async () => {
  const node = await sandbox.primary('node-1');
  for (const { pid } of node.postgres.findProcesses()) sendSignal(pid, 'SIGSTOP');
  expect(await node.postgres.observe(200)).toMatchObject({ kind: 'unreachable' });
  expect(await node.postgres.killAll('frozen')).toMatchObject({ remaining: [] });
});

test('a zombie counts as gone although kill(pid, 0) calls it alive', async () => {
  // The inner sleep becomes a child of the outer one, which never waits for it.
  const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 30'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (data) => resolve(Number(data))),
  );
  await until('the child is a zombie', () => readProcessStatus(pid)?.state === 'Z');
  expect(sendSignal(pid, 'SIGCONT')).toBe('sent');
  expect(isProcessAlive(pid)).toBe(false);
  parent.kill('SIGKILL');
});

test('a program out of time is ended with all its children, and its output so far is kept', async () => {
  const result = await runProgram(['sh', '-c', 'echo begun; sleep 31 & echo $!; wait'], { timeoutMs: 200 });
  expect(result).toMatchObject({ kind: 'timed-out', stdout: expect.stringMatching(/^begun\n\d+\n$/) });
  const child = result.kind === 'timed-out' ? Number(result.stdout.split('\n')[1]) : 0;
  await until('the grandchild is gone', () => !isProcessAlive(child));
  expect(await runProgram(['/no/such/program'], { timeoutMs: 1_000 })).toMatchObject({ kind: 'not-started' });
});
