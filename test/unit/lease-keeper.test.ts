import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LeaseKeeper, type LeaseView } from '../../agent/lease-keeper.ts';
import {
  checkLeaseTimes,
  fenceBudget,
  type Hold,
  holdStage,
  maySeal,
  renewed,
  sealAfterMs,
  watched,
} from '../../core/lease/lease-clock.ts';
import { acquire, adopt, createLease, fence, release } from '../../core/lease/lease-write.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { aLease, aPosition, aRecord } from '../support/host-states.ts';
import { createMemoryStore, createMemoryTable, type MemoryTable } from '../support/memory-store.ts';
import { type Line, type LineCall, slowStore } from '../support/slow-store.ts';

const me = { node: 'node1', incarnation: 'i1' };
const ttlMs = 2_000;
const heartbeatMs = 500;
const held = aLease({ ttlMs, seq: 10 });
const record = aRecord({ spec: { ...aRecord().spec, ttlMs, heartbeatMs } });

const now = (): number => Date.now();
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

interface Bench {
  readonly keeper: LeaseKeeper;
  readonly table: MemoryTable;
  readonly calls: LineCall[];
  /** What the guard was told, in order. */
  readonly guard: (Hold | null)[];
  readonly changes: () => number;
  line: (call: LineCall) => Line;
}

function bench(lease: Lease | null = held, writer = me): Bench {
  const table = createMemoryTable();
  table.record = record;
  table.lease = lease;
  const guard: (Hold | null)[] = [];
  let changes = 0;
  const made: Bench = {
    table,
    guard,
    changes: () => changes,
    line: () => ({}),
    calls: [],
    keeper: undefined as unknown as LeaseKeeper,
  };
  const { store, calls } = slowStore(createMemoryStore({ table }), (call) => made.line(call), now);
  const keeper = new LeaseKeeper({
    store,
    writer,
    now,
    renewalChange: () => ({}),
    onHold: (hold) => guard.push(hold),
    onBaton: () => undefined,
    onChange: () => {
      changes += 1;
    },
    log: () => undefined,
  });
  return Object.assign(made, { keeper, calls });
}

/** A keeper that holds the lease, its last renewal sent at this instant. */
async function holder(): Promise<Bench> {
  const made = bench();
  made.keeper.start();
  await pass(0);
  await pass(heartbeatMs);
  expect(made.keeper.view().holdStage).toBe('valid');
  return made;
}

const renewals = (calls: readonly LineCall[]): readonly LineCall[] =>
  calls.filter(({ kind }) => kind === 'renew');
const stage = (made: Bench): LeaseView['holdStage'] => made.keeper.view().holdStage;
const releaseNow = (lease: Lease) =>
  release(lease, me, { operation: 'op', successor: 'node2', releasedAtLsn: aPosition });
const takenBy = (node: string, lease: Lease): Lease => ({
  ...lease,
  holder: node,
  incarnation: `of ${node}`,
  epoch: lease.epoch + 1,
  seq: lease.seq + 2,
});

