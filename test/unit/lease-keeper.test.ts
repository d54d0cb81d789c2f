// The agent's side of the lease over a line that is slow, cut or out of order: deadlines, stages, loss, reading, waiting, stopping (L3).

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loopGapMs } from '../../agent/loop-watch.ts';
import { fenceBudget } from '../../core/lease/lease-clock.ts';
import { createLease } from '../../core/lease/lease-write.ts';
import type { Lease } from '../../core/model/lease.ts';
import { aLease } from '../support/host-states.ts';
import {
  bench,
  heartbeatMs,
  held,
  holder,
  me,
  now,
  pass,
  renewals,
  stage,
  takenBy,
  ttlMs,
} from '../support/lease-keeper-bench.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
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

  it('that lets its lease lapse sends no renewal any more, and the stages come on time', async () => {
    const made = await holder();
    const sent = renewals(made.calls).length;
    made.lapses = true;
    await pass(fenceBudget(ttlMs).killAfterMs + 10);
    expect(renewals(made.calls).length).toBe(sent);
    expect(stage(made)).toBe('kill');
    await pass(ttlMs);
    expect(stage(made)).toBe('expired');
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

describe('after a gap in its own loop', () => {
  /** The host's clock goes on while nothing runs: as a suspended host, or a stopped process, finds it. */
  const standStill = (ms: number): void => {
    vi.setSystemTime(now() + ms);
  };

  it('the lease counts as not proven until a renewal sent since is acknowledged', async () => {
    const made = await holder();
    let answerMs = 0;
    made.line = ({ kind }) => (kind === 'renew' ? { answerMs } : {});
    await pass(heartbeatMs - 10);
    answerMs = 40;
    const before = renewals(made.calls).length;
    standStill(heartbeatMs + 20);
    // Old enough to be valid still, were it not for the gap.
    expect(now() - (made.guard.at(-1)?.sentAtMs ?? 0)).toBeLessThan(fenceBudget(ttlMs).unreadyAfterMs);
    expect(stage(made)).toBe('unready');
    expect(renewals(made.calls).length).toBe(before + 1);
    await pass(30);
    expect(stage(made)).toBe('unready');
    await pass(20);
    expect(stage(made)).toBe('valid');
  });

  it('a renewal that was sent before it proves nothing, although it is answered after it', async () => {
    const made = await holder();
    made.line = ({ kind }) => (kind === 'renew' ? { answerMs: 200 } : {});
    await pass(heartbeatMs);
    const sentAtMs = now();
    const sentBefore = renewals(made.calls).length;
    made.line = ({ kind }) => (kind === 'renew' ? { lost: 'request' } : {});
    await pass(90);
    standStill(2 * heartbeatMs - 70);
    stage(made);
    await pass(115);
    // It was answered, and would be young enough.
    expect(now() - sentAtMs).toBeLessThan(fenceBudget(ttlMs).unreadyAfterMs);
    expect(renewals(made.calls).length).toBeGreaterThan(sentBefore);
    expect(stage(made)).not.toBe('valid');
  });

  it('says how long it was', async () => {
    const made = await holder();
    standStill(heartbeatMs + 1_000);
    stage(made);
    expect(made.logged).toEqual([['loop gap', { ms: 1_000, holder: true }]]);
    await pass(heartbeatMs);
    expect(made.logged).toHaveLength(1);
  });

  it('a beat that is late by less than a heartbeat is no gap', async () => {
    const made = await holder();
    standStill(2 * heartbeatMs);
    expect(stage(made)).toBe('valid');
    expect(made.logged).toEqual([]);
  });

  it.each([
    [2_000, 500, 500],
    [5_000, 1_000, 1_000],
    [2_000, 850, 350],
    [30_000, 10_000, 8_000],
  ])('with a ttl of %i ms and a heartbeat of %i ms a gap begins at %i ms', (ttl, heartbeat, gapMs) => {
    expect(loopGapMs({ ttlMs: ttl, heartbeatMs: heartbeat })).toBe(gapMs);
  });
});
