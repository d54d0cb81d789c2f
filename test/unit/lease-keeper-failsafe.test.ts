// Failsafe mode in the lease keeper: the hold goes on only with the promise of every member, and counts from before they were
// asked (D1); what this node promised, it keeps (D2).

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fenceBudget, sealAfterMs } from '../../core/lease/lease-clock.ts';
import { acquire, release, seal } from '../../core/lease/lease-write.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { aPosition, aRecord } from '../support/host-states.ts';
import {
  type Bench,
  bench,
  heartbeatMs,
  held,
  holder,
  me,
  now,
  pass,
  promise,
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

const away = (made: Bench): void => {
  made.line = () => ({ lost: 'request' });
};
const back = (made: Bench): void => {
  made.line = () => ({});
};
const allPromise: Bench['member'] = async (member, ask) => promise(member, ask);
const delayed = async <T>(ms: number, value: T): Promise<T> => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return value;
};

describe('a holder whose store is away', () => {
  it('stays writable for as long as all members promise', async () => {
    const made = await holder();
    made.member = allPromise;
    away(made);
    for (let waitedMs = 0; waitedMs < 20 * ttlMs; waitedMs += 50) {
      await pass(50);
      expect(stage(made)).toBe('valid');
    }
    expect(made.keeper.view().failsafe).toMatchObject({ active: true, sinceMs: expect.any(Number) });
    expect(new Set(made.asked.map(({ member }) => member))).toEqual(new Set(['node2', 'node3']));
    // The guard has the same deadline.
    expect(made.guard.at(-1)?.sentAtMs).toBeGreaterThan(now() - ttlMs);
  });

  it('asks at the first renewal that fails, and again each heartbeat', async () => {
    const made = await holder();
    made.member = allPromise;
    away(made);
    const { attemptTimeoutMs } = fenceBudget(ttlMs);
    await pass(heartbeatMs + attemptTimeoutMs + 1);
    expect(made.asked).toHaveLength(2);
    await pass(10 * heartbeatMs);
    expect(made.asked.length).toBeGreaterThanOrEqual(2 * 10);
    expect(made.asked.length).toBeLessThanOrEqual(2 * 13);
  });

  it('counts from before the first ask was sent, whenever the answers come', async () => {
    const made = await holder();
    made.member = async (member, ask) => delayed(member === 'node2' ? 10 : 250, promise(member, ask));
    away(made);
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 260);
    const [first] = made.asked;
    expect(made.guard.at(-1)).toEqual({ epoch: held.epoch, sentAtMs: first?.atMs, ttlMs });
  });

  it.each<[string, Bench['member']]>([
    ['is silent', async (member, ask) => (member === 'node3' ? null : promise(member, ask))],
    [
      'refuses',
      async (member, ask) => promise(member, ask, member === 'node3' ? { promised: false, rule: 'x' } : {}),
    ],
    [
      'answers another ask',
      async (member, ask) => promise(member, ask, member === 'node3' ? { nonce: 'old' } : {}),
    ],
    [
      'answers for another incarnation',
      async (member, ask) => promise(member, ask, member === 'node3' ? { incarnation: 'i0' } : {}),
    ],
  ])('keeps its deadline when one of them %s', async (_what, member) => {
    const made = await holder();
    const proven = made.guard.at(-1);
    made.member = member;
    away(made);
    await pass(ttlMs);
    expect(stage(made)).toBe('expired');
    expect(made.guard.at(-1)).toEqual(proven);
    expect(made.keeper.view().failsafe.active).toBe(false);
  });

  it('is fenced in time when a member falls silent later', async () => {
    const made = await holder();
    made.member = allPromise;
    away(made);
    await pass(5 * ttlMs);
    expect(stage(made)).toBe('valid');
    made.member = async (member, ask) => (member === 'node2' ? null : promise(member, ask));
    const silentAtMs = now();
    await pass(ttlMs);
    expect(stage(made)).toBe('expired');
    expect(made.guard.at(-1)?.sentAtMs).toBeLessThanOrEqual(silentAtMs);
    expect(made.failsafe.map(({ active }) => active)).toEqual([true, false]);
  });

  it('asks again soon after a member that did not answer at once', async () => {
    const made = await holder();
    let asks = 0;
    made.member = async (member, ask) => {
      asks += 1;
      return asks <= 2 ? null : promise(member, ask);
    };
    away(made);
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 100);
    expect(made.keeper.view().failsafe.active).toBe(true);
    expect(stage(made)).toBe('valid');
  });

  it('asks no more once its deadline has passed: the members are free to take over', async () => {
    const made = await holder();
    made.member = async (member, ask) => (member === 'node3' ? null : promise(member, ask));
    away(made);
    await pass(ttlMs);
    const asked = made.asked.length;
    made.member = allPromise;
    await pass(3 * ttlMs);
    expect(made.asked).toHaveLength(asked);
    expect(stage(made)).toBe('expired');
  });

  it('says when it began and when it ended, but not for a single renewal that was lost', async () => {
    const made = await holder();
    made.member = allPromise;
    away(made);
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 5);
    expect(made.keeper.view().failsafe.active).toBe(true);
    back(made);
    await pass(heartbeatMs);
    expect(made.keeper.view().failsafe).toEqual({ active: false, sinceMs: null });
    expect(made.failsafe).toEqual([]);
    away(made);
    await pass(ttlMs);
    back(made);
    await pass(heartbeatMs);
    expect(made.failsafe).toEqual([
      { active: true, reason: 'promised by node2, node3' },
      { active: false, reason: 'the lease was renewed' },
    ]);
  });

  it('does not ask where the cluster wants no failsafe mode', async () => {
    const made = await holder();
    made.member = allPromise;
    const spec = { ...aRecord().spec, ttlMs, heartbeatMs, failsafe: false };
    made.keeper.learnRecord(aRecord({ version: 99, spec }));
    away(made);
    await pass(ttlMs);
    expect(made.asked).toEqual([]);
    expect(stage(made)).toBe('expired');
  });

  it('alone in the cluster stays writable: nobody could seal its lease', async () => {
    const made = bench({ ...held, members: ['node1'] });
    made.table.record = aRecord({ members: ['node1'], spec: { ...aRecord().spec, ttlMs, heartbeatMs } });
    made.keeper.start();
    await pass(heartbeatMs);
    away(made);
    await pass(5 * ttlMs);
    expect(stage(made)).toBe('valid');
    expect(made.asked).toEqual([]);
  });

  it('asks also whom a renewal without an answer may have made a member, until a later one is acknowledged', async () => {
    const made = await holder();
    made.member = allPromise;
    made.members = ['node1', 'node2', 'node7'];
    away(made);
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 5);
    made.members = null;
    await pass(2 * heartbeatMs);
    expect(made.asked.at(-1)?.member).toBe('node7');
    back(made);
    await pass(2 * heartbeatMs);
    away(made);
    await pass(ttlMs);
    expect(made.asked.at(-1)?.member).toBe('node3');
  });

  it('asks also whom only the record names', async () => {
    const made = await holder();
    made.keeper.learnRecord(aRecord({ version: 99, members: ['node1', 'node2', 'node3', 'node9'] }));
    made.member = allPromise;
    away(made);
    await pass(ttlMs);
    expect(made.asked.some(({ member }) => member === 'node9')).toBe(true);
  });
});

