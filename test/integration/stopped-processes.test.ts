/**
 * Parts of a primary's host that are stopped in the middle (SIGSTOP: alive, holding everything, doing nothing): agent, postmaster,
 * both, guard. What PostgreSQL acknowledges is compared with the lease's deadline by one clock, in one run (L3, L5).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { uptimeMs } from '../../adapters/clock.ts';
import { isProcessAlive, sendSignal } from '../../adapters/process.ts';
import { AgentsSandbox, type SandboxAgent, serverPids } from './support/agents-sandbox.ts';

const ttlMs = 2_500;
/** Reading /proc/uptime is exact to 10 ms at each end. */
const grainMs = 20;
let sandbox: AgentsSandbox;
let agent: SandboxAgent;
let data: string;
let writer: Writer;

/** Writes without a pause, over a connection that it keeps for as long as it can, and notes when each was acknowledged. */
class Writer {
  readonly acknowledged: number[] = [];
  #closed = false;
  readonly #done: Promise<void>;

  constructor(port: number, password: string) {
    this.#done = this.#run({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
  }

  last(): number {
    return this.acknowledged.at(-1) ?? 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#done;
  }

  async #run(options: pg.ClientConfig): Promise<void> {
    while (!this.#closed) {
      const client = new pg.Client({ ...options, connectionTimeoutMillis: 300, query_timeout: 1_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.query('create table if not exists written (at bigint)');
        while (!this.#closed) {
          await client.query('insert into written values (1)');
          this.acknowledged.push(uptimeMs());
        }
      } catch {
        await pause(50);
      } finally {
        void client.end().catch(() => undefined);
      }
    }
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function pidIn(path: string): number {
  return Number.parseInt(readFileSync(path, 'latin1'), 10);
}

const postmasterPid = () => pidIn(join(data, 'postmaster.pid'));
const guardPid = () => pidIn(join(agent.config.folder, 'run', 'guard.fifo.pid'));

// A host of its own for each: one that was restarted in place three times in a row hands its lease over.
beforeEach(async () => {
  sandbox = await AgentsSandbox.open({ ttlMs, heartbeatMs: 500 });
  agent = await sandbox.addAgent('node1');
  data = join(agent.config.folder, 'data', 'pgdata');
  agent.start();
  await sandbox.until('a primary', async () => (await sandbox.head()).record.epochs.length === 1);
  const { postgres, secrets } = agent.config;
  writer = new Writer(postgres.port, secrets.superuser.password);
  await sandbox.until('writes', () => writer.acknowledged.length > 20);
});
afterEach(async () => {
  await writer?.close();
  await sandbox?.close();
});

/** Stops these, waits until nothing is left of PostgreSQL, lets go of the agent, and waits until it serves again. */
async function stopAndReturn(pids: readonly number[]): Promise<{ stoppedAtMs: number; lastMs: number }> {
  for (const pid of pids) sendSignal(pid, 'SIGSTOP');
  // A renewal that is acknowledged was sent before this moment: the deadline is at most one ttl away.
  const stoppedAtMs = uptimeMs();
  await sandbox.until('PostgreSQL is down', () => serverPids(data).length === 0, 10_000);
  const downAtMs = uptimeMs();
  await pause(300);
  const lastMs = writer.last();
  expect(downAtMs - stoppedAtMs).toBeLessThan(ttlMs + grainMs);
  for (const pid of pids) sendSignal(pid, 'SIGCONT');
  await sandbox.until('writes again', () => writer.last() > downAtMs);
  return { stoppedAtMs, lastMs };
}

describe('stopped in the middle', () => {
  it('the agent: nothing is acknowledged after the deadline of its lease, and it notices the gap', async () => {
    const { stoppedAtMs, lastMs } = await stopAndReturn([agent.pid()]);
    expect(lastMs).toBeGreaterThan(stoppedAtMs);
    expect(lastMs - stoppedAtMs).toBeLessThan(ttlMs + grainMs);
    expect(agent.log()).toContain('"message":"loop gap"');
  });

  it('agent and postmaster: nothing is acknowledged after the deadline', async () => {
    const { stoppedAtMs, lastMs } = await stopAndReturn([agent.pid(), postmasterPid()]);
    expect(lastMs - stoppedAtMs).toBeLessThan(ttlMs + grainMs);
  });

  it('the postmaster: its connections write on under a lease that is renewed, until it is killed as hung and started again', async () => {
    const postmaster = postmasterPid();
    const before = (await sandbox.head()).lease;
    sendSignal(postmaster, 'SIGSTOP');
    const stoppedAtMs = uptimeMs();
    await sandbox.until('another postmaster', () => !isProcessAlive(postmaster), 30_000);
    await sandbox.until('writes again', () => writer.last() > uptimeMs() - 200, 30_000);
    // The lease was never in doubt, so nothing had to stop at its deadline.
    expect(writer.acknowledged.some((at) => at > stoppedAtMs + 300)).toBe(true);
    expect((await sandbox.head()).lease).toMatchObject({
      holder: 'node1',
      state: 'held',
      epoch: before?.epoch,
    });
  });

  it('the guard: another takes its place, no client notices, and it keeps the deadline', async () => {
    const [guard, postmaster] = [guardPid(), postmasterPid()];
    sendSignal(guard, 'SIGSTOP');
    await sandbox.until('another guard', () => guardPid() !== guard);
    expect(isProcessAlive(guard)).toBe(false);
    expect(postmasterPid()).toBe(postmaster);
    await pause(600);
    const { stoppedAtMs, lastMs } = await stopAndReturn([agent.pid()]);
    expect(lastMs - stoppedAtMs).toBeLessThan(ttlMs + grainMs);
  });
});
