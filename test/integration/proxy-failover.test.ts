/**
 * A primary that dies or freezes without a word, as clients see it: who was in a statement gets one error, everybody else waits, and
 * all go on as soon as the endpoint is told of the new primary.
 */
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import { EndpointBench } from './support/endpoint-bench.ts';

/** Long enough for HAProxy's health checks (3 x 100 ms) to have taken the dead node out by themselves. */
const outageMs = 1_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A request for TLS is that long, and a start-up packet longer. */
const sslRequestBytes = 8;

/** Answers as PostgreSQL does during crash recovery, for as long as a test needs it: each login is refused with 57P03. */
async function playStartingUp(port: number): Promise<() => Promise<void>> {
  const message = Buffer.from('SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0');
  const length = Buffer.alloc(4);
  length.writeInt32BE(message.length + 4);
  const refusal = Buffer.concat([Buffer.from('E'), length, message]);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (asked) =>
      asked.length === sslRequestBytes ? socket.write('N') : socket.end(refusal),
    );
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return () => new Promise((resolve) => server.close(() => resolve()));
}

describe('an unplanned change of primary', () => {
  let bench: EndpointBench;
  beforeEach(async () => {
    bench = await EndpointBench.create();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  it('costs a writer whose primary was killed one error, and a client that was idle none', async () => {
    const writers = await bench.writers(4);
    const idle = await bench.client();
    await idle.query('select 1');
    await bench.crashFirst();
    // Queries begun during the outage, by clients old and new: they wait.
    const early = idle.query('select pg_is_in_recovery() as standby');
    await sleep(outageMs);
    const arrived = await bench.client();
    const late = arrived.query('select pg_is_in_recovery() as standby');
    await bench.endpoint.cut(2);
    await sleep(100);
    await bench.promoteSecond();
    await bench.endpoint.routeTo(bench.route('second', 2));
    expect((await early).rows).toEqual([{ standby: false }]);
    expect((await late).rows).toEqual([{ standby: false }]);
    await Promise.all(writers.map((writer) => writer.progresses(20, 10_000)));
    for (const { errors } of writers) expect(errors.length).toBeLessThanOrEqual(1);
    await Promise.all([idle.end(), arrived.end()]);
  });

  it('frees clients from a primary that froze, with one error for who was in a statement', async () => {
    const writers = await bench.writers(4);
    const idle = await bench.client();
    await idle.query('select 1');
    const frozen = bench.first.postgres.findProcesses().map(({ pid }) => pid);
    for (const pid of frozen) sendSignal(pid, 'SIGSTOP');
    // Its agent lives and still says "primary", so HAProxy goes on to send connections there.
    // More of them than there are server connections, so that PgBouncer tries a login, which the frozen server never answers.
    const crowd = await Promise.all(Array.from({ length: 12 }, () => bench.client()));
    const stuck = crowd.map((client) =>
      client.query('select 1').then(
        () => 'answered',
        () => 'ended',
      ),
    );
    await expect.poll(async () => (await bench.endpoint.status()).pools?.serversLoggingIn).toBe(1);
    await bench.endpoint.cut(2);
    bench.rest.first.role = null;
    const arrivals = await Promise.all(Array.from({ length: 4 }, () => bench.client()));
    const late = arrivals.map((client) =>
      client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby'),
    );
    await sleep(100);
    await bench.promoteSecond();
    await bench.endpoint.routeTo(bench.route('second', 2));
    for (const answer of await Promise.all(late)) expect(answer.rows).toEqual([{ standby: false }]);
    expect((await idle.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await Promise.all(stuck);
    await Promise.all(writers.map((writer) => writer.progresses(20, 10_000)));
    for (const { errors } of writers) expect(errors.length).toBeLessThanOrEqual(1);
    expect((await bench.endpoint.status()).paused).toBe(false);
    await Promise.all([...crowd, ...arrivals, idle].map((client) => client.end().catch(() => undefined)));
  });

  it('keeps clients waiting, with no error but for a statement, while the primary restarts in place', async () => {
    const writers = await bench.writers(4);
    await bench.crashFirst();
    const startingUp = await playStartingUp(bench.first.port);
    const arrived = await bench.client();
    const late = arrived.query('select 1 as one');
    await sleep(outageMs);
    await startingUp();
    await bench.sandbox.startNode(bench.first, 'primary');
    bench.rest.first.role = 'primary';
    expect((await late).rows).toEqual([{ one: 1 }]);
    await Promise.all(writers.map((writer) => writer.progresses(20, 10_000)));
    for (const { errors } of writers) expect(errors.length).toBeLessThanOrEqual(1);
    await arrived.end();
  });

  it('refuses a route of an older epoch and keeps the newer one', async () => {
    await bench.endpoint.cut(3);
    expect(await bench.endpoint.routeTo(bench.route('first', 2))).toEqual({ kind: 'stale-epoch', newest: 3 });
    expect((await bench.endpoint.status()).routesTo).toBeNull();
    expect(await bench.endpoint.routeTo(bench.route('first', 3))).toEqual({ kind: 'done' });
    expect(await bench.endpoint.status()).toMatchObject({ routesTo: 'first', epoch: 3 });
  });

  it('takes a primary out whose health checks fail while no agent is there, and back in when they pass', async () => {
    const up = async () => (await bench.endpoint.status()).haproxy?.primaryUp;
    expect(await up()).toBe(true);
    bench.rest.first.role = null;
    await expect.poll(up, { timeout: 5_000 }).toBe(false);
    const held = bench.client('primary');
    bench.rest.first.role = 'primary';
    await expect.poll(up, { timeout: 5_000 }).toBe(true);
    await (await held).end();
  });
});
