/** `DemotingOldPrimary`: what is handed on of the old host of a failover, and when a hand-over can be answered. */
import { expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { demoteOldPrimary } from '../../../adapters/workflow/demote.ts';
import type { WorkflowDeps } from '../../../adapters/workflow/ports.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { type Bench, createBench, operation, plan, unreachable, withHosts } from './workflow-bench.ts';

const input = { plan, answers: [], token: 'token-1' };
const host = { instanceId: 'i-1', incarnation: 'i-1', reportSeq: 5 };
const handOver = { ...input, plan: { ...plan, path: 'handover' as const, target: 'node2' } };
const release = `${operation}#stop-and-release@node1#1`;

function given(lease: Partial<Lease> = {}): Bench {
  const bench = createBench();
  if (bench.table.lease !== null)
    bench.table.lease = { ...bench.table.lease, holder: 'node1', epoch: plan.epoch, ...lease };
  return bench;
}

test.each<[Lease['state'], string | null]>([
  ['sealed', 'fence'],
  ['released', null],
  ['fenced', null],
])('a failover whose lease is %s hands on the fence %s', async (state, fenceCommand) => {
  const bench = given({ state });
  await demoteOldPrimary(bench.deps, input);
  const outcome = { ...host, fenceCommand, settled: fenceCommand === null };
  expect(bench.answered).toEqual([{ token: 'token-1', outcome }]);
});

test('a hand-over can be answered while Run Command has accepted neither of its commands', async () => {
  const bench = given();
  let accept: () => void = () => undefined;
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  const deps = withHosts(bench, { runAction: async () => accepted.then(() => ok('late')) });
  const ordered = demoteOldPrimary(deps, handOver);
  await expect.poll(() => bench.table.actions.get(release)?.taskToken).toBe('token-1');
  accept();
  await ordered;
});

test('half a hand-over has no token: the retry brings its own', async () => {
  const bench = given();
  const broken: WorkflowDeps = {
    ...bench.deps,
    storeOf: () => ({
      ...bench.store,
      putAction: async (action) =>
        action.verb === 'acquire-and-promote' ? unreachable : bench.store.putAction(action),
    }),
  };
  await expect(demoteOldPrimary(broken, handOver)).rejects.toThrow();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(bench.table.actions.get(release)?.taskToken).toBeNull();
});