describe('what ends the failsafe of a holder at once', () => {
  const inFailsafe = async (): Promise<Bench> => {
    const made = await holder();
    made.member = allPromise;
    away(made);
    await pass(2 * ttlMs);
    expect(made.keeper.view().failsafe.active).toBe(true);
    return made;
  };

  it('a read that shows another holder', async () => {
    const made = await inFailsafe();
    made.table.lease = takenBy('node2', made.table.lease as Lease);
    made.line = ({ kind }) => (kind === 'renew' ? { lost: 'request' } : {});
    await pass(5 * heartbeatMs);
    expect(stage(made)).toBe('none');
    expect(made.keeper.view().failsafe.active).toBe(false);
  });

  it('a renewal that is refused, even when nothing can be read: no promise makes up for it', async () => {
    const made = await inFailsafe();
    made.table.lease = { ...(made.table.lease as Lease), state: 'sealed', seq: 1_000 };
    made.line = ({ kind }) => (kind === 'renew' ? {} : { lost: 'request' });
    await pass(heartbeatMs + 400);
    // From here on renewals fail without an answer again.
    away(made);
    const refusedAtMs = now();
    await pass(ttlMs);
    expect(stage(made)).toBe('expired');
    expect(made.guard.at(-1)?.sentAtMs).toBeLessThanOrEqual(refusedAtMs);
  });

  it('its own will: a host that lets its lease run out asks nobody', async () => {
    const made = await inFailsafe();
    made.lapses = true;
    await pass(50);
    const asked = made.asked.length;
    await pass(ttlMs);
    expect(made.asked).toHaveLength(asked);
    expect(stage(made)).toBe('expired');
  });

  it('a release that was sent, whatever the members promise', async () => {
    const made = await inFailsafe();
    const outcome = made.keeper.write(
      release(made.table.lease as Lease, me, {
        operation: 'op',
        successor: 'node2',
        releasedAtLsn: aPosition,
      }),
      300,
    );
    await pass(3 * ttlMs);
    expect((await outcome).kind).toBe('uncertain');
    expect(stage(made)).toBe('none');
    expect(made.guard.at(-1)).toBeNull();
  });

  it('a release that was sent while members were being asked', async () => {
    const made = await holder();
    made.member = async (member, ask) => delayed(200, promise(member, ask));
    away(made);
    await pass(heartbeatMs + fenceBudget(ttlMs).attemptTimeoutMs + 50);
    expect(made.asked.length).toBeGreaterThan(0);
    void made.keeper.write(
      release(made.table.lease as Lease, me, {
        operation: 'op',
        successor: 'node2',
        releasedAtLsn: aPosition,
      }),
      300,
    );
    await pass(ttlMs);
    expect(stage(made)).toBe('none');
    expect(made.guard.at(-1)).toBeNull();
  });

  it('a renewal that is acknowledged: the deadline is its own again', async () => {
    const made = await inFailsafe();
    back(made);
    await pass(2 * heartbeatMs);
    const asked = made.asked.length;
    await pass(5 * heartbeatMs);
    expect(made.asked).toHaveLength(asked);
    expect(made.keeper.view().failsafe.active).toBe(false);
    expect(stage(made)).toBe('valid');
    expect(renewals(made.calls).at(-1)?.atMs).toBeGreaterThan(now() - 2 * heartbeatMs);
  });
});

