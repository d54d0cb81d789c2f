/** A host that ends decides nothing more, also in a round that was under way; what it waits for is that round. One that lives does not hurry. */
import { expect, it } from 'vitest';
import type { ActionRunner } from '../../agent/action-runner.ts';
import { DatabaseHost } from '../../agent/database/database-host.ts';
import { sameOrderAgainMs } from '../../agent/database/order-pace.ts';
import type { OrderContext } from '../../agent/database/orders.ts';
import type { Look } from '../../agent/database/server.ts';
import type { HostState } from '../../core/host/host-state.ts';
import { startWatch } from '../../core/lease/lease-clock.ts';
import { aLease, aPosition, aStandby, ownSystem } from '../support/host-states.ts';

const stopped: Look = {
  postgres: { kind: 'stopped' },
  observation: null,
  postmaster: null,
  control: null,
  dataDirectory: 'absent',
  standbySignal: false,
};

interface Bench {
  /** What the loop finds; left out: a host that knows nothing that a report needs. */
  readonly state?: HostState;
  readonly start?: () => void;
  /** The verb of the action that is under way. */
  readonly running?: 'acquire-and-promote' | 'follow' | null;
  /** What the look before found. */
  readonly last?: Look | null;
  /** Work that may open PostgreSQL is under way. */
  readonly opens?: boolean;
}

/** A host whose look at PostgreSQL ends when it is told to; `begun` are the messages of its log, `clock.ms` is its time. */
function bench({ state, start = () => undefined, running = null, last = null, opens = false }: Bench = {}) {
  const begun: string[] = [];
  const killed: string[] = [];
  const looks: ((look: Look) => void)[] = [];
  const clock = { ms: 0 };
  const node = {
    killAll: async () => {
      killed.push('postgres');
      return { remaining: [], killed: 1, ms: 1 };
    },
    prepareStandby: async () => undefined,
    start: async () => {
      start();
      return { kind: 'failed', reason: 'not here' };
    },
  };
  const context = {
    certificates: { trusted: () => null, isMissing: () => false },
    config: {
      ...{ node: state?.node ?? 'node1', instanceId: 'i-1', tags: {} },
      secrets: { replication: { name: 'replicator' } },
    },
    writer: { node: state?.node ?? 'node1', incarnation: 'i1' },
    keeper: {
      view: () => ({
        headRead: state?.headRead ?? false,
        record: state?.record ?? null,
        watch: state?.watch ?? startWatch(0),
        holdStage: state?.holdStage ?? 'none',
        heldBack: null,
      }),
      isHolder: () => false,
      notWritable: () => undefined,
      setSuspicious: () => undefined,
    },
    server: {
      look: () => new Promise<Look>((resolve) => looks.push(resolve)),
      last: () => last,
      isClosed: () => !opens,
      mayHaveOpened: () => opens,
      followsAs: () => 'replicator',
      following: () => null,
      node,
    },
    disk: { reload: () => undefined, facts: () => state?.disk ?? {}, sawEpoch: () => undefined },
    clients: { warm: () => undefined },
    now: () => clock.ms,
    nodes: () => [],
    nodesEveryMs: () => 0,
    readNodes: async () => undefined,
    directoryRead: () => state !== undefined,
    health: () => state?.health ?? {},
    reportSoon: () => undefined,
    emit: () => undefined,
    log: (_level: string, message: string) => begun.push(message),
  };
  const runner = { running: () => running, poke: () => undefined };
  const host = new DatabaseHost(context as unknown as OrderContext, runner as unknown as ActionRunner);
  return { host, begun, looks, clock, killed };
}

async function looking() {
  const made = bench();
  made.host.begin();
  await expect.poll(() => made.looks).toHaveLength(1);
  return made;
}

it('decides when its look has ended', async () => {
  const { host, begun, looks } = await looking();
  looks[0]?.(stopped);
  await host.settled();
  expect(begun).toContain('decided');
});

it('decides nothing in a round that was under way when it was stopped, and is settled only after it', async () => {
  const { host, begun, looks } = await looking();
  host.stop();
  let settled = false;
  const waiting = host.settled().then(() => {
    settled = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(settled).toBe(false);
  looks[0]?.(stopped);
  await waiting;
  expect(begun).toEqual([]);
});

it('lets an order that failed wait before the same one is carried out again, and no longer', async () => {
  let starts = 0;
  // Nobody holds the lease: a standby is brought up, following nobody.
  const state = aStandby({ lease: aLease({ state: 'sealed' }), postgres: { kind: 'stopped' } });
  const { host, looks, clock } = bench({ state, start: () => (starts += 1) });
  const control = { systemIdentifier: ownSystem, redoLsn: aPosition } as Look['control'];
  const down: Look = { ...stopped, control, dataDirectory: 'present', standbySignal: true };
  const round = async (number: number) => {
    await expect.poll(() => looks).toHaveLength(number);
    looks[number - 1]?.(down);
    await host.settled();
  };
  host.begin();
  await round(1);
  expect(starts).toBe(1);
  await round(2);
  expect(starts).toBe(1);
  clock.ms += sameOrderAgainMs;
  host.reconcile();
  await round(3);
  expect(starts).toBe(2);
});

it('does not look around while clients wait for its hand-over, but when that hangs', async () => {
  const { host, looks, clock } = bench({ running: 'acquire-and-promote' });
  const later = async (ms: number) => {
    clock.ms += ms;
    host.reconcile();
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (const end of looks.splice(0)) {
      end(stopped);
      await host.settled();
      return 1;
    }
    return 0;
  };
  host.begin();
  expect(await later(400)).toBe(1);
  expect(await later(400)).toBe(1);
  host.clientsWait(true);
  expect(await later(1_900)).toBe(0);
  expect(await later(100)).toBe(1);
  host.clientsWait(false);
  expect(await later(400)).toBe(1);
});

it('looks around at once where it has something new to say, whoever waits', async () => {
  const { host, looks, clock } = bench({ running: 'acquire-and-promote' });
  const round = async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (const end of looks.splice(0)) {
      end(stopped);
      await host.settled();
      return 1;
    }
    return 0;
  };
  clock.ms += 400;
  host.begin();
  expect(await round()).toBe(1);
  clock.ms += 100;
  host.reconcile();
  expect(await round()).toBe(0);
  host.reconcileNow();
  expect(await round()).toBe(1);
  host.reconcile();
  expect(await round()).toBe(0);
});

it.each([
  [true, ['postgres']],
  [false, []],
])(
  'is fenced on the last look, as a standby, where that may have been opened since: %s',
  async (opens, what) => {
    const standby = { kind: 'standby', streaming: true, upstream: 'node1' } as const;
    const last: Look = { ...stopped, postgres: standby, dataDirectory: 'present', standbySignal: true };
    const lease = aLease({ holder: 'node2', incarnation: 'i2' });
    const state = aStandby({ lease, holdStage: 'kill', postgres: standby });
    const { host, killed } = bench({ state, last, opens, running: 'acquire-and-promote' });
    host.onLease();
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(killed).toEqual(what);
  },
);

it('goes on looking around in the middle of any other action, whoever waits', async () => {
  const { host, looks, clock } = bench({ running: 'follow' });
  host.clientsWait(true);
  host.begin();
  await expect.poll(() => looks).toHaveLength(1);
  looks[0]?.(stopped);
  await host.settled();
  clock.ms += 1;
  host.reconcile();
  await expect.poll(() => looks).toHaveLength(2);
});
