/** Events while DynamoDB is away: kept in order, with their own time, up to a bound, and written when it is back. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StoreFailure } from '../../adapters/aws/store-answer.ts';
import { EventOutbox } from '../../agent/event-outbox.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import { createMemoryStore, createMemoryTable } from '../support/memory-store.ts';
import { sampleEvent } from '../support/samples.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

function bench() {
  const table = createMemoryTable();
  const logged: string[] = [];
  let failure: StoreFailure | null = null;
  const store = createMemoryStore({
    table,
    fault: () => (failure === null ? null : { lost: 'request', failure }),
  });
  let calls = 0;
  const outbox = new EventOutbox({
    store: {
      putEvent: (event) => {
        calls += 1;
        return store.putEvent(event);
      },
    },
    log: (message) => logged.push(message),
  });
  return {
    outbox,
    logged,
    written: () => [...table.events.values()],
    calls: () => calls,
    away: (kind: StoreFailure['kind'] | null) => {
      failure = kind === null ? null : { kind, message: 'away' };
    },
  };
}

const event = (n: number): ClusterEvent => ({
  ...sampleEvent,
  id: `id${String(n).padStart(4, '0')}`,
  time: `2026-11-24T10:00:${String(n % 60).padStart(2, '0')}.000Z`,
});

describe('the outbox', () => {
  it("writes an operation's a moment later, in order, when no client waits for the host any more", async () => {
    const made = bench();
    const ofOperation = (n: number) => ({ ...event(n), operation: 'main-e3-a1' });
    made.outbox.add(ofOperation(1));
    await vi.advanceTimersByTimeAsync(200);
    made.outbox.add(ofOperation(2));
    expect(made.calls()).toBe(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(made.written()).toEqual([ofOperation(1), ofOperation(2)]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('writes every other at once: an agent that is killed now has told it', () => {
    const made = bench();
    made.outbox.add(event(1));
    expect(made.calls()).toBe(1);
  });

  it.each(['unreachable', 'throttled', 'denied'] as const)(
    'keeps what it cannot write, and writes it with its own time when the store is back: %s',
    async (kind) => {
      const made = bench();
      made.away(kind);
      for (const n of [1, 2, 3]) made.outbox.add(event(n));
      await vi.advanceTimersByTimeAsync(180_000);
      expect(made.written()).toEqual([]);
      // A question now and then, not a storm.
      expect(made.calls()).toBeLessThan(60);
      made.away(null);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(made.written()).toEqual([event(1), event(2), event(3)]);
    },
  );

  it('keeps no more than its bound, the oldest ones, and says so in the log', async () => {
    const made = bench();
    made.away('unreachable');
    for (let n = 0; n < 1_000; n += 1) made.outbox.add(event(n));
    made.away(null);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(made.written()).toHaveLength(200);
    expect(made.written()[0]).toEqual(event(0));
    expect(made.logged.filter((message) => message === 'event not kept')).toHaveLength(800);
  });
});
