/** A failover whose lease is free already has the old host fenced, and waits neither for that nor for Run Command to take it. */
import { expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { demoteOldPrimary } from '../../../adapters/workflow/demote.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { createBench, plan, withHosts } from './workflow-bench.ts';

const input = { plan, answers: [], token: 'token-1' };
const host = { instanceId: 'i-1', incarnation: 'i-1', reportSeq: 5 };

function given(lease: Partial<Lease>) {
  const bench = createBench();
  if (bench.table.lease !== null)
    bench.table.lease = { ...bench.table.lease, holder: 'node1', epoch: plan.epoch, ...lease };
  const sent: unknown[] = [];
  let accept: () => void = () => undefined;
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  const deps = withHosts(bench, {
    fence: async (fence) => {
      sent.push(fence);
      await accepted;
      return ok('fence');
    },
  });
  return { bench, sent, accept, demoted: demoteOldPrimary(deps, input) };
}

test('a sealed lease: the token is answered while Run Command has not accepted the fence yet', async () => {
  const { bench, sent, accept, demoted } = given({ state: 'sealed' });
  await expect
    .poll(() => bench.answered)
    .toEqual([{ token: 'token-1', outcome: { ...host, settled: false } }]);
  expect(sent).toEqual([{ instanceId: 'i-1', epoch: plan.epoch }]);
  accept();
  await demoted;
});

test.each<[string, Partial<Lease>]>([
  ['released', { state: 'released' }],
  ['fenced', { state: 'fenced' }],
])('a lease that was %s: there is nobody to fence', async (_state, lease) => {
  const { bench, sent, demoted } = given(lease);
  await demoted;
  expect(bench.answered).toEqual([{ token: 'token-1', outcome: { ...host, settled: true } }]);
  expect(sent).toEqual([]);
});
