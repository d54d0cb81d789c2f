/** In place or hand over: how long each is expected to take, and when a hand-over cannot lose a write. */
import { describe, expect, it } from 'vitest';
import {
  expectedRecovery,
  handOverMs,
  nothingKnown,
  replayBytesPerMs,
  restartMs,
} from '../../core/host/expected-recovery.ts';
import { asynchronous } from '../../core/model/lease.ts';

const successors = ['node2', 'node3'];
const strict = (k: number, names: readonly string[]) =>
  ({ ...asynchronous, mode: 'strict', k, names }) as const;

describe('what a recovery is expected to take', () => {
  it('is a bare restart where there is nothing to replay, or nothing is known', () => {
    expect(expectedRecovery(nothingKnown, asynchronous).inPlaceMs).toBe(restartMs);
    expect(expectedRecovery({ walToReplayBytes: 0, successors }, asynchronous).inPlaceMs).toBe(restartMs);
  });

  it('grows with the log since the redo point, and the hand-over does not', () => {
    const forecast = expectedRecovery(
      { walToReplayBytes: 2_000 * replayBytesPerMs, successors },
      asynchronous,
    );
    expect(forecast.inPlaceMs).toBe(restartMs + 2_000);
    expect(forecast.handOverMs).toBe(handOverMs);
  });
});

describe('a hand-over that cannot lose a write', () => {
  const safe = (sync: Parameters<typeof expectedRecovery>[1], streaming = successors) =>
    expectedRecovery({ walToReplayBytes: 0, successors: streaming }, sync).safe;

  it('needs as many of the recorded names as must answer a failover: n - k + 1', () => {
    expect(safe(strict(1, ['node2', 'node3']))).toBe(true);
    expect(safe(strict(1, ['node2', 'node3']), ['node2'])).toBe(false);
    expect(safe(strict(2, ['node2', 'node3']), ['node2'])).toBe(true);
  });

  it('needs them of the rule that it is going over to as well', () => {
    const next = { method: 'any', k: 1, names: ['node2', 'node3', 'node4'] } as const;
    expect(safe({ ...strict(1, ['node2', 'node3']), next })).toBe(false);
    expect(safe({ ...strict(1, ['node2', 'node3']), next }, [...successors, 'node4'])).toBe(true);
  });

  it('is none without a synchronous commit, or when strangers alone stream', () => {
    expect(safe(asynchronous)).toBe(false);
    expect(safe({ ...asynchronous, mode: 'on', k: 0, names: ['node2', 'node3'] })).toBe(false);
    expect(safe(strict(1, []))).toBe(false);
    expect(safe(strict(1, ['node4', 'node5']))).toBe(false);
  });
});