describe('the holder', () => {
  it('counts its deadline from before a renewal is sent', async () => {
    const made = bench();
    made.line = ({ kind }) => (kind === 'renew' ? { requestMs: 100, answerMs: 150 } : {});
    made.keeper.start();
    await pass(0);
    await pass(heartbeatMs);
    const sentAtMs = now();
    await pass(249);
    expect(made.guard).toEqual([]);
    await pass(2);
    expect(made.guard).toEqual([{ epoch: 1, sentAtMs, ttlMs }]);
    expect(stage(made)).toBe('valid');
  });

  it('gains nothing from a renewal that lands and is never answered, and walks through the stages on time', async () => {
    const made = await holder();
    const sentAtMs = now();
    made.line = () => ({ lost: 'answer' });
    const budget = fenceBudget(ttlMs);
    const seen: [number, string][] = [];
    for (let atMs = 0; atMs <= ttlMs; atMs += 10) {
      if (seen.at(-1)?.[1] !== stage(made)) seen.push([now() - sentAtMs, stage(made)]);
      await pass(10);
    }
    expect(seen).toEqual([
      [0, 'valid'],
      [budget.unreadyAfterMs, 'unready'],
      [budget.quitAfterMs, 'quit'],
      [budget.killAfterMs, 'kill'],
      [budget.deadlineAfterMs, 'expired'],
    ]);
    expect(made.table.lease?.seq).toBeGreaterThan(held.seq + 1);
    expect(made.guard.every((hold) => hold !== null && hold.sentAtMs <= sentAtMs)).toBe(true);
  });

  it('says when each stage begins although every call hangs', async () => {
    const made = await holder();
    made.line = () => ({ lost: 'request', requestMs: 60_000 });
    const { unreadyAfterMs, killAfterMs } = fenceBudget(ttlMs);
    let metAtMs = 0;
    const sentAtMs = now();
    void made.keeper
      .until(() => stage(made) === 'kill', 10_000)
      .then(() => {
        metAtMs = now();
      });
    await pass(unreadyAfterMs - 1);
    const before = made.changes();
    await pass(3);
    expect(made.changes()).toBeGreaterThan(before);
    await pass(ttlMs);
    expect(metAtMs - sentAtMs).toBeGreaterThanOrEqual(killAfterMs);
    expect(metAtMs - sentAtMs).toBeLessThanOrEqual(killAfterMs + 2);
  });

  it('tries again at once after a failure, until its deadline', async () => {
    const made = await holder();
    made.line = () => ({ lost: 'request' });
    const sentAtMs = now();
    await pass(ttlMs);
    const sent = renewals(made.calls).filter(({ atMs }) => atMs > sentAtMs);
    const first = sent[0]?.atMs ?? 0;
    expect(first - sentAtMs).toBe(heartbeatMs);
    const timeoutMs = fenceBudget(ttlMs).attemptTimeoutMs;
    expect(sent.map(({ atMs }) => atMs - first)).toContain(timeoutMs + 20);
    const late = sent.filter(({ atMs }) => atMs - sentAtMs > fenceBudget(ttlMs).unreadyAfterMs);
    expect(late.length).toBeGreaterThanOrEqual(3);
    made.line = () => ({});
    await pass(heartbeatMs);
    expect(stage(made)).toBe('valid');
  });

  it('reads when a renewal is refused, knows the lease is lost, and leaves the guard armed until PostgreSQL is down', async () => {
    const made = await holder();
    const armed = made.guard.at(-1);
    made.table.lease = { ...held, state: 'sealed', seq: held.seq + 5 };
    made.line = ({ name }) => (name === 'readHead' ? { answerMs: 20 } : {});
    await pass(heartbeatMs + 50);
    expect(made.keeper.isHolder()).toBe(false);
    expect(stage(made)).toBe('none');
    expect(made.guard.at(-1)).toBe(armed);
    made.keeper.tellGuard();
    expect(made.guard.at(-1)).toBe(armed);
    made.keeper.notWritable();
    expect(made.guard.at(-1)).toBeNull();
    const told = made.guard.length;
    made.keeper.notWritable();
    expect(made.guard.length).toBe(told);
  });

  it('does not disarm the guard by notWritable while it holds the lease', async () => {
    const made = await holder();
    made.keeper.notWritable();
    expect(made.guard.at(-1)).not.toBeNull();
  });

  it('keeps its deadline when a renewal is refused and the read after it fails, and reads again', async () => {
    const made = await holder();
    made.table.lease = takenBy('node2', held);
    made.line = ({ name }) => (name === 'readHead' ? { lost: 'request' } : {});
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs - 1);
    expect(stage(made)).toBe('valid');
    made.line = () => ({});
    await pass(20);
    expect(made.keeper.isHolder()).toBe(false);
  });

  it('does not repeat a renewal of a lease that it has lost meanwhile', async () => {
    const made = await holder();
    made.line = ({ kind }) => (kind === 'renew' ? { lost: 'request' } : {});
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 1);
    made.table.lease = takenBy('node2', held);
    made.keeper.readNow();
    await pass(1);
    expect(made.keeper.isHolder()).toBe(false);
    const sent = renewals(made.calls).length;
    await pass(heartbeatMs * 3);
    expect(renewals(made.calls)).toHaveLength(sent);
  });

  it('outlives a store that throws', async () => {
    const made = await holder();
    made.line = () => ({ throws: true });
    await pass(heartbeatMs * 2);
    made.line = () => ({});
    await pass(heartbeatMs);
    expect(stage(made)).toBe('valid');
  });

  it('after a gap in its own time has an expired lease until a renewal is answered', async () => {
    const made = await holder();
    made.line = () => ({ answerMs: 50 });
    vi.setSystemTime(now() + 60_000);
    expect(stage(made)).toBe('expired');
    await pass(heartbeatMs + 60);
    expect(stage(made)).toBe('valid');
  });
});