describe('a member', () => {
  const node2 = { node: 'node2', incarnation: 'i2' };
  const askOf = (lease: Lease) => ({
    cluster: 'main',
    holder: lease.holder,
    incarnation: lease.incarnation,
    epoch: lease.epoch,
    ttlMs: lease.ttlMs,
    nonce: 'n',
  });
  /** It has seen the holder renew. */
  const member = async (): Promise<Bench> => {
    const made = bench(held, node2);
    made.keeper.start();
    await pass(0);
    made.table.lease = { ...held, seq: held.seq + 1 };
    await pass(heartbeatMs);
    return made;
  };
  const answer = (made: Bench) => made.keeper.answerFailsafe(askOf(made.table.lease as Lease), 'main', false);

  it('that has promised does not seal before its promise has ended', async () => {
    const made = await member();
    await pass(ttlMs);
    expect(answer(made)).toMatchObject({ promised: true });
    const promisedMs = now();
    while (now() < promisedMs + sealAfterMs(ttlMs)) {
      expect(await made.keeper.write(seal(made.table.lease as Lease))).toEqual({ kind: 'refused' });
      await pass(50);
    }
    expect(made.table.lease?.state).toBe('held');
    expect(await made.keeper.write(seal(made.table.lease as Lease))).toMatchObject({ kind: 'done' });
  });

  it('whose seal has had no answer promises nothing, until the lease has moved', async () => {
    const made = await member();
    await pass(sealAfterMs(ttlMs));
    made.line = ({ kind }) => (kind === 'seal' ? { requestMs: 5_000 } : {});
    const outcome = made.keeper.write(seal(made.table.lease as Lease), 300);
    expect(answer(made)).toMatchObject({ promised: false, rule: 'take-over-under-way' });
    await pass(1_000);
    await outcome;
    expect(answer(made)).toMatchObject({ promised: false, rule: 'take-over-under-way' });
    made.table.lease = { ...(made.table.lease as Lease), seq: 50 };
    await pass(heartbeatMs);
    expect(answer(made)).toMatchObject({ promised: true });
  });

  it('that has just started promises nothing before it has seen the lease move', async () => {
    const made = bench(held, node2);
    expect(answer(made)).toMatchObject({ promised: false, rule: 'lease-unread' });
    made.keeper.start();
    await pass(3 * heartbeatMs);
    expect(answer(made)).toMatchObject({ promised: false, rule: 'take-over-under-way' });
    made.table.lease = { ...held, seq: held.seq + 1 };
    await pass(heartbeatMs);
    expect(answer(made)).toMatchObject({ promised: true });
  });

  const take = (lease: Lease) =>
    acquire(lease, node2, 'op', { ttlMs, members: lease.members, sync: asynchronous });
  const free = (state: Lease['state']): Lease => ({
    ...held,
    seq: held.seq + 5,
    state,
    successor: 'node2',
    operation: 'op',
  });

  it.each(['sealed', 'released', 'fenced'] as const)(
    'that has promised takes a lease that is %s only when no holder can rely on it',
    async (state) => {
      const made = await member();
      await pass(ttlMs);
      expect(answer(made)).toMatchObject({ promised: true });
      made.table.lease = free(state);
      await pass(heartbeatMs);
      const outcome = await made.keeper.write(take(free(state)));
      expect(outcome.kind).toBe(state === 'sealed' ? 'refused' : 'done');
    },
  );

  it("that has just started does not take a sealed lease for ttl': a former agent may have promised", async () => {
    const made = bench(free('sealed'), node2);
    made.keeper.start();
    await pass(0);
    expect(await made.keeper.write(take(free('sealed')))).toEqual({ kind: 'refused' });
    expect(made.keeper.view().heldBack).toMatchObject({ rule: 'freshly-started' });
    await pass(sealAfterMs(ttlMs));
    expect(await made.keeper.write(take(free('sealed')))).toMatchObject({ kind: 'done' });
  });
});
