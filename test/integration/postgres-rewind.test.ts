// A diverged node comes back: its discarded log is kept, it is rewound or rebuilt, and what failed half way is not started.

import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runProgram, sendSignal } from '../../adapters/process.ts';
import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import { PostgresSandbox, type SandboxNode, slotOf } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A primary killed after writes that its standby never got, and the standby promoted: two histories. */
async function diverge(): Promise<{ old: SandboxNode; current: SandboxNode; forkLsn: Lsn }> {
  const old = await sandbox.primary('node-1');
  const current = await sandbox.standby('node-2', old);
  await sandbox.value(old, "create table t as select 'both' as branch");
  await sandbox.caughtUp(current, old);
  await current.postgres.endReceiver(10_000);
  await sandbox.value(old, "insert into t values ('lost')");
  await sandbox.value(old, 'create table bulk as select generate_series(1, 50000)');
  await old.postgres.killAll('a crash');
  await current.postgres.promote();
  const promoted = await current.postgres.awaitWritable(10_000);
  if (promoted.kind !== 'writable' || promoted.forkLsn === null)
    throw new Error(JSON.stringify(promoted.kind));
  await sandbox.value(current, "insert into t values ('new')");
  await current.postgres.ensurePhysicalSlots([slotOf(old)]);
  await current.postgres.checkpoint(10_000);
  return { old, current, forkLsn: promoted.forkLsn };
}

async function branches(node: SandboxNode): Promise<unknown> {
  return sandbox.value(node, "select string_agg(branch, ' ' order by branch) from t");
}

test('a killed primary that had gone further is rewound, follows, and its lost log stays readable', async () => {
  const { old, current, forkLsn } = await diverge();
  const end = await old.postgres.walEnd();
  if (end.kind !== 'wal-end') return expect.fail(JSON.stringify(end));
  expect(end.endLsn).toBeGreaterThan(forkLsn);

  const into = join(sandbox.folder, 'discarded');
  const range = { timeline: end.timeline, fromLsn: forkLsn, toLsn: end.endLsn, into };
  const kept = await old.postgres.keepDiscardedWal(range);
  expect(kept).toMatchObject({ kind: 'kept', missing: [], fromLsn: forkLsn, toLsn: end.endLsn });

  expect(await old.postgres.rewind({ source: sandbox.upstream(current, old) })).toMatchObject({
    kind: 'rewound',
  });
  expect(await old.postgres.isQuarantined()).toBe(false);
  await sandbox.startNode(old, 'standby');
  await sandbox.streams(old, current);
  await sandbox.caughtUp(old, current);
  expect(await branches(old)).toBe('both new');
  // pg_rewind copied the other node's configuration: this one is itself again.
  expect(await sandbox.value(old, 'show port')).toBe(String(old.port));
  expect(await sandbox.value(old, 'show cluster_name')).toBe('node-1');

  const { binDir } = old.postgres.host;
  const dump = await runProgram(
    [
      join(binDir, 'pg_waldump'),
      `--path=${into}`,
      `--start=${formatLsn(forkLsn)}`,
      `--end=${formatLsn(end.endLsn)}`,
    ],
    { timeoutMs: 20_000 },
  );
  expect(dump).toMatchObject({ kind: 'exited', exitCode: 0, stdout: expect.stringMatching(/desc: COMMIT/) });
});

test('a standby that received more than the new primary is recovered as a standby and rewound', async () => {
  const primary = await sandbox.primary('node-1');
  const behind = await sandbox.standby('node-2', primary);
  const ahead = await sandbox.standby('node-3', primary);
  await sandbox.value(primary, "create table t as select 'both' as branch");
  await sandbox.caughtUp(behind, primary);
  await behind.postgres.endReceiver(10_000);
  await sandbox.value(primary, "insert into t values ('lost')");
  await sandbox.caughtUp(ahead, primary);
  await primary.postgres.killAll('a crash');
  await ahead.postgres.killAll('a crash');
  await behind.postgres.promote();
  expect(await behind.postgres.awaitWritable(10_000)).toMatchObject({ kind: 'writable' });
  await behind.postgres.ensurePhysicalSlots([slotOf(ahead)]);
  await behind.postgres.checkpoint(10_000);

  expect(await ahead.postgres.controlFile()).toMatchObject({ state: 'in-archive-recovery' });
  expect(await ahead.postgres.rewind({ source: sandbox.upstream(behind, ahead) })).toMatchObject({
    kind: 'rewound',
  });
  await sandbox.startNode(ahead, 'standby');
  await sandbox.streams(ahead, behind);
  await sandbox.caughtUp(ahead, behind);
  expect(await branches(ahead)).toBe('both');
});