describe('a write whose answer is lost', () => {
  const free = aLease({
    ttlMs,
    seq: 20,
    holder: 'node2',
    incarnation: 'i2',
    state: 'released',
    successor: 'node1',
    operation: 'op',
  });
  const take = (lease: Lease) =>
    acquire(lease, me, 'op', { ttlMs, members: lease.members, sync: asynchronous });

  it('is recognised for an acquire, which holds from before it was sent', async () => {
    const made = bench(free);
    made.keeper.start();
    await pass(0);
    const sentAtMs = now();
    made.line = ({ kind }) => (kind === 'acquire' ? { lost: 'answer' } : {});
    const outcome = made.keeper.write(take(free), 300);
    await pass(310);
    expect(await outcome).toMatchObject({ kind: 'done', lease: { epoch: 2, holder: 'node1' } });
    expect(made.guard).toContainEqual({ epoch: 2, sentAtMs, ttlMs });
    expect(stage(made)).toBe('valid');
  });

  it.each(['create', 'adopt'] as const)('is recognised for a %s', async (kind) => {
    const made = bench(kind === 'create' ? null : { ...held, incarnation: 'i0' });
    made.keeper.start();
    await pass(0);
    made.line = (call) => (call.kind === kind ? { lost: 'answer' } : {});
    const write =
      kind === 'create'
        ? createLease(me, { ttlMs, timeline: 1, members: ['node1'] })
        : adopt({ ...held, incarnation: 'i0' }, me);
    const outcome = made.keeper.write(write, 300);
    await pass(310);
    expect(await outcome).toMatchObject({ kind: 'done' });
    expect(stage(made)).toBe('valid');
  });

  it('is not taken for done when another was quicker', async () => {
    const made = bench(free);
    made.keeper.start();
    await pass(0);
    made.table.lease = { ...takenBy('node3', free), incarnation: 'i3' };
    expect(await made.keeper.write(take(free))).toEqual({ kind: 'refused' });
    expect(made.keeper.isHolder()).toBe(false);
    expect(stage(made)).toBe('none');
  });

  it('is recognised for a release', async () => {
    const made = await holder();
    made.line = ({ kind }) => (kind === 'release' ? { lost: 'answer' } : {});
    const outcome = made.keeper.write(releaseNow(made.table.lease as Lease), 300);
    await pass(310);
    expect(await outcome).toMatchObject({ kind: 'done', lease: { state: 'released' } });
    expect(made.guard.at(-1)).toBeNull();
  });

  it('is recognised for a release when the successor has acquired meanwhile', async () => {
    const made = await holder();
    made.line = ({ kind }) => (kind === 'release' ? { lost: 'answer' } : {});
    const outcome = made.keeper.write(releaseNow(made.table.lease as Lease), 300);
    await pass(10);
    expect(made.table.lease?.state).toBe('released');
    made.table.lease = { ...takenBy('node2', made.table.lease as Lease), state: 'held' };
    await pass(300);
    expect(await outcome).toMatchObject({ kind: 'done', lease: { holder: 'node2', epoch: 2 } });
  });
});

