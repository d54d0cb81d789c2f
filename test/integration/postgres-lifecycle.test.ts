// Starting, adopting and stopping a real server.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import { readProcessStatus, runProgram, sendSignal } from '../../adapters/process.ts';
import { formatLsn } from '../../core/model/lsn.ts';
import { PostgresSandbox, type SandboxNode } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

async function controlData(node: SandboxNode): Promise<Map<string, string>> {
  const { binDir, dataDir, runAs } = node.postgres.host;
  const result = await runProgram([join(binDir, 'pg_controldata'), dataDir], { runAs, timeoutMs: 5_000 });
  const lines = result.kind === 'exited' ? result.stdout.trim().split('\n') : [];
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

test('the control file is read as pg_controldata reads it', async () => {
  const node = await sandbox.primary('node-1');
  await node.postgres.stopFast(10_000);
  await node.postgres.awaitGone(5_000);
  const ours = await node.postgres.controlFile();
  const theirs = await controlData(node);
  if (ours.kind !== 'control-data') return expect.fail(JSON.stringify(ours));
  expect(ours.state).toBe('shut-down');
  expect(theirs.get('Database cluster state')).toBe('shut down');
  expect(`${ours.systemIdentifier}`).toBe(theirs.get('Database system identifier'));
  expect(formatLsn(ours.checkpointLsn)).toBe(theirs.get('Latest checkpoint location'));
  expect(formatLsn(ours.redoLsn)).toBe(theirs.get("Latest checkpoint's REDO location"));
  expect(`${ours.checkpointTimeline}`).toBe(theirs.get("Latest checkpoint's TimeLineID"));
  expect(`${ours.walSegmentBytes}`).toBe(theirs.get('Bytes per WAL segment'));
  expect(ours.walLogHints ? 'on' : 'off').toBe(theirs.get('wal_log_hints setting'));
  expect(`${ours.controlVersion}`).toBe(theirs.get('pg_control version number'));
});

test('a server starts although its killed postmaster is still a zombie that nobody has reaped', async () => {
  const node = await sandbox.primary('node-1');
  const { dataDir, runAs } = node.postgres.host;
  await node.postgres.killAll('test');
  // A parent that never waits for its child, as an init process that reaps late.
  const parent = spawn('bash', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(runAs ?? {}),
  });
  try {
    const [said] = (await once(parent.stdout, 'data')) as [Buffer];
    const lockFile = join(dataDir, 'postmaster.pid');
    const lines = readFileSync(lockFile, 'utf8').split('\n');
    writeFileSync(lockFile, [said.toString().trim(), ...lines.slice(1)].join('\n'));
    await expect.poll(() => readProcessStatus(Number(said))?.state, { timeout: 5_000 }).toBe('Z');
    const started = await node.postgres.start({ as: 'primary' });
    if (started.kind !== 'started') return expect.fail(JSON.stringify(started));
    expect(await node.postgres.awaitAccepting(started, 20_000)).toMatchObject({ kind: 'accepting' });
  } finally {
    parent.kill('SIGKILL');
  }
});

test('at the end of its host a start under way is waited for, and every later one is refused', async () => {
  const node = await sandbox.primary('node-1');
  await node.postgres.killAll('test');
  let started: unknown = null;
  void node.postgres.start({ as: 'primary' }).then((result) => {
    started = result;
  });
  expect(await node.postgres.startNoMore(20_000)).toBe(true);
  expect(started).toMatchObject({ kind: 'started' });
  await node.postgres.killAll('test');
  expect(await node.postgres.start({ as: 'primary' })).toMatchObject({
    kind: 'refused',
    reason: 'host-ends',
  });
});

