// The guard with a real PostgreSQL: the last hand that stops it when the agent is gone, hung or stopped.

import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { uptimeMs } from '../../adapters/clock.ts';
import { isProcessAlive, readProcessStatus, sendSignal } from '../../adapters/process.ts';
import { Guard, type GuardConfig } from '../../agent/guard.ts';
import { fenceBudget, stopBudgetMs } from '../../core/lease/lease-clock.ts';
import { PostgresSandbox, type SandboxNode } from './support/postgres-sandbox.ts';

const script = join(import.meta.dirname, '../../agent/guard.sh');
const guardModule = new URL('../../agent/guard.ts', import.meta.url).href;
const clockModule = new URL('../../adapters/clock.ts', import.meta.url).href;
const ttlMs = 2_000;
/** Reading /proc/uptime is exact to 10 ms, at both ends. */
const grainMs = 20;

let sandbox: PostgresSandbox;
let node: SandboxNode;
let config: GuardConfig;
let guard: Guard;
const children: ChildProcess[] = [];
const guardPids = new Set<number>();

beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
  node = await sandbox.primary('node-1');
  const folder = join(sandbox.folder, 'guard');
  mkdirSync(folder);
  config = {
    script,
    fifo: join(folder, 'guard.fifo'),
    dataDirectory: node.postgres.host.dataDir,
    postgresProgram: join(sandbox.installation.binDir, 'postgres'),
    logFile: join(folder, 'guard.log'),
  };
  guard = new Guard(config);
  expect(await guard.ensure()).toBe('started');
  remember();
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  remember();
  for (const pid of guardPids) if (commandLine(pid).includes(config.fifo)) sendSignal(pid, 'SIGKILL');
  guardPids.clear();
  await sandbox.dispose();
});

function remember(): void {
  const pid = guard.pid();
  if (pid !== null) guardPids.add(pid);
}

const commandLine = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
};

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, test: () => boolean, limitMs = 10_000): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!test()) {
    if (performance.now() > deadlineMs) throw new Error(`not in time: ${what}`);
    await sleep(2);
  }
}

const processes = (of: SandboxNode = node) => of.postgres.findProcesses();

/** A lease whose last renewal was sent so that the guard's deadline is `inMs` from now; returns that deadline in uptime's ms. */
function arm(inMs: number): number {
  const sentAtMs = uptimeMs() + inMs - fenceBudget(ttlMs).guardKillAfterMs;
  expect(guard.set({ epoch: 1, sentAtMs, ttlMs })).toBe(true);
  return sentAtMs + fenceBudget(ttlMs).guardKillAfterMs;
}

/** When the last process of the server was gone, in uptime's ms; fails when one lives at `limitMs`. */
async function goneAt(limitMs: number): Promise<number> {
  for (;;) {
    if (processes().length === 0) return uptimeMs();
    if (uptimeMs() > limitMs) throw new Error(`alive at the limit: ${JSON.stringify(processes())}`);
    await sleep(2);
  }
}

async function livesAt(atMs: number): Promise<void> {
  const pid = (await node.postgres.findPostmaster())?.pid;
  expect(pid).toBeDefined();
  while (uptimeMs() < atMs) {
    if (!isProcessAlive(pid ?? 0)) throw new Error(`killed ${atMs - uptimeMs()} ms early`);
    await sleep(2);
  }
  expect(processes().length).toBeGreaterThan(3);
}

