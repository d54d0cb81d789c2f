/** Which answers a watcher takes from reads that cost half as much: none but "renewed", and silence from none of them. */
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { ok } from '../../adapters/aws/store-answer.ts';
import {
  consistentForMs,
  type Head,
  mayReadEventually,
  nextReadMs,
  type ReadingState,
  saysOnlyRenewed,
} from '../../core/lease/lease-reading.ts';
import { aLease, aRecord } from '../support/host-states.ts';
import { bench, heartbeatMs, now, pass, ttlMs } from '../support/lease-keeper-bench.ts';

const lease = aLease({ holder: 'node2', ttlMs, seq: 10 });
const record = aRecord();
const known: Head = { record, lease };

describe('an answer that need not be of now', () => {
  const answer = (change: Partial<typeof lease>, version = record.version): Head => ({
    record: { ...record, version },
    lease: { ...lease, seq: 11, ...change },
  });

  it('is enough where it says that the same holder renewed', () => {
    expect(saysOnlyRenewed(known, answer({}))).toBe(true);
    expect(saysOnlyRenewed(known, answer({ seq: 300 }))).toBe(true);
  });

  it.each([
    ['nothing new', answer({ seq: 10 })],
    ['what was known before', answer({ seq: 9 })],
    ['that the lease is free', answer({ state: 'released' })],
    ['that it is sealed', answer({ state: 'sealed' })],
    ['another holder', answer({ holder: 'node3' })],
    ['another agent of the holder', answer({ incarnation: 'another' })],
    ['another epoch', answer({ epoch: lease.epoch + 1 })],
    ['a hand-over', answer({ operation: 'op1', successor: 'node1' })],
    ['other members', answer({ members: ['node2'] })],
    ['another time to live', answer({ ttlMs: ttlMs / 2 })],
    ['another timeline', answer({ timeline: lease.timeline + 1 })],
    ['a newer record', answer({}, record.version + 1)],
    ['an older record', answer({}, record.version - 1)],
    ['that there is no lease', { record, lease: null }],
    ['that there is no record', { record: null, lease: { ...lease, seq: 11 } }],
  ])('is not where it says %s', (_what, said) => {
    expect(saysOnlyRenewed(known, said)).toBe(false);
  });

  it('is not asked for while nothing is known', () => {
    expect(saysOnlyRenewed({ record, lease: null }, answer({}))).toBe(false);
    expect(saysOnlyRenewed({ record: null, lease }, answer({}))).toBe(false);
  });
});

describe('who may ask for such an answer', () => {
  const quiet: ReadingState = {
    known,
    sinceMs: 1_000,
    nowMs: 1_000 + heartbeatMs,
    heartbeatMs,
    holds: false,
    suspicious: false,
    consistentUntilMs: Number.NEGATIVE_INFINITY,
  };

  it('a watcher of a lease that is held and renewed', () => {
    expect(mayReadEventually(quiet)).toBe(true);
    expect(mayReadEventually({ ...quiet, nowMs: 1_000 + 1.5 * heartbeatMs })).toBe(true);
  });

  it.each<[string, Partial<ReadingState>]>([
    ['not the holder', { holds: true }],
    ['not who suspects something', { suspicious: true }],
    ['not who has just seen a renewal', { nowMs: 999 + heartbeatMs / 2 }],
    ['not where a renewal is missing', { nowMs: 1_001 + 1.5 * heartbeatMs }],
    ['not after such a read was of no use', { consistentUntilMs: quiet.nowMs + 1 }],
    ['not who knows no record', { known: { record: null, lease } }],
    ['not who knows no lease', { known: { record, lease: null } }],
    ['not of a lease that is free', { known: { record, lease: { ...lease, state: 'sealed' } } }],
    ['not of one about to be passed on', { known: { record, lease: { ...lease, successor: 'node1' } } }],
    [
      'not while an operation is under way',
      {
        known: { lease, record: { ...record, operation: { id: 'o', kind: 'failover', executionArn: null } } },
      },
    ],
  ])('%s', (_who, change) => {
    expect(mayReadEventually({ ...quiet, ...change })).toBe(false);
  });
});

