/**
 * What may take the target of a hand-over long, the proof of its synchronous names, is done while clients are still served: the old primary
 * does not begin before the target has said that it is prepared.
 */
import { expect, it } from 'vitest';
import type { ActionContext } from '../../agent/action-runner.ts';
import { stopAndRelease } from '../../agent/database/hand-over.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { acquireAndPromote } from '../../agent/database/take-over.ts';
import type { Action } from '../../core/model/operation.ts';
import { aLease, aRecord } from '../support/host-states.ts';
import { sampleAction } from '../support/samples.ts';

type Mode = 'off' | 'on' | 'strict';

const operation = 'o';
const target: Action = {
  ...sampleAction,
  ...{ operation, action: 'acquire-and-promote@node2#1', node: 'node2', verb: 'acquire-and-promote' },
  ...{ status: 'claimed', claimedBy: 'i2', result: null, epoch: aLease().epoch },
};
const stop: Action = {
  ...sampleAction,
  ...{ operation, action: 'stop-and-release@node1#1', node: 'node1', verb: 'stop-and-release' },
  ...{ epoch: aLease().epoch, args: { node: 'node2', proxies: [], armed: [target.action] } },
};

const recordOf = (mode: Mode) => {
  const record = aRecord({ operation: { id: operation, kind: 'switchover', executionArn: null } });
  return { ...record, spec: { ...record.spec, sync: { mode, method: 'any' as const, k: 1 } } };
};

/** A clock that each wait moves on; what is done is noted. */
function bench(mode: Mode, lease = aLease()) {
  const done: string[] = [];
  let nowMs = 0;
  let record = recordOf(mode);
  const keeper = {
    isHolder: () => true,
    view: () => ({ record, watch: { lease, sinceMs: 0 }, heldBack: null }),
    until: async (met: () => boolean, limitMs: number) => {
      if (!met()) nowMs += Math.max(1, limitMs);
      return met();
    },
  };
  const run: ActionContext = {
    say: () => undefined,
    signal: new AbortController().signal,
    onlyWatches: () => undefined,
    prepared: async () => void done.push(`prepared at ${nowMs}`),
  };
  const over = () => {
    record = { ...record, operation: null };
  };
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { done, keeper, run, over, now: () => nowMs, pass };
}

interface OldServer {
  /** The target streams until then. */
  readonly streamsUntilMs?: number;
  /** It ends a checkpoint; without one the test ends there. */
  readonly answersAsPrimary?: boolean;
}

/** How far the old primary comes: the checkpoint is the first thing that it does once all is armed. */
async function oldPrimary(mode: Mode, seen: Partial<Action>, server: OldServer = {}) {
  const { streamsUntilMs = Number.POSITIVE_INFINITY, answersAsPrimary } = server;
  const { done, keeper, run, now } = bench(mode);
  const context = {
    ...{ keeper, now, writer: { node: 'node1', incarnation: 'i1' } },
    store: { readOperation: async () => ({ kind: 'ok', value: { actions: [{ ...target, ...seen }] } }) },
    server: {
      last: () => ({
        observation: {
          replication: now() < streamsUntilMs ? [{ applicationName: 'node2', state: 'streaming' }] : [],
        },
      }),
      answersAsPrimary: async () => answersAsPrimary,
      node: {
        checkpoint: async () => {
          done.push('begins');
          if (answersAsPrimary === undefined) throw new Error('far enough');
        },
      },
    },
  } as unknown as HostContext;
  const outcome = await stopAndRelease(context, stop, run).catch(() => null);
  return { done, error: outcome?.error ?? null, tookMs: now() };
}

it.each<Mode>(['on', 'strict'])(
  'in mode %s the old primary goes on serving until the target is prepared',
  async (mode) => {
    expect(await oldPrimary(mode, { prepared: true })).toEqual({ done: ['begins'], error: null, tookMs: 0 });
    for (const seen of [{}, { prepared: false }, { prepared: true, claimedBy: null }])
      expect(await oldPrimary(mode, seen)).toMatchObject({ done: [], error: 'not-armed' });
  },
);

it('without synchronous replication it waits for the claim alone', async () => {
  expect(await oldPrimary('off', {})).toEqual({ done: ['begins'], error: null, tookMs: 0 });
  expect(await oldPrimary('off', { claimedBy: null })).toMatchObject({ done: [], error: 'not-armed' });
});