test('a primary whose crash recovery was interrupted is recovered to the end of its log before a rewind', async () => {
  const { old, current } = await diverge();
  await old.postgres.start({ as: 'primary' });
  while ((await old.postgres.findPostmaster()) === null) await sleep(1);
  await old.postgres.stopFast(20_000);
  await old.postgres.awaitGone(20_000);
  expect(await old.postgres.ensureCleanShutdown()).toBeNull();
  const end = await old.postgres.walEnd();
  const control = await old.postgres.controlFile();
  if (end.kind !== 'wal-end' || control.kind !== 'control-data') return expect.fail(JSON.stringify(end.kind));
  // All of it was replayed: nothing of the log lies behind what the directory says it has.
  expect([control.minRecoveryLsn, control.checkpointLsn, end.endLsn, end.lastRecordLsn]).toContain(
    end.endLsn,
  );
  if (control.state === 'shut-down-in-recovery') expect(control.minRecoveryLsn).toBe(end.endLsn);
  expect(await old.postgres.rewind({ source: sandbox.upstream(current, old) })).toMatchObject({
    kind: 'rewound',
  });
  await sandbox.startNode(old, 'standby');
  await sandbox.streams(old, current);
  await sandbox.caughtUp(old, current);
  expect(await branches(old)).toBe('both new');
});

test('a node that is on the path is not rewound', async () => {
  const first = await sandbox.primary('node-1');
  const second = await sandbox.standby('node-2', first);
  await first.postgres.stopFast(10_000);
  await first.postgres.awaitGone(5_000);
  await second.postgres.promote();
  await second.postgres.awaitWritable(10_000);
  await second.postgres.checkpoint(10_000);
  await second.postgres.ensurePhysicalSlots([slotOf(first)]);
  expect(await first.postgres.rewind({ source: sandbox.upstream(second, first) })).toMatchObject({
    kind: 'not-needed',
  });
  await sandbox.startNode(first, 'standby');
  await sandbox.streams(first, second);
});

test('a source that does not answer costs nothing: the directory is untouched and may be started', async () => {
  const { old } = await diverge();
  const failed = await old.postgres.rewind({ source: { host: '127.0.0.1', port: 1, slot: null } });
  expect(failed).toMatchObject({ kind: 'failed', step: 'pg_rewind', touched: false });
  expect(await old.postgres.isQuarantined()).toBe(false);
  await sandbox.startNode(old, 'primary');
  expect(await branches(old)).toBe('both lost');
});