describe('a release that may still land', () => {
  const sendRelease = async (made: Bench): Promise<void> => {
    made.line = ({ kind }) => (kind === 'release' ? { requestMs: 350 } : {});
    const outcome = made.keeper.write(releaseNow(made.table.lease as Lease), 300);
    await pass(301);
    expect((await outcome).kind).toBe('uncertain');
  };

  it('leaves the lease unproven although it reads as held', async () => {
    const made = await holder();
    await sendRelease(made);
    expect(made.keeper.isHolder()).toBe(true);
    expect(stage(made)).toBe('none');
    expect(made.guard.at(-1)).toBeNull();
    await pass(60);
    expect(made.table.lease?.state).toBe('released');
    await pass(heartbeatMs);
    expect(stage(made)).toBe('none');
  });

  it('can land no more once a renewal sent after it was answered, and then the lease is proven again', async () => {
    const made = await holder();
    made.line = ({ kind }) => (kind === 'release' ? { requestMs: 800 } : {});
    const outcome = made.keeper.write(releaseNow(made.table.lease as Lease), 300);
    await pass(301);
    expect((await outcome).kind).toBe('uncertain');
    expect(stage(made)).toBe('none');
    await pass(200);
    expect(stage(made)).toBe('valid');
    await pass(1_000);
    expect(made.table.lease).toMatchObject({ state: 'held', holder: 'node1' });
  });

  it('is not made up for by a renewal that was sent before it and answered after it', async () => {
    const made = await holder();
    made.line = ({ kind }) => {
      if (kind === 'renew') return { answerMs: 200 };
      return kind === 'release' ? { requestMs: 400 } : {};
    };
    await pass(heartbeatMs - 1);
    await pass(1);
    const outcome = made.keeper.write(releaseNow(made.table.lease as Lease), 300);
    await pass(250);
    expect(stage(made)).toBe('none');
    expect(made.guard.at(-1)).toBeNull();
    await pass(60);
    expect((await outcome).kind).toBe('uncertain');
  });
});

describe('what is known of the lease', () => {
  it('is read every heartbeat, and at least every 100 ms once it is suspicious, silent or free', async () => {
    const made = bench(aLease({ holder: 'node2', ttlMs }));
    const renewing = setInterval(() => {
      made.table.lease = { ...(made.table.lease as Lease), seq: (made.table.lease?.seq ?? 0) + 1 };
    }, heartbeatMs);
    made.keeper.start();
    const reads = async (ms: number): Promise<number> => {
      const before = made.calls.length;
      await pass(ms);
      return made.calls.slice(before).filter(({ name }) => name === 'readHead').length;
    };
    await pass(heartbeatMs);
    expect(await reads(2_000)).toBeLessThanOrEqual(5);
    made.keeper.setSuspicious(true);
    expect(await reads(1_000)).toBeGreaterThanOrEqual(10);
    made.keeper.setSuspicious(false);
    await pass(heartbeatMs);
    expect(await reads(2_000)).toBeLessThanOrEqual(6);
    clearInterval(renewing);
    await pass(2 * heartbeatMs);
    expect(await reads(1_000)).toBeGreaterThanOrEqual(9);
  });

  it('ignores an answer that was overtaken, also one that there is no lease', async () => {
    const made = bench(null);
    made.line = ({ name }) => (name === 'readHead' ? { answerMs: 100 } : {});
    made.keeper.start();
    await pass(10);
    const created = made.keeper.write(createLease(me, { ttlMs, timeline: 1, members: ['node1'] }));
    await pass(10);
    expect((await created).kind).toBe('done');
    await pass(85);
    expect(made.keeper.isHolder()).toBe(true);
    expect(stage(made)).toBe('valid');
  });

  it('sees that the table went back, or lost its lease', async () => {
    const made = bench(aLease({ holder: 'node2', epoch: 4, seq: 90 }));
    made.keeper.start();
    await pass(0);
    made.table.lease = aLease({ holder: 'node3', epoch: 3, seq: 60 });
    await pass(heartbeatMs + 1);
    expect(made.keeper.view().watch.lease).toMatchObject({ epoch: 3, holder: 'node3' });
    made.table.lease = null;
    await pass(heartbeatMs + 1);
    expect(made.keeper.view().watch.lease).toBeNull();
  });

  it('wakes who waits for it, and not before', async () => {
    const made = bench(aLease({ holder: 'node2', seq: 5 }));
    made.keeper.start();
    await pass(0);
    let met: boolean | null = null;
    void made.keeper
      .until(() => made.keeper.view().watch.lease?.seq === 6, 10_000)
      .then((value) => {
        met = value;
      });
    await pass(heartbeatMs);
    expect(met).toBeNull();
    made.table.lease = aLease({ holder: 'node2', seq: 6 });
    made.keeper.readNow();
    await pass(0);
    expect(met).toBe(true);
  });

  it('ends a wait when its time is over, and every wait when the agent stops', async () => {
    const made = bench();
    made.keeper.start();
    const outcomes: boolean[] = [];
    void made.keeper.until(() => false, 50).then((met) => outcomes.push(met));
    await pass(51);
    expect(outcomes).toEqual([false]);
    void made.keeper.until(() => false, 60_000).then((met) => outcomes.push(met));
    made.keeper.stop();
    await pass(0);
    void made.keeper.until(() => false, 60_000).then((met) => outcomes.push(met));
    await pass(0);
    expect(outcomes).toEqual([false, false, false]);
  });
});

