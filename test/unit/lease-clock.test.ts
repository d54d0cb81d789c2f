// Until when a holder may rely on its lease, and from when a watcher may seal it (L3, L4).

import { describe, expect, it } from 'vitest';
import {
  checkLeaseTimes,
  fenceBudget,
  holdStage,
  maySeal,
  renewed,
  sealAfterMs,
  watched,
} from '../../core/lease/lease-clock.ts';
import { fence } from '../../core/lease/lease-write.ts';
import { aLease } from '../support/host-states.ts';

const ttlMs = 2_000;

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
