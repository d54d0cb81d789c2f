// A write whose answer is lost is recognised; a release that may still land proves nothing any more (L2, L3).

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { acquire, adopt, createLease, release } from '../../core/lease/lease-write.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { aLease, aPosition } from '../support/host-states.ts';
import {
  type Bench,
  bench,
  heartbeatMs,
  held,
  holder,
  me,
  now,
  pass,
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

const releaseNow = (lease: Lease) =>
  release(lease, me, { operation: 'op', successor: 'node2', releasedAtLsn: aPosition });

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

  it('is recognised for an acquire, which holds only from a renewal that follows', async () => {
    const made = bench(free);
    made.keeper.start();
    await pass(0);
    const sentAtMs = now();
    made.line = ({ kind }) => (kind === 'acquire' ? { lost: 'answer' } : {});
    const outcome = made.keeper.write(take(free), 300);
    await pass(310);
    expect(await outcome).toMatchObject({ kind: 'done', lease: { epoch: 2, holder: 'node1' } });
    // Which attempt landed is not known: the deadline may not count from the one that was just recognised.
    expect(made.guard).not.toContainEqual({ epoch: 2, sentAtMs, ttlMs });
    expect(made.guard.at(-1)).toMatchObject({ epoch: 2, sentAtMs: expect.any(Number) });
    expect(made.guard.at(-1)?.sentAtMs).toBeGreaterThanOrEqual(sentAtMs + 300);
    expect(stage(made)).toBe('valid');
  });

  it('proves nothing by itself: without a renewal after it the lease does not count as held', async () => {
    const made = bench(free);
    made.keeper.start();
    await pass(0);
    made.line = ({ kind }) =>
      kind === 'acquire' ? { lost: 'answer' } : kind === 'renew' ? { lost: 'request' } : {};
    const outcome = made.keeper.write(take(free), 300);
    await pass(1_000);
    expect(await outcome).toMatchObject({ kind: 'done' });
    expect(stage(made)).toBe('none');
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