/** An agent that does nothing but renew, every 50 ms, until it is killed, hung or stopped. Its lines are its deadlines. */
async function renewingAgent(): Promise<{ child: ChildProcess; lastSentAtMs: () => number }> {
  const code = `
    const { Guard } = await import(${JSON.stringify(guardModule)});
    const { uptimeMs } = await import(${JSON.stringify(clockModule)});
    const guard = new Guard(${JSON.stringify(config)});
    if ((await guard.ensure()) !== 'found') process.exit(1);
    setInterval(() => {
      const sentAtMs = uptimeMs();
      guard.set({ epoch: 1, sentAtMs, ttlMs: ${ttlMs} });
      process.stdout.write(sentAtMs + '\\n');
    }, 50);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  let text = '';
  child.stdout?.on('data', (data) => {
    text += data;
  });
  await until('the agent renews', () => text.split('\n').length > 5);
  return { child, lastSentAtMs: () => Number(text.trim().split('\n').at(-1)) };
}

/** A client in a statement that writes for longer than any test. */
async function busyClient(): Promise<string> {
  await sandbox.value(node, 'create table if not exists t (i int)');
  const client = await sandbox.client(node);
  const answer = client.query('insert into t select generate_series(1, 1000000000)').then(
    () => 'acknowledged',
    () => 'broken',
  );
  await until('the client writes', () => processes().some(({ title }) => title.includes('INSERT')));
  return answer;
}

test('a silent agent: all of PostgreSQL, also an orphan in a long write, is gone within the stop budget', async () => {
  const answer = busyClient();
  await until('the client writes', () => processes().some(({ title }) => title.includes('INSERT')));
  const deadlineMs = arm(800);
  const postmaster = await node.postgres.findPostmaster();
  sendSignal(postmaster?.pid ?? 0, 'SIGKILL');
  await until('the postmaster is gone', () => !isProcessAlive(postmaster?.pid ?? 0));
  await sleep(200);
  expect(processes().some(({ title }) => title.includes('INSERT'))).toBe(true);
  const goneMs = await goneAt(deadlineMs + stopBudgetMs);
  expect(goneMs).toBeGreaterThanOrEqual(deadlineMs - grainMs);
  expect(await await answer).toBe('broken');
});

test('a deadline that is moved is kept to, and killed by only once', async () => {
  const first = arm(500);
  await sleep(250);
  const second = arm(900);
  expect(second).toBeGreaterThan(first + 500);
  await livesAt(second - 50);
  await goneAt(second + stopBudgetMs);
  await sandbox.startNode(node, 'primary');
  await sleep(700);
  expect(processes().length).toBeGreaterThan(3);
  const log = readFileSync(config.logFile, 'utf8').trim().split('\n');
  expect(log).toHaveLength(1);
  expect(JSON.parse(log[0] ?? '')).toMatchObject({ outcome: 'done' });
});

test('an agent that is killed closes its pipe: nothing happens before its deadline, and all of it then', async () => {
  const agent = await renewingAgent();
  agent.child.kill('SIGKILL');
  await sleep(50);
  const deadlineMs = agent.lastSentAtMs() + fenceBudget(ttlMs).guardKillAfterMs;
  await livesAt(deadlineMs - 50);
  const goneMs = await goneAt(agent.lastSentAtMs() + ttlMs);
  expect(goneMs).toBeGreaterThanOrEqual(deadlineMs - grainMs);
});

test('an agent that is stopped in the middle is outlived by its deadline alone', async () => {
  const agent = await renewingAgent();
  agent.child.kill('SIGSTOP');
  await sleep(50);
  const lastMs = agent.lastSentAtMs();
  await livesAt(lastMs + fenceBudget(ttlMs).guardKillAfterMs - 50);
  await goneAt(lastMs + ttlMs);
});

test('an agent that is restarted in time finds the same guard, and no client notices', async () => {
  const before = guard.pid();
  const first = await renewingAgent();
  first.child.kill('SIGKILL');
  const next = await renewingAgent();
  await livesAt(first.lastSentAtMs() + ttlMs + 300);
  expect(guard.pid()).toBe(before);
  next.child.kill('SIGKILL');
});

test('none disarms, and quit ends the guard alone', async () => {
  const deadlineMs = arm(300);
  expect(guard.set(null)).toBe(true);
  await livesAt(deadlineMs + 300);
  const pid = guard.pid() ?? 0;
  guard.quit();
  await until('the guard is gone', () => !isProcessAlive(pid));
  expect(guard.isAlive()).toBe(false);
  expect(guard.set({ epoch: 1, sentAtMs: uptimeMs(), ttlMs })).toBe(false);
  expect(processes().length).toBeGreaterThan(3);
});

test('lines that are garbage change nothing', async () => {
  const deadlineMs = arm(900);
  const farOff = Math.floor(uptimeMs() / 10) + 100_000_000;
  const garbage = [
    '',
    'deadline',
    'deadline soon',
    'deadline 08',
    'deadline -5',
    'deadline 1 2',
    'deadline 0x10',
  ];
  garbage.push('deadline a[$(touch /nonexistent)]', 'deadline 99999999999999999999', `deadline ${farOff}`);
  garbage.push('None', 'none?', 'quit now', '\u0007\u0000\u00ff', 'x'.repeat(3_000));
  for (const line of garbage.filter((one) => !one.startsWith('quit')))
    appendFileSync(config.fifo, `${line}\n`);
  await livesAt(deadlineMs - 50);
  expect(guard.isAlive()).toBe(true);
  await goneAt(deadlineMs + stopBudgetMs);
});

test('spares another server, and what else has the data directory as its folder', async () => {
  const neighbour = await sandbox.primary('node-2');
  const shell = spawn('sleep', ['60'], { cwd: config.dataDirectory, stdio: 'ignore' });
  children.push(shell);
  const deadlineMs = arm(100);
  await goneAt(deadlineMs + stopBudgetMs);
  await sleep(100);
  expect(isProcessAlive(shell.pid ?? 0)).toBe(true);
  expect(await neighbour.postgres.observe(2_000)).toMatchObject({ kind: 'running' });
});

test('finds a server whose program was replaced by an upgrade, and without its lock file', async () => {
  await node.postgres.killAll('to be started from another program');
  const program = join(sandbox.folder, 'postgres');
  copyFileSync(config.postgresProgram, program);
  const server = spawn(program, ['-D', config.dataDirectory], {
    cwd: config.dataDirectory,
    stdio: 'ignore',
    ...(sandbox.runAs === null ? {} : sandbox.runAs),
  });
  children.push(server);
  await until('the server is up', () => processes().length > 4);
  renameSync(program, `${program}.old`);
  copyFileSync(config.postgresProgram, program);
  renameSync(join(config.dataDirectory, 'postmaster.pid'), join(sandbox.folder, 'taken away'));
  await goneAt(arm(100) + stopBudgetMs);
});

test('ends a server that is frozen, with many connections, within the stop budget', async () => {
  for (let index = 0; index < 30; index += 1) {
    (await sandbox.client(node)).query('select pg_sleep(60)').catch(() => undefined);
  }
  for (const { pid } of processes()) sendSignal(pid, 'SIGSTOP');
  expect(processes().length).toBeGreaterThan(30);
  await goneAt(arm(200) + stopBudgetMs);
});

test('a guard that was killed, or stopped, is replaced, and only one ever reads the pipe', async () => {
  const first = guard.pid() ?? 0;
  sendSignal(first, 'SIGSTOP');
  await until('the guard is stopped', () => readProcessStatus(first)?.state === 'T');
  expect(guard.isAlive()).toBe(false);
  const both = await Promise.all([guard.ensure(), guard.ensure()]);
  expect(both).toEqual(['started', 'started']);
  remember();
  const second = guard.pid() ?? 0;
  expect(second).not.toBe(first);
  sendSignal(first, 'SIGCONT');
  await until('the former guard is gone', () => !isProcessAlive(first));
  sendSignal(second, 'SIGKILL');
  await until('the second is gone', () => !guard.isAlive());
  expect(await guard.ensure()).toBe('started');
  remember();
  expect(await guard.ensure()).toBe('found');
  await goneAt(arm(150) + stopBudgetMs);
});

test('a pid file that another program has got the number of, and a file in place of the pipe, mislead nobody', async () => {
  const first = guard.pid() ?? 0;
  guard.quit();
  await until('the guard is gone', () => !isProcessAlive(first));
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  children.push(stranger);
  renameSync(config.fifo, `${config.fifo}.old`);
  writeFileSync(config.fifo, 'no pipe');
  writeFileSync(`${config.fifo}.pid`, `${stranger.pid}\n`);
  expect(guard.isAlive()).toBe(false);
  expect(await guard.ensure()).toBe('started');
  remember();
  expect(isProcessAlive(stranger.pid ?? 0)).toBe(true);
  await goneAt(arm(100) + stopBudgetMs);
});
