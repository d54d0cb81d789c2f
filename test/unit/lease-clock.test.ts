/** Time and the lease: the stages of a fence, and when a watcher may seal. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkLeaseTimes,
  fenceBudget,
  holdStage,
  type LeaseWatch,
  maySeal,
  nextStageAtMs,
  readIntervalMs,
  renewed,
  sealAfterMs,
  startWatch,
  stopBudgetMs,
  watched,
} from '../../core/lease/lease-clock.ts';
import { defaultSpec } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import { embeddedLeaseTimes } from '../../core/wire/parse-cluster-file.ts';
import { sampleLease } from '../support/samples.ts';

const held: Lease = { ...sampleLease, state: 'held', releasedAtLsn: null, ttlMs: 2000 };

describe('the budget of a fence', () => {
  test('at a ttl of 2 s', () => {
    expect(fenceBudget(2000)).toEqual({
      ...{ attemptTimeoutMs: 300, unreadyAfterMs: 1200, quitAfterMs: 1300 },
      ...{ killAfterMs: 1550, guardKillAfterMs: 1700, deadlineAfterMs: 2000 },
    });
  });

  test('keeps its order, and leaves the guard time to kill, at every ttl that is allowed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2000, max: 300_000 }), (ttlMs) => {
        const budget = fenceBudget(ttlMs);
        const { unreadyAfterMs, quitAfterMs, killAfterMs, guardKillAfterMs, deadlineAfterMs } = budget;
        const stages = [unreadyAfterMs, quitAfterMs, killAfterMs, guardKillAfterMs, deadlineAfterMs];
        expect(stages).toEqual(stages.toSorted((a, b) => a - b));
        expect(new Set(stages).size).toBe(stages.length);
        expect(deadlineAfterMs).toBe(ttlMs);
        expect(deadlineAfterMs - guardKillAfterMs).toBeGreaterThanOrEqual(stopBudgetMs - 1);
      }),
    );
  });

  test('ttl and heartbeat fit one another', () => {
    expect(checkLeaseTimes(defaultSpec)).toBeNull();
    expect(checkLeaseTimes(embeddedLeaseTimes)).toBeNull();
    expect(checkLeaseTimes({ heartbeatMs: 1000, ttlMs: 2300 })).toBeNull();
    expect(checkLeaseTimes({ heartbeatMs: 1000, ttlMs: 2299 })).toBe(
      'ttlMs 2299 must be at least 2 x heartbeatMs + 300 = 2300',
    );
  });
});

describe('a hold', () => {
  const hold = { epoch: 3, sentAtMs: 10_000, ttlMs: 2000 };

  test.each([
    [10_000, 'valid', 11_200],
    [11_199, 'valid', 11_200],
    [11_200, 'unready', 11_300],
    [11_299, 'unready', 11_300],
    [11_300, 'quit', 11_550],
    [11_550, 'kill', 12_000],
    [11_999, 'kill', 12_000],
    [12_000, 'expired', null],
    [99_000, 'expired', null],
  ])('sent at 10000 with a ttl of 2000 is at %i: %s', (nowMs, stage, nextMs) => {
    expect(holdStage(hold, nowMs)).toBe(stage);
    expect(nextStageAtMs(hold, nowMs)).toBe(nextMs);
  });

  test('that is none has no stage', () => {
    expect(holdStage(null, 0)).toBe('none');
    expect(nextStageAtMs(null, 0)).toBeNull();
  });

  test('counts from the sending of the latest renewal that was answered, in whatever order answers come', () => {
    expect(renewed(null, 3, 100, 2000)).toEqual({ epoch: 3, sentAtMs: 100, ttlMs: 2000 });
    expect(renewed(hold, 3, 10_500, 2000)).toEqual({ ...hold, sentAtMs: 10_500 });
    expect(renewed(hold, 3, 9500, 2000)).toBe(hold);
    expect(renewed(hold, 3, 10_000, 9000)).toBe(hold);
  });

  test('of an epoch gives way to a later one, never to an earlier one', () => {
    expect(renewed(hold, 4, 9000, 5000)).toEqual({ epoch: 4, sentAtMs: 9000, ttlMs: 5000 });
    expect(renewed(hold, 2, 11_000, 2000)).toBe(hold);
  });
});

describe('a watch', () => {
  const watch: LeaseWatch = { lease: held, sinceMs: 1000 };
  const overtaken = (answer: Lease | null) => watched(watch, answer, 2000, false);

  test('knows nothing at its start', () => {
    expect(startWatch(5)).toEqual({ lease: null, sinceMs: 5 });
    expect(watched(startWatch(5), null, 9, true)).toEqual({ lease: null, sinceMs: 5 });
    expect(watched(startWatch(5), held, 9, false)).toEqual({ lease: held, sinceMs: 9 });
  });

  test('starts anew at each change', () => {
    for (const change of [{ seq: 8 }, { epoch: 4 }, { epoch: 4, seq: 1 }, { state: 'sealed' as const }]) {
      const answer = { ...held, ...change };
      expect(overtaken(answer)).toEqual({ lease: answer, sinceMs: 2000 });
    }
  });

  test('goes on while it reads the same', () => {
    expect(overtaken({ ...held })).toBe(watch);
    expect(watched(watch, { ...held }, 2000, true)).toBe(watch);
  });

  test('ignores an answer that was overtaken, but sees that the table went back', () => {
    for (const older of [{ ...held, seq: 6 }, { ...held, epoch: 2, seq: 99 }, null]) {
      expect(overtaken(older)).toBe(watch);
      expect(watched(watch, older, 2000, true)).toEqual({ lease: older, sinceMs: 2000 });
    }
  });
});

describe('a seal', () => {
  const dueMs = 1000 + 2090;
  const watch: LeaseWatch = { lease: held, sinceMs: 1000 };

  test('is due when a member has read no change for ttl x 1.03 + 30 ms', () => {
    expect(maySeal(watch, 'node2', dueMs - 1)).toBe(false);
    expect(maySeal(watch, 'node2', dueMs)).toBe(true);
  });

  test('is never due to the holder, a stranger, or on a lease that is not held', () => {
    expect(maySeal(watch, 'node1', 99_000)).toBe(false);
    expect(maySeal(watch, 'node9', 99_000)).toBe(false);
    expect(maySeal(startWatch(0), 'node2', 99_000)).toBe(false);
    for (const state of ['released', 'sealed', 'fenced'] as const) {
      expect(maySeal({ lease: { ...held, state }, sinceMs: 1000 }, 'node2', 99_000)).toBe(false);
    }
  });

  test('waits by the ttl that the holder has written', () => {
    expect(maySeal({ lease: { ...held, ttlMs: 5000 }, sinceMs: 1000 }, 'node2', dueMs)).toBe(false);
  });

  test('comes after the deadline of any holder whose clock and the watcher differ by 1 % each, read in steps of 10 ms', () => {
    fc.assert(
      fc.property(fc.integer({ min: 500, max: 300_000 }), (ttlMs) => {
        const holderTakesMs = (ttlMs + 10) / 0.99;
        const watcherTakesMs = (sealAfterMs(ttlMs) - 10) / 1.01;
        expect(watcherTakesMs).toBeGreaterThan(holderTakesMs);
      }),
    );
  });
});

test('a watcher reads each heartbeat, and every 100 ms when something is wrong', () => {
  const watch: LeaseWatch = { lease: held, sinceMs: 0 };
  expect(readIntervalMs(watch, 500, false)).toBe(500);
  expect(readIntervalMs(watch, 500, true)).toBe(100);
  expect(readIntervalMs(watch, 50, true)).toBe(50);
  expect(readIntervalMs({ lease: { ...held, state: 'sealed' }, sinceMs: 0 }, 500, false)).toBe(100);
  expect(readIntervalMs(startWatch(0), 500, false)).toBe(100);
});
