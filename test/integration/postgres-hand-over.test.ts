// The hand-over with real servers: stop, promote, follow, come back; and the number of the new timeline.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { relation } from '../../core/model/timeline.ts';
import { PostgresSandbox, type SandboxNode, slotOf } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

async function promote(node: SandboxNode) {
  const writable = node.postgres.awaitWritable(20_000);
  expect(await node.postgres.promote()).toEqual({ kind: 'ordered' });
  const result = await writable;
  if (result.kind !== 'writable') throw new Error(JSON.stringify(result));
  return result;
}

function histories(node: SandboxNode): string[] {
  return readdirSync(join(node.postgres.host.dataDir, 'pg_wal')).filter((name) => name.endsWith('.history'));
}

test('a switchover loses nothing, and the old primary returns without a rewind', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  const third = await sandbox.standby('node-3', first);
  await sandbox.value(first, 'create table t as select generate_series(1, 1000) as i');
  // The rest follows the target before it promotes: it cascades.
  await second.postgres.ensurePhysicalSlots([slotOf(first), slotOf(third)]);
  expect(await third.postgres.follow(sandbox.upstream(second, third))).toEqual({ kind: 'in-force' });
  await sandbox.streams(third, second);

  const stopped = await first.postgres.stopFast(10_000);
  if (stopped.kind !== 'stopped' || !stopped.cleanShutdown) return expect.fail(JSON.stringify(stopped));
  await first.postgres.awaitGone(5_000);
  await sandbox.value(second, 'select 1');
  const promoted = await promote(second);
  expect(promoted.timeline).toBe(2);
  expect(promoted.forkLsn).toBeGreaterThan(stopped.checkpointLsn);
  expect(promoted.history.ancestors).toMatchObject([{ timeline: 1, switchLsn: promoted.forkLsn }]);

  // The old primary's log really ends where the new timeline begins: it may come back as it is.
  const end = await first.postgres.walEnd();
  expect(end).toMatchObject({
    kind: 'wal-end',
    timeline: 1,
    endLsn: promoted.forkLsn,
    lastRecordLsn: stopped.checkpointLsn,
  });
  if (end.kind !== 'wal-end') return;
  const old = { history: { timeline: 1, ancestors: [] }, lsn: end.endLsn };
  expect(relation(old, { history: promoted.history, lsn: promoted.forkLsn ?? end.endLsn })).toBe('ancestor');
  await first.postgres.prepareStandby(sandbox.upstream(second, first));
  await sandbox.startNode(first, 'standby');
  await sandbox.streams(first, second);
  await sandbox.value(second, 'insert into t values (1001)');
  for (const node of [first, third]) {
    await sandbox.caughtUp(node, second);
    expect(await sandbox.value(node, 'select count(*)::int from t')).toBe(1001);
  }
});

test('a standby that is not promoted is not writable, and the wait for it is bounded', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  const startedMs = performance.now();
  expect(await second.postgres.awaitWritable(200)).toEqual({
    kind: 'timed-out',
    last: { kind: 'in-recovery' },
  });
  expect(performance.now() - startedMs).toBeLessThan(1_000);
  expect(await first.postgres.awaitWritable(2_000)).toMatchObject({
    kind: 'writable',
    timeline: 1,
    forkLsn: null,
  });
  expect(await first.postgres.promote()).toMatchObject({
    kind: 'failed',
    reason: expect.stringMatching(/standby/),
  });
});

test('the new primary is found writable although its synchronous standbys have yet to come', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  await second.postgres.setSynchronousStandbyNames('FIRST 1 ("node-1")');
  await first.postgres.killAll('a crash');
  await promote(second);
  const client = await sandbox.client(second);
  const commit = client.query('create table t ()').then(
    () => 'acknowledged',
    () => 'broken',
  );
  const patience = new Promise((resolve) => setTimeout(resolve, 300, 'waits'));
  expect(await Promise.race([commit, patience])).toBe('waits');
});

test('two branches never get one number: the second promotion is lifted above the recorded one', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  const third = await sandbox.standby('node-3', first);
  const fourth = await sandbox.standby('node-4', first);
  for (const node of [second, third, fourth]) await node.postgres.endReceiver(10_000);
  await first.postgres.killAll('a crash');
  expect((await promote(second)).timeline).toBe(2);
  await sandbox.value(second, 'create table on_a_lost_branch ()');
  await second.postgres.killAll('and the next one, before anybody has followed it');

  expect(await third.postgres.ensureTimelineAbove(2)).toEqual({
    kind: 'ensured',
    nextTimeline: 3,
    placeholders: 1,
  });
  const promoted = await promote(third);
  expect(promoted.timeline).toBe(3);
  expect(promoted.history.ancestors).toMatchObject([{ timeline: 1 }]);

  // A standby of timeline 1 crosses over the placeholder, and so does the lost branch, after a rewind.
  await third.postgres.ensurePhysicalSlots([slotOf(second), slotOf(fourth)]);
  expect(await fourth.postgres.follow(sandbox.upstream(third, fourth))).toEqual({ kind: 'in-force' });
  await sandbox.streams(fourth, third);
  await third.postgres.checkpoint(10_000);
  expect(await second.postgres.rewind({ source: sandbox.upstream(third, second) })).toMatchObject({
    kind: 'rewound',
  });
  await sandbox.startNode(second, 'standby');
  await sandbox.streams(second, third);
  await sandbox.value(third, 'create table on_the_third_timeline ()');
  for (const node of [second, fourth]) {
    await sandbox.caughtUp(node, third);
    expect(await node.postgres.observe(2_000)).toMatchObject({ kind: 'running', timeline: 3 });
    expect(await sandbox.value(node, "select to_regclass('on_a_lost_branch')::text")).toBeNull();
    await node.postgres.stopFast(10_000);
    await node.postgres.awaitGone(5_000);
    await sandbox.startNode(node, 'standby');
    await sandbox.streams(node, third);
  }
});

test('placeholders of a promotion that did not happen do not keep a standby from starting again', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  expect(await second.postgres.ensureTimelineAbove(4)).toEqual({
    kind: 'ensured',
    nextTimeline: 5,
    placeholders: 3,
  });
  expect(histories(second)).toHaveLength(3);
  await second.postgres.killAll('a crash');
  await sandbox.startNode(second, 'standby');
  await sandbox.streams(second, first);
  expect(histories(second)).toEqual([]);
  expect(await second.postgres.ensureTimelineAbove(1_000_000)).toMatchObject({ kind: 'refused' });
  expect(await second.postgres.ensureTimelineAbove(1)).toEqual({
    kind: 'ensured',
    nextTimeline: 2,
    placeholders: 0,
  });
  expect(existsSync(second.postgres.host.dataDir)).toBe(true);
});