test('a watcher that is woken waits for the next wake-up, one that is not reads each heartbeat, and sooner when nothing changed', () => {
  const watch = { lease, sinceMs: 7_000 };
  const read = { suspicious: false, woken: true, isHolder: false, nowMs: 7_000 };
  expect(nextReadMs(watch, 1_000, read)).toBe(1_150);
  expect(nextReadMs(watch, 1_000, { ...read, woken: false })).toBe(1_000);
  expect(nextReadMs(watch, 1_000, { ...read, nowMs: 7_050 })).toBe(1_100);
  expect(nextReadMs(watch, 1_000, { ...read, nowMs: 8_150 })).toBe(500);
  expect(nextReadMs(watch, 1_000, { ...read, suspicious: true })).toBe(100);
  expect(nextReadMs(watch, 1_000, { ...read, isHolder: true })).toBeNull();
  expect(nextReadMs({ ...watch, lease: { ...lease, state: 'released' } }, 1_000, read)).toBe(100);
});

describe('a watcher', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A table that is renewed each heartbeat; `stale` answers instead of it where a read need not be consistent. */
  function watching() {
    const made = bench(lease);
    const reads: { eventually: boolean; atMs: number }[] = [];
    let stale: (() => Head) | null = null;
    const { store } = made;
    const { readHead } = store;
    store.readHead = async (o) => {
      reads.push({ eventually: o?.eventually === true, atMs: now() });
      return o?.eventually && stale !== null ? ok(stale()) : await readHead(o);
    };
    let renewing = setInterval(() => undefined, heartbeatMs);
    const renewals = (go: boolean): void => {
      clearInterval(renewing);
      if (!go) return;
      renewing = setInterval(() => {
        const { lease: now } = made.table;
        if (now !== null) made.table.lease = { ...now, seq: now.seq + 1 };
      }, heartbeatMs);
    };
    renewals(true);
    made.keeper.start();
    return {
      ...made,
      reads,
      renewals,
      answerOld: (answer: (() => Head) | null) => {
        stale = answer;
      },
    };
  }
  const since = (made: ReturnType<typeof watching>): number => made.keeper.view().watch.sinceMs;

  it('reads at half the price while all is well, and not the first time', async () => {
    const made = watching();
    await pass(10 * heartbeatMs);
    expect(made.reads[0]).toMatchObject({ eventually: false });
    expect(made.reads.filter(({ eventually }) => !eventually).length).toBeLessThanOrEqual(2);
    expect(made.reads.length).toBeGreaterThanOrEqual(9);
    made.keeper.stop();
  });

  it('does not take an old answer for silence, and asks consistently for a minute', async () => {
    const made = watching();
    await pass(3 * heartbeatMs);
    made.answerOld(() => known);
    const before = made.reads.length;
    await pass(20 * heartbeatMs);
    expect(now() - since(made)).toBeLessThanOrEqual(heartbeatMs);
    expect(made.reads.slice(before).filter(({ eventually }) => eventually)).toHaveLength(1);
    made.answerOld(null);
    await pass(consistentForMs);
    expect(made.reads.at(-1)).toMatchObject({ eventually: true });
    made.keeper.stop();
  });

  it('learns what is more than a renewal from a consistent read, at once', async () => {
    const made = watching();
    await pass(3 * heartbeatMs);
    made.answerOld(() => ({
      record: made.table.record,
      lease: aLease({ holder: 'node3', epoch: 9, seq: 90 }),
    }));
    const before = made.reads.length;
    await pass(heartbeatMs);
    expect(
      made.reads
        .slice(before)
        .map(({ eventually }) => eventually)
        .slice(0, 2),
    ).toEqual([true, false]);
    expect(made.keeper.view().watch.lease).toMatchObject({ holder: 'node2' });
    made.keeper.stop();
  });

  it('counts silence by consistent reads alone', async () => {
    const made = watching();
    await pass(3 * heartbeatMs);
    made.renewals(false);
    const lastMs = since(made);
    await pass(2 * heartbeatMs + 1);
    const before = made.reads.length;
    await pass(ttlMs);
    const reads = made.reads.slice(before);
    expect(reads.some(({ eventually }) => eventually)).toBe(false);
    expect(reads.length).toBeGreaterThanOrEqual(18);
    expect(since(made)).toBeLessThanOrEqual(lastMs + heartbeatMs);
    made.keeper.stop();
  });
});
