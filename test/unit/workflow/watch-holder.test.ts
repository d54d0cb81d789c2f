/**
 * Whether the holder of a lease lives: told before the lease's end, but never before a holder without renewals has turned its
 * clients away by itself.
 */
import { expect, test } from 'vitest';
import { watchHolder } from '../../../adapters/workflow/watch-holder.ts';
import { fenceBudget, sealAfterMs } from '../../../core/lease/lease-clock.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { createBench } from './workflow-bench.ts';

/** What is found, and after how long, when the lease changes to `change` at `atMs`. */
async function watched(change: Partial<Lease>, atMs: number) {
  const bench = createBench();
  const { lease, record } = bench.table;
  if (lease === null || record === null) throw new Error('the bench has a lease and a record');
  const deps = {
    ...bench.deps,
    sleep: async (ms: number) => {
      await bench.deps.sleep(ms);
      if (bench.deps.now() >= atMs) bench.table.lease = { ...lease, ...change };
    },
  };
  const { silent } = await watchHolder(deps, bench.store, { record, lease });
  return { silent, tookMs: bench.deps.now(), ttlMs: lease.ttlMs, seq: lease.seq };
}

test('a holder that does not renew is silent once it has turned its clients away, and before its lease may be sealed', async () => {
  const { silent, tookMs, ttlMs } = await watched({}, Number.POSITIVE_INFINITY);
  expect(silent).toBe(true);
  expect(tookMs).toBeGreaterThan(fenceBudget(ttlMs).unreadyAfterMs);
  expect(tookMs).toBeLessThan(sealAfterMs(ttlMs));
});

test('one renewal is life, also a late one', async () => {
  const { ttlMs, seq } = await watched({}, 0);
  const lateMs = fenceBudget(ttlMs).unreadyAfterMs;
  expect(await watched({ seq: seq + 1 }, lateMs)).toMatchObject({ silent: false });
});

test.each<[string, Partial<Lease>]>([
  ['released', { state: 'released' }],
  ['sealed', { state: 'sealed' }],
  ['held by a successor', { epoch: 4, holder: 'node2' }],
])('a lease that is %s is not watched on', async (_what, change) => {
  const { silent, tookMs } = await watched(change, 300);
  expect({ silent, tookMs }).toEqual({ silent: false, tookMs: 300 });
});
