/**
 * A calm look does not read the data directory each time; it does as soon as the postmaster is another one or gone, the server says something
 * else, anything that opens it was under way, or five seconds have passed.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Observation } from '../../adapters/postgres/observe.ts';
import type { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import type { Postmaster } from '../../adapters/postgres/processes.ts';
import { readProcessStatus } from '../../adapters/process.ts';
import { Server } from '../../agent/database/server.ts';

/** A process that lives as long as this test. */
const own: Postmaster = {
  pid: process.pid,
  startTicks: readProcessStatus(process.pid)?.startTicks ?? 0,
  port: 5432,
  status: 'ready',
  shmId: null,
};
const primary = { kind: 'running', inRecovery: false, timeline: 3, receiver: null } as unknown as Observation;

function aServer() {
  const seen = { reads: 0, postmaster: own as Postmaster | null, observation: primary, observed: 0 };
  const server = new Server({
    host: { dataDir: '/tmp' },
    isQuarantined: async () => false,
    controlFile: async () => {
      seen.reads += 1;
      return { kind: 'control-data' };
    },
    findPostmaster: async () => seen.postmaster,
    findProcesses: () => [],
    observe: async () => {
      seen.observed += 1;
      return seen.observation;
    },
  } as unknown as PostgresNode);
  return { server, seen };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a calm look', () => {
  it('asks the server, and reads the directory once in five seconds', async () => {
    const { server, seen } = aServer();
    for (let looks = 0; looks < 20; looks += 1) {
      expect((await server.look(true)).postgres.kind).toBe('primary');
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(seen.observed).toBe(20);
    expect(seen.reads).toBe(2);
  });

  it('reads it each time where anything is under way', async () => {
    const { server, seen } = aServer();
    for (let looks = 0; looks < 3; looks += 1) await server.look();
    expect(seen.reads).toBe(3);
  });

  it('reads it when the postmaster that it knows is gone', async () => {
    const { server, seen } = aServer();
    seen.postmaster = { ...own, startTicks: own.startTicks - 1 };
    await server.look(true);
    seen.postmaster = null;
    expect((await server.look(true)).postgres.kind).toBe('stopped');
    expect(seen.reads).toBe(2);
  });

  it.each<[string, Observation]>([
    ['is in recovery now', { ...primary, inRecovery: true } as Observation],
    ['is on another timeline', { ...primary, timeline: 4 } as Observation],
    ['does not answer', { kind: 'unreachable', reason: 'no answer in time' }],
    ['starts up', { kind: 'starting-up', message: 'not yet' }],
  ])('reads it when the server %s, and does not ask it twice', async (_what, observation) => {
    const { server, seen } = aServer();
    await server.look(true);
    seen.observation = observation;
    await server.look(true);
    expect([seen.reads, seen.observed]).toEqual([2, 2]);
  });

  it('reads it after anything that may have opened the server, and is no proof of before', async () => {
    const { server, seen } = aServer();
    await server.look(true);
    await server.opens(async () => undefined);
    await server.look(true);
    expect(seen.reads).toBe(2);
  });

  it('reads it when that postmaster has been shut down', async () => {
    const { server } = aServer();
    await server.look(true);
    server.nowShutDown(own);
    expect((await server.look(true)).postgres.kind).toBe('stopped');
  });
});