it('a target that streams no more is not waited for to the end, one whose receiver starts anew is', async () => {
  const unclaimed = { claimedBy: null };
  const gone = await oldPrimary('strict', unclaimed, { streamsUntilMs: 500 });
  expect(gone).toMatchObject({ done: [], error: 'not-armed' });
  expect(gone.tookMs).toBeGreaterThanOrEqual(2_400);
  expect(gone.tookMs).toBeLessThan(3_000);
  expect((await oldPrimary('strict', unclaimed)).tookMs).toBeGreaterThanOrEqual(10_000);
});

it('a server that recovers from a crash is not stopped: nothing is announced, and no client waits', async () => {
  const outcome = await oldPrimary('off', {}, { answersAsPrimary: false });
  expect(outcome).toEqual({ done: ['begins'], error: 'not-serving', tookMs: 0 });
});

it.each([
  ['the proxies cannot be read', 'readProxies'],
  ['the stop breaks off', 'stopFast'],
])(
  'is called off when %s: clients wait no longer, and the announcement is withdrawn',
  async (_, breaking) => {
    const { done, keeper, run, now } = bench('off');
    const breaks = (what: string, answer: object) => async () => {
      if (what === breaking) throw new Error('a bug');
      return answer;
    };
    const context = {
      ...{ now, writer: { node: 'node1', incarnation: 'i1' } },
      keeper: {
        ...keeper,
        write: async ({ kind }: { kind: string }) => {
          done.push(kind);
          return { kind: 'done' };
        },
      },
      store: {
        readOperation: async () => ({ kind: 'ok', value: { actions: [target] } }),
        readProxies: breaks('readProxies', {
          kind: 'ok',
          value: [{ proxy: 'proxy1', paused: true, pausedFor: operation }],
        }),
      },
      clientsWait: (wait: boolean) => done.push(`clients wait: ${wait}`),
      setHandingOver: (handing: boolean) => done.push(`hands over: ${handing}`),
      server: {
        last: () => null,
        answersAsPrimary: async () => true,
        node: {
          checkpoint: async () => undefined,
          findPostmaster: async () => null,
          stopFast: breaks('stopFast', {}),
        },
      },
    } as unknown as HostContext;
    const action = { ...stop, args: { ...stop.args, proxies: ['proxy1'] } };
    await expect(stopAndRelease(context, action, run)).rejects.toThrow('a bug');
    expect(done.slice(0, 2)).toEqual(['announce', 'clients wait: true']);
    expect(done.slice(-3)).toEqual(['hands over: false', 'clients wait: false', 'withdraw']);
  },
);

/** The target, until it waits for the lease; `failures`: so often the names cannot be had. */
async function targetOf(mode: Mode, failures: number, { tookMs = 0, lease = aLease() } = {}) {
  const { done, keeper, run, over, now, pass } = bench(mode, lease);
  let left = failures;
  const context = {
    ...{ keeper, now, config: { node: 'node2' } },
    names: {
      prepare: async () => {
        pass(tookMs);
        left -= 1;
        return left >= 0 ? 'a checkpoint takes too long' : { method: 'any', k: 1, names: ['node1'] };
      },
    },
    clientsWait: () => undefined,
    journal: { tryBegin: async () => null },
    server: {
      last: () => ({ observation: { timeline: 1_000 } }),
      node: {
        expectsPromotion: () => true,
        expectPromotion: async () => {
          done.push(`waits for the lease at ${now()}`);
          over();
        },
      },
    },
  } as unknown as HostContext;
  await acquireAndPromote(context, { ...target, timeoutMs: 100 }, run);
  return done.slice(0, 2);
}

it('the target says that it is prepared once its names are in force, and not before', async () => {
  expect(await targetOf('on', 0)).toEqual(['prepared at 0', 'waits for the lease at 0']);
  expect(await targetOf('strict', 3)).toEqual(['prepared at 750', 'waits for the lease at 750']);
});

it('a target that cannot prove its names in time never says that it is prepared', async () => {
  const done = await targetOf('on', 1_000, { tookMs: 1_000 });
  expect(done[0]).toMatch(/^waits for the lease at/);
  expect(done.join()).not.toContain('prepared');
});

it('where the lease is free already nobody waits for a mark, and none is made', async () => {
  const lease = aLease({ state: 'sealed' });
  expect((await targetOf('on', 0, { lease }))[0]).toBe('waits for the lease at 0');
  expect((await targetOf('on', 1, { lease }))[0]).toBe('waits for the lease at 0');
});

it('without synchronous replication the target waits for nothing and writes nothing', async () => {
  expect((await targetOf('off', 0))[0]).toBe('waits for the lease at 0');
  expect((await targetOf('off', 1_000))[0]).toBe('waits for the lease at 0');
});