test('a clean stop tells where the shutdown checkpoint begins, and a standby has replayed past it', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  const stopped = await primary.postgres.stopFast(10_000);
  if (stopped.kind !== 'stopped' || !stopped.cleanShutdown) return expect.fail(JSON.stringify(stopped));
  expect(stopped).toMatchObject({ as: 'primary', timeline: 1 });
  await primary.postgres.awaitGone(5_000);
  expect(formatLsn(stopped.checkpointLsn)).toBe(
    (await controlData(primary)).get('Latest checkpoint location'),
  );
  expect(
    await sandbox.value(standby, `select pg_last_wal_replay_lsn() > '${formatLsn(stopped.checkpointLsn)}'`),
  ).toBe(true);
  // pg_ctl's own waiting would have taken one of its 100 ms steps at least; a loaded machine takes its time too.
  expect(stopped.ms).toBeLessThan(1_000);
});

test('a stop does not wait for a frozen standby, and what it leaves is killed', async () => {
  const primary = await sandbox.primary('node-1', { settings: { wal_sender_timeout: '60s' } });
  const standby = await sandbox.standby('node-2', primary);
  const receiver = standby.postgres.findProcesses().find(({ title }) => title.includes('walreceiver'));
  sendSignal(receiver?.pid ?? 0, 'SIGSTOP');
  await sandbox.value(primary, 'create table after_the_freeze ()');
  const stopped = await primary.postgres.stopFast(10_000);
  expect(stopped).toMatchObject({ kind: 'stopped', cleanShutdown: true });
  expect(primary.postgres.findProcesses().map(({ title }) => title)).toContainEqual(
    expect.stringContaining('walsender'),
  );
  const evidence = await primary.postgres.killAll('left after the shutdown');
  expect(evidence).toMatchObject({ remaining: [], killed: expect.any(Number) });
  expect(evidence.killed).toBeGreaterThan(0);
  expect(await primary.postgres.controlFile()).toMatchObject({ state: 'shut-down' });
});

test('a stop on a disk that gives no answer is given up in time, and a kill needs no disk', async () => {
  const node = await sandbox.primary('node-1');
  for (const { pid } of node.postgres.findProcesses()) sendSignal(pid, 'SIGSTOP');
  // Opening a pipe that nobody writes to hangs as a file on a frozen disk does.
  const control = join(node.postgres.host.dataDir, 'global', 'pg_control');
  rmSync(control);
  execFileSync('mkfifo', [control]);
  const startedMs = performance.now();
  expect(await node.postgres.stopFast(300)).toMatchObject({
    kind: 'timed-out',
    reason: expect.stringMatching(/disk/),
  });
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  expect(await node.postgres.killAll('a frozen disk')).toMatchObject({ remaining: [] });
  // Lets the hanging read end, and with it this process.
  appendFileSync(control, '');
});

test('the stop of a standby is clean too, and a stop of nothing says so', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  expect(await standby.postgres.stopFast(10_000)).toMatchObject({
    kind: 'stopped',
    cleanShutdown: true,
    as: 'standby',
  });
  await standby.postgres.awaitGone(5_000);
  expect(await standby.postgres.stopFast(10_000)).toEqual({ kind: 'not-running', cleanShutdown: true });
  await primary.postgres.killAll('a crash');
  expect(await primary.postgres.stopFast(10_000)).toEqual({ kind: 'not-running', cleanShutdown: false });
});

test('a stop in the middle of a crash recovery is not taken for clean', async () => {
  const node = await sandbox.primary('node-1');
  await sandbox.value(node, 'create table t as select generate_series(1, 300000)');
  await node.postgres.killAll('a crash');
  const started = await node.postgres.start({ as: 'primary' });
  expect(started.kind).toBe('started');
  while ((await node.postgres.findPostmaster()) === null)
    await new Promise((resolve) => setTimeout(resolve, 1));
  const stopped = await node.postgres.stopFast(10_000);
  await node.postgres.awaitGone(10_000);
  const state = await node.postgres.controlFile();
  const clean = stopped.kind === 'stopped' && stopped.cleanShutdown;
  expect(clean).toBe(state.kind === 'control-data' && state.state === 'shut-down');
});