it('does nothing any more once it is stopped, also with a renewal in flight and one about to be repeated', async () => {
  for (const line of [{ answerMs: 100 }, { lost: 'request' }] as const) {
    const made = await holder();
    made.line = () => line;
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 5);
    made.keeper.stop();
    const [calls, told, changes] = [made.calls.length, made.guard.length, made.changes()];
    await pass(10_000);
    expect([made.calls.length, made.guard.length, made.changes()]).toEqual([calls, told, changes]);
  }
});

describe('the clock of the lease', () => {
  it('never goes back to an older renewal or an older epoch', () => {
    const hold = { epoch: 3, sentAtMs: 100, ttlMs };
    expect(renewed(hold, 3, 90, ttlMs)).toBe(hold);
    expect(renewed(hold, 2, 500, ttlMs)).toBe(hold);
    expect(renewed(hold, 3, 110, ttlMs)).toEqual({ epoch: 3, sentAtMs: 110, ttlMs });
    expect(renewed(hold, 4, 90, ttlMs)).toEqual({ epoch: 4, sentAtMs: 90, ttlMs });
  });

  it('has the stages in order, each within the ttl, at the limits to the millisecond', () => {
    for (const ms of [2_000, 5_000, 30_000]) {
      const budget = fenceBudget(ms);
      const order = [
        budget.attemptTimeoutMs,
        budget.unreadyAfterMs,
        budget.quitAfterMs,
        budget.killAfterMs,
        budget.guardKillAfterMs,
        budget.deadlineAfterMs,
      ];
      expect(order).toEqual([...order].sort((a, b) => a - b));
      expect(budget.deadlineAfterMs - budget.guardKillAfterMs).toBeGreaterThanOrEqual(300);
      const hold = { epoch: 1, sentAtMs: 0, ttlMs: ms };
      expect(holdStage(hold, budget.unreadyAfterMs - 1)).toBe('valid');
      expect(holdStage(hold, budget.unreadyAfterMs)).toBe('unready');
      expect(holdStage(hold, budget.deadlineAfterMs)).toBe('expired');
    }
    expect(checkLeaseTimes({ heartbeatMs: 500, ttlMs: 1_299 })).toMatch(/at least/);
    expect(checkLeaseTimes({ heartbeatMs: 500, ttlMs: 1_300 })).toBeNull();
  });

  it('lets a watcher seal only after more than the ttl of its holder, whatever the clocks do within 1 %', () => {
    const watch = { lease: aLease({ ttlMs }), sinceMs: 0 };
    expect(sealAfterMs(ttlMs)).toBeGreaterThan(ttlMs * 1.02 + 20);
    expect(maySeal(watch, 'node2', sealAfterMs(ttlMs) - 1)).toBe(false);
    expect(maySeal(watch, 'node2', sealAfterMs(ttlMs))).toBe(true);
  });

  it('starts anew at every change, and at none of an older answer', () => {
    const watch = { lease: aLease({ seq: 5 }), sinceMs: 100 };
    expect(watched(watch, aLease({ seq: 5 }), 200)).toBe(watch);
    expect(watched(watch, aLease({ seq: 4 }), 200)).toBe(watch);
    expect(watched(watch, aLease({ seq: 6 }), 200).sinceMs).toBe(200);
    expect(watched(watch, aLease({ seq: 5, state: 'sealed' }), 200).sinceMs).toBe(200);
  });
});

it('a fence voids the hand-over that the old holder had announced, and leaves a successor that was named after a seal', () => {
  expect(fence(aLease({ operation: 'op', successor: 'node2' })).set).toMatchObject({
    operation: null,
    successor: null,
  });
  expect(fence(aLease({ state: 'sealed', operation: 'op', successor: 'node2' })).set).not.toHaveProperty(
    'successor',
  );
});
