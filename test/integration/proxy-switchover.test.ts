/**
 * A planned hand-over as clients see it: they wait and see no error. Real servers throughout.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndpointBench } from './support/endpoint-bench.ts';
import { connected } from './support/writer.ts';

const pauseOrder = { drainMs: 1_000, holdMs: 20_000, onTimeout: 'resume' } as const;

describe('a hand-over under pause', () => {
  let bench: EndpointBench;
  beforeEach(async () => {
    bench = await EndpointBench.create();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  it('costs four writing clients no error and no acknowledged row', async () => {
    const writers = await bench.writers(4);
    const paused = await bench.endpoint.pause(pauseOrder);
    expect(paused.kind).toBe('paused');
    await bench.handOver();
    expect(await bench.endpoint.routeTo(bench.route('second', 2))).toEqual({ kind: 'done' });
    expect(await bench.endpoint.resume()).toEqual({ kind: 'resumed' });
    await Promise.all(writers.map((writer) => writer.progresses(50, 10_000)));
    await Promise.all(writers.map((writer) => writer.stop()));
    expect(writers.flatMap(({ errors }) => errors)).toEqual([]);
    expect(await bench.lost(writers, bench.second)).toEqual([]);
  });

  it('keeps idle clients, and lets in those that connect meanwhile', async () => {
    const idle = await bench.client();
    await idle.query('select 1');
    await bench.endpoint.pause(pauseOrder);
    const known = await bench.client();
    const waiting = known.query('select pg_is_in_recovery() as standby');
    // A pool that never existed: PgBouncer has no server's greeting to repeat, so even the login must wait.
    const newPool = connected({ ...bench.access(), database: 'template1' });
    await bench.handOver();
    await bench.endpoint.routeTo(bench.route('second', 2));
    await bench.endpoint.resume();
    expect((await waiting).rows).toEqual([{ standby: false }]);
    expect((await idle.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: false }]);
    const client = await newPool;
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await Promise.all([idle.end(), known.end(), client.end()]);
  });

  it('makes a client that goes straight to the primary wait for the new one', async () => {
    const before = await bench.client('primary');
    const ended = new Promise((resolve) => before.once('end', resolve));
    await bench.endpoint.cut();
    await ended;
    const late = bench.client('primary');
    await bench.handOver();
    await bench.endpoint.routeTo(bench.route('second', 2));
    const client = await late;
    expect((await client.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: false }]);
    await client.end();
  });

  it('gives readers the standbys it was told of, and no other node', async () => {
    const reader = await bench.client('replicas');
    expect((await reader.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: true }]);
    const ended = new Promise((resolve) => reader.once('end', resolve));
    await bench.endpoint.setReplicas([]);
    await ended;
    await expect(bench.client('replicas')).rejects.toThrow();
  });
});