test('a server is started only as what its directory says, lest a standby opens as a second primary', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  await standby.postgres.killAll('a crash');
  await expect(standby.postgres.start({ as: 'primary' })).rejects.toThrow(/standby.signal present/);
  await primary.postgres.killAll('a crash');
  await expect(primary.postgres.start({ as: 'standby' })).rejects.toThrow(/standby.signal absent/);
  writeFileSync(join(primary.postgres.host.dataDir, 'recovery.signal'), '');
  await expect(primary.postgres.start({ as: 'primary' })).rejects.toThrow(/recovery.signal/);
  expect([...primary.postgres.findProcesses(), ...standby.postgres.findProcesses()]).toEqual([]);
});

test('a server outlives the process that started it, and another one adopts and stops it', async () => {
  const node = await sandbox.node('node-1');
  await node.postgres.initialise();
  const module = fileURLToPath(new URL('../../adapters/postgres/postgres-node.ts', import.meta.url));
  const { onCommand: _, realDataDir: __, ...options } = node.postgres.host;
  const script = `
    const { PostgresNode } = await import(${JSON.stringify(module)});
    const node = new PostgresNode(${JSON.stringify(options)});
    const started = await node.start({ as: 'primary' });
    const accepting = await node.awaitAccepting(started, 20000);
    console.log(accepting.kind);`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  expect(out.trim()).toBe('accepting');

  const adopter = new PostgresNode(node.postgres.host);
  expect(await adopter.start({ as: 'primary' })).toMatchObject({ kind: 'already-running' });
  expect(await adopter.observe(2_000)).toMatchObject({ kind: 'running', inRecovery: false });
  expect(await adopter.stopFast(10_000)).toMatchObject({ kind: 'stopped', cleanShutdown: true });
  adopter.close();
});

test('a lock file with the pid of another program is not a running server', async () => {
  const node = await sandbox.node('node-1');
  await node.postgres.initialise();
  writeFileSync(
    join(node.postgres.host.dataDir, 'postmaster.pid'),
    `${process.pid}\n${node.postgres.host.dataDir}\n0\n`,
  );
  expect(await node.postgres.findPostmaster()).toBeNull();
  expect(await node.postgres.stopFast(1_000)).toMatchObject({ kind: 'not-running' });
});

test('a server that cannot start is reported with its last words', async () => {
  const node = await sandbox.node('node-1');
  await node.postgres.initialise();
  appendFileSync(join(node.postgres.host.dataDir, 'postgresql.conf'), 'no_such_setting = 1\n');
  const started = await node.postgres.start({ as: 'primary' });
  if (started.kind !== 'started') return expect.fail(JSON.stringify(started));
  const result = await node.postgres.awaitAccepting(started, 10_000);
  expect(result).toMatchObject({ kind: 'exited', logTail: expect.stringContaining('no_such_setting') });
});

test("another node's identity, copied or set by ALTER SYSTEM, does not survive a start", async () => {
  const node = await sandbox.primary('node-1');
  await sandbox.value(node, "alter system set port = '1'");
  await sandbox.value(node, "alter system set cluster_name = 'impostor'");
  await sandbox.value(node, "alter system set work_mem = '7MB'");
  await node.postgres.stopFast(10_000);
  await node.postgres.awaitGone(5_000);
  await sandbox.startNode(node, 'primary');
  expect(await sandbox.value(node, 'show port')).toBe(String(node.port));
  expect(await sandbox.value(node, 'show cluster_name')).toBe('node-1');
  expect(await sandbox.value(node, 'show work_mem')).toBe('7MB');
});

test('settings that Leasehold owns are refused by name, others are in force', async () => {
  const refused = await sandbox.node('node-1', { settings: { primary_conninfo: 'host=elsewhere' } });
  mkdirSync(refused.postgres.host.dataDir);
  writeFileSync(join(refused.postgres.host.dataDir, 'PG_VERSION'), '15\n');
  await expect(refused.postgres.start({ as: 'primary' })).rejects.toThrow(/primary_conninfo/);
  const node = await sandbox.primary('node-2', {
    settings: { work_mem: '5MB', log_line_prefix: "it's %m " },
  });
  expect(await sandbox.value(node, 'show work_mem')).toBe('5MB');
  expect(await sandbox.value(node, 'show log_line_prefix')).toBe("it's %m ");
});