test('a rewind that fails half way is quarantined until it is rebuilt, and what it was is kept', async () => {
  const { old, current } = await diverge();
  // A file that the source cannot read ends pg_rewind in the middle of its copying.
  const unreadable = join(current.postgres.host.dataDir, 'unreadable');
  writeFileSync(unreadable, 'x'.repeat(100));
  chmodSync(unreadable, 0);
  const failed = await old.postgres.rewind({ source: sandbox.upstream(current, old) });
  expect(failed).toMatchObject({ kind: 'failed', step: 'pg_rewind', touched: true });
  rmSync(unreadable);

  expect(await old.postgres.quarantineReason()).toContain(`127.0.0.1:${current.port}`);
  expect(await old.postgres.start({ as: 'standby' })).toMatchObject({
    kind: 'refused',
    reason: 'quarantined',
  });
  const again = await old.postgres.rewind({ source: sandbox.upstream(current, old) });
  expect(again).toMatchObject({ kind: 'failed', step: 'quarantined' });

  const rebuilt = await old.postgres.baseBackup({ source: sandbox.upstream(current, old), nonce: 'n1' });
  expect(rebuilt).toMatchObject({ kind: 'rebuilt', kept: `${old.postgres.host.dataDir}.kept-n1` });
  expect(await old.postgres.isQuarantined()).toBe(false);
  await sandbox.startNode(old, 'standby');
  await sandbox.streams(old, current);
  await sandbox.caughtUp(old, current);
  expect(await branches(old)).toBe('both new');
  expect(await sandbox.value(old, 'show cluster_name')).toBe('node-1');

  expect(await old.postgres.listKept()).toEqual([`${old.postgres.host.dataDir}.kept-n1`]);
  expect(existsSync(join(`${old.postgres.host.dataDir}.kept-n1`, 'PG_VERSION'))).toBe(true);
  expect(await old.postgres.removeKept()).toHaveLength(1);
  expect(await old.postgres.listKept()).toEqual([]);
});

test('a base backup that fails or is interrupted leaves the old directory in its place', async () => {
  const { old, current } = await diverge();
  const version = readFileSync(join(old.postgres.host.dataDir, 'global', 'pg_control'));
  const nobody = { host: '127.0.0.1', port: 1, slot: null };
  expect(await old.postgres.baseBackup({ source: nobody })).toMatchObject({ kind: 'failed' });
  const abort = new AbortController();
  const source = { ...sandbox.upstream(current, old), slot: 'no_such_slot' };
  expect(await old.postgres.baseBackup({ source, signal: abort.signal })).toMatchObject({
    kind: 'failed',
    output: expect.stringContaining('no_such_slot'),
  });
  setTimeout(() => abort.abort(), 5);
  const aborted = await old.postgres.baseBackup({
    source: sandbox.upstream(current, old),
    signal: abort.signal,
  });
  expect(aborted).toMatchObject({ kind: 'failed', output: expect.stringMatching(/out of time/) });
  const folder = join(old.postgres.host.dataDir, '..');
  expect(readdirSync(folder).filter((name) => /rebuilding|kept/.test(name))).toEqual([]);
  expect(readFileSync(join(old.postgres.host.dataDir, 'global', 'pg_control'))).toEqual(version);
});

test('a directory in use is neither rewound nor replaced', async () => {
  const { old, current } = await diverge();
  await sandbox.startNode(old, 'primary');
  const source = sandbox.upstream(current, old);
  await expect(old.postgres.rewind({ source })).rejects.toThrow(/in use/);
  await expect(old.postgres.baseBackup({ source })).rejects.toThrow(/in use/);
  expect(await branches(old)).toBe('both lost');
});

test("the log's end is found exactly, wherever the server died", async () => {
  const node = await sandbox.primary('node-1');
  for (const write of [
    'create table a ()',
    'select pg_switch_wal()',
    "select pg_logical_emit_message(true, 'x', repeat('x', 30000))",
  ]) {
    await sandbox.value(node, write);
    const flushed = await sandbox.value(node, 'select (pg_current_wal_flush_lsn() - $$0/0$$)::text');
    const postmaster = await node.postgres.findPostmaster();
    for (const { pid } of node.postgres.findProcesses()) sendSignal(pid, 'SIGSTOP');
    expect(postmaster).not.toBeNull();
    await node.postgres.killAll('a crash');
    const end = await node.postgres.walEnd();
    if (end.kind !== 'wal-end') return expect.fail(JSON.stringify(end));
    expect(end.endLsn).toBeGreaterThanOrEqual(BigInt(String(flushed)));
    await sandbox.startNode(node, 'primary');
    const log = readFileSync(node.postgres.host.logFile, 'utf8');
    const done = [...log.matchAll(/redo done at ([0-9A-F]+\/[0-9A-F]+)/g)].at(-1)?.[1];
    expect(formatLsn(end.lastRecordLsn)).toBe(done);
  }
});
