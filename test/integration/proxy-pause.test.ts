/**
 * Pauses that do not go as planned, and programs that outlive or do not outlive the agent. Real servers throughout.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isProcessAlive, listPids, processTitle, sendSignal } from '../../adapters/process.ts';
import { ProxyEndpoint } from '../../adapters/proxy/endpoint.ts';
import type { EndpointOptions } from '../../adapters/proxy/endpoint-options.ts';
import { EndpointBench } from './support/endpoint-bench.ts';
import { freePort } from './support/postgres-sandbox.ts';

describe('the endpoint of a proxy host', () => {
  let bench: EndpointBench;
  let expired = 0;
  beforeEach(async () => {
    expired = 0;
    bench = await EndpointBench.create({ onPauseExpired: () => (expired += 1) });
  });
  afterEach(async () => {
    await bench.dispose();
  });

  it('gives up a pause that an open transaction holds up, and lets everybody go on', async () => {
    const client = await bench.client();
    await client.query('begin');
    const other = await bench.client();
    const result = await bench.endpoint.pause({ drainMs: 200, holdMs: 20_000, onTimeout: 'resume' });
    expect(result).toMatchObject({ kind: 'timed-out', openTransactions: 1 });
    expect((await bench.endpoint.status()).paused).toBe(false);
    expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await client.query('commit');
    await Promise.all([client.end(), other.end()]);
    // The pause that was given up must not come back by its expiry, nor stand in the way of the next.
    expect(await bench.endpoint.pause({ drainMs: 200, holdMs: 20_000, onTimeout: 'resume' })).toMatchObject({
      kind: 'paused',
    });
  });

  it('gives up a pause that a stopped PgBouncer did not answer, also when that carries it out later', async () => {
    const client = await bench.client();
    await client.query('select 1');
    const { pgbouncer } = bench.endpoint.pids();
    sendSignal(pgbouncer, 'SIGSTOP');
    const asked = bench.endpoint.pause({ drainMs: 200, holdMs: 20_000, onTimeout: 'resume' });
    expect((await asked).kind).toBe('unreachable');
    sendSignal(pgbouncer, 'SIGCONT');
    // It is in force for a moment now, and nobody who asked for it is left.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect((await bench.endpoint.status()).paused).toBe(false);
    await client.end();
  });

  it('does not undo with a pause that was given up the next one, which comes at once', async () => {
    const { pgbouncer } = bench.endpoint.pids();
    const order = { drainMs: 1_000, holdMs: 20_000, onTimeout: 'resume' } as const;
    sendSignal(pgbouncer, 'SIGSTOP');
    expect((await bench.endpoint.pause({ ...order, drainMs: 200 })).kind).toBe('unreachable');
    sendSignal(pgbouncer, 'SIGCONT');
    expect((await bench.endpoint.pause(order)).kind).toBe('paused');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await bench.endpoint.status()).paused).toBe(true);
  });

  it('ends the transactions that hold up a pause when told to, and no other client', async () => {
    const client = await bench.client();
    await client.query('begin');
    const idle = await bench.client();
    const direct = await bench.client('primary');
    const result = await bench.endpoint.pause({ drainMs: 100, holdMs: 20_000, onTimeout: 'cancel' });
    expect(result.kind).toBe('paused');
    await expect(client.query('select 1')).rejects.toThrow();
    expect((await direct.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    const waiting = idle.query('select 1 as one');
    await bench.endpoint.resume();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    await Promise.all([idle.end(), direct.end()]);
  });

  it('opens by itself when nobody ends a pause, and then routes to nobody until told', async () => {
    const client = await bench.client();
    await client.query('select 1');
    await bench.endpoint.pause({ drainMs: 1_000, holdMs: 300, onTimeout: 'resume' });
    const waiting = client.query('select 1 as one');
    await expect.poll(() => expired, { timeout: 5_000 }).toBe(1);
    expect(await bench.endpoint.status()).toMatchObject({ paused: false, routesTo: null, epoch: null });
    await bench.endpoint.routeTo(bench.route('first', 1));
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it('survives its agent: a new one finds route, epoch and pause as they were, and clients notice nothing', async () => {
    const client = await bench.client();
    await client.query('select 1');
    await bench.endpoint.pause({ drainMs: 1_000, holdMs: 20_000, onTimeout: 'resume' });
    const before = bench.endpoint.pids();
    bench.endpoint.detach();
    const waiting = client.query('select 1 as one');
    const opened = await ProxyEndpoint.open(bench.options);
    if (opened.kind !== 'open') throw new Error(opened.detail);
    bench.endpoint = opened.endpoint;
    expect(bench.endpoint.pids()).toEqual(before);
    expect(await bench.endpoint.status()).toMatchObject({ paused: true, routesTo: 'first', epoch: 1 });
    expect(await bench.endpoint.routeTo(bench.route('second', 0))).toMatchObject({ kind: 'stale-epoch' });
    await bench.endpoint.resume();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it('survives an agent that knows no node yet: nobody who is connected is cut off', async () => {
    const client = await bench.client();
    const reader = await bench.client('replicas');
    await client.query('begin');
    bench.endpoint.detach();
    const opened = await ProxyEndpoint.open({ ...bench.options, nodes: [] });
    if (opened.kind !== 'open') throw new Error(opened.detail);
    bench.endpoint = opened.endpoint;
    expect(await bench.endpoint.status()).toMatchObject({ paused: false, routesTo: 'first', epoch: 1 });
    await bench.endpoint.routeTo(bench.route('first', 1));
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await client.query('commit');
    expect((await reader.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await Promise.all([client.end(), reader.end()]);
  });

  it('starts again what has died, with the same route, for clients that connect anew', async () => {
    const before = bench.endpoint.pids();
    expect(await bench.endpoint.ensureRunning()).toEqual({ kind: 'running', restarted: [] });
    for (const pid of [before.haproxy, before.pgbouncer]) sendSignal(pid, 'SIGKILL');
    await expect.poll(() => isProcessAlive(before.haproxy) || isProcessAlive(before.pgbouncer)).toBe(false);
    const again = await bench.endpoint.ensureRunning();
    expect(again).toEqual({ kind: 'running', restarted: ['pgbouncer', 'haproxy'] });
    expect(await bench.endpoint.status()).toMatchObject({ routesTo: 'first', epoch: 1, paused: false });
    const client = await bench.client();
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    const reader = await bench.client('replicas');
    await Promise.all([client.end(), reader.end()]);
  });

  it('stays paused when PgBouncer dies in the pause', async () => {
    await bench.endpoint.pause({ drainMs: 1_000, holdMs: 20_000, onTimeout: 'resume' });
    const { pgbouncer } = bench.endpoint.pids();
    sendSignal(pgbouncer, 'SIGKILL');
    await expect.poll(() => isProcessAlive(pgbouncer)).toBe(false);
    await bench.endpoint.ensureRunning();
    expect((await bench.endpoint.status()).paused).toBe(true);
    expect(await bench.endpoint.resume()).toEqual({ kind: 'resumed' });
    expect((await bench.endpoint.status()).paused).toBe(false);
  });

  it('takes a node in while it runs, follows one that moved and lets one go', async () => {
    const [first, second] = bench.options.nodes;
    if (first === undefined || second === undefined) throw new Error('the bench has two nodes');
    // The same servers under new names: what counts is that HAProxy learns them without a restart.
    const renamed = { ...first, nodeId: 'third' };
    expect(await bench.endpoint.setNodes([first, renamed])).toEqual({ kind: 'done' });
    const names = async () =>
      (await bench.endpoint.status()).haproxy?.nodes.map(({ nodeId }) => nodeId).sort();
    expect(await names()).toEqual(['first', 'third']);
    expect(await bench.endpoint.routeTo({ ...renamed, epoch: 2 })).toEqual({ kind: 'done' });
    const client = await bench.client();
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    // A node that comes back elsewhere: same name, the other server's address. The old connections end.
    const direct = await bench.client('primary');
    const ended = new Promise((resolve) => direct.once('end', resolve));
    expect(await bench.endpoint.routeTo({ ...second, nodeId: 'third', epoch: 3 })).toEqual({ kind: 'done' });
    await ended;
    const there = await bench.client('primary');
    const { rows } = await there.query('select pg_is_in_recovery() as standby');
    expect(rows).toEqual([{ standby: true }]);
    await Promise.all([there.end(), client.end()]);
  });

  it('names what is wrong with a node instead of passing it on to HAProxy', async () => {
    const node = { nodeId: 'x; disable frontend endpoint', host: '127.0.0.1', port: 1, restPort: null };
    expect(await bench.endpoint.routeTo({ ...node, epoch: 9 })).toMatchObject({ kind: 'invalid-input' });
    expect(await bench.endpoint.setNodes([node])).toMatchObject({ kind: 'invalid-input' });
    expect(await bench.endpoint.status()).toMatchObject({ routesTo: 'first', epoch: 1 });
  });
});

describe('a program that cannot start', () => {
  let bench: EndpointBench;
  beforeEach(async () => {
    bench = await EndpointBench.create();
  });
  afterEach(async () => {
    await bench.dispose();
  });
  /** An endpoint beside the bench's, on other ports. */
  const beside = async (): Promise<EndpointOptions> => {
    const listener = async () => ({ host: '127.0.0.1', port: await freePort() });
    const listeners = { endpoint: await listener(), primary: await listener(), replicas: await listener() };
    const folder = `${bench.options.folder}-2`;
    return { ...bench.options, folder, logFolder: folder, listeners, pgbouncer: await listener() };
  };

  it('tells of a port that PgBouncer cannot have', async () => {
    const options = { ...(await beside()), pgbouncer: { host: '127.0.0.1', port: bench.second.port } };
    const opened = await ProxyEndpoint.open(options);
    expect(opened).toMatchObject({ kind: 'not-started', program: 'pgbouncer' });
    expect(opened).toHaveProperty('detail', expect.stringContaining('Address already in use'));
    expect(programsOf(options.folder)).toEqual([]);
  });

  it('tells of a port that HAProxy cannot have, and ends the PgBouncer that it had started', async () => {
    const options = await beside();
    const listeners = { ...options.listeners, endpoint: bench.options.listeners.endpoint };
    const opened = await ProxyEndpoint.open({ ...options, listeners });
    expect(opened).toMatchObject({ kind: 'not-started', program: 'haproxy' });
    expect(opened).toHaveProperty('detail', expect.stringContaining('Address already in use'));
    expect(programsOf(options.folder)).toEqual([]);
  });
});

function programsOf(folder: string): string[] {
  return listPids()
    .map(processTitle)
    .filter((title) => title.includes(`${folder}/`));
}
