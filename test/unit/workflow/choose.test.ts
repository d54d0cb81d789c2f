/**
 * Who is named next, by what the lease says when the state is entered, first or again.
 */
import { expect, test } from 'vitest';
import { type ChooseInput, chooseTarget } from '../../../adapters/workflow/choose.ts';
import type { ActionOrder } from '../../../core/failover/plan-operation.ts';
import { asynchronous, type Lease } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import { sampleAction } from '../../support/samples.ts';
import { type Bench, createBench, operation, plan } from './workflow-bench.ts';

const handover: ChooseInput = {
  plan: { ...plan, kind: 'switchover', path: 'handover', target: 'node2' },
  answers: [],
  excluded: [],
  round: 1,
};
const asked: ActionOrder = {
  ...{ node: 'node2', instanceId: 'i-2', verb: 'end-receiver', args: {}, epoch: 3, attempt: 1 },
  ...{ required: false, timeoutMs: 2_000, timeoutSeconds: 3 },
};
const failover: ChooseInput = { ...handover, plan: { ...plan, target: null, catchup: [asked] } };
const released = { state: 'released', releasedAtLsn: lsnOf(0x600n) } as const;

function given(lease: Partial<Lease>): Bench {
  const bench = createBench();
  if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, ...lease };
  return bench;
}

function armed(bench: Bench, over: Partial<typeof sampleAction> = {}): void {
  const action = 'acquire-and-promote@node2#1';
  const whole = {
    ...sampleAction,
    action,
    verb: 'acquire-and-promote' as const,
    node: 'node2',
    args: {},
    ...over,
  };
  bench.table.actions.set(`${operation}#${whole.action}`, whole);
}

const failedResult = { ok: false, error: 'promotion-failed', message: '', ms: 1 };

test('a hand-over that was released to its target keeps the order that was armed', async () => {
  const bench = given({ ...released, operation, successor: 'node2' });
  armed(bench);
  expect(await chooseTarget(bench.deps, handover)).toMatchObject({
    target: 'node2',
    promote: { node: 'node2', attempt: 1, epoch: 3, verb: 'acquire-and-promote' },
  });
  expect(bench.table.lease?.seq).toBe(7);
});

test('a target that was quicker than this state is waited for under the same order', async () => {
  const bench = given({ state: 'held', holder: 'node2', epoch: 4 });
  armed(bench, { status: 'claimed', claimedBy: 'i-2' });
  expect(await chooseTarget(bench.deps, handover)).toMatchObject({
    target: 'node2',
    promote: { attempt: 1, epoch: 3 },
  });
});

test('an old primary that still holds the lease cannot be passed over', async () => {
  const bench = given({ state: 'held' });
  await expect(chooseTarget(bench.deps, handover)).rejects.toMatchObject({ name: 'LeaseStillHeld' });
  await expect(chooseTarget(bench.deps, failover)).rejects.toMatchObject({ name: 'LeaseStillHeld' });
});

test('a clean release to nobody names the target', async () => {
  const bench = given(released);
  await chooseTarget(bench.deps, handover);
  expect(bench.table.lease).toMatchObject({ successor: 'node2', operation });
  expect(bench.table.record?.failoverTargetPrimary).toBe('node2');
});

test('after a target that gave the lease back unpromoted, the old primary is named', async () => {
  const bench = given({ ...released, holder: 'node2', epoch: 4, neverPromoted: true });
  armed(bench, { status: 'failed', result: failedResult });
  const chosen = await chooseTarget(bench.deps, { ...handover, excluded: ['node2'], round: 2 });
  expect(chosen).toMatchObject({ target: 'node1', promote: { node: 'node1', epoch: 4 } });
  expect(chosen.after.map(({ verb, node }) => `${verb}@${node}`)).toEqual(['follow@node2', 'resume@proxy1']);
  expect(bench.table.lease).toMatchObject({ successor: 'node1' });
});

test.each<[string, Partial<Lease>]>([
  ['sealed', { state: 'sealed' }],
  ['fenced', { state: 'fenced' }],
  ['released by force', { state: 'released', releasedAtLsn: null }],
  [
    'released by a target that may have been writable',
    { ...released, holder: 'node2', epoch: 4, neverPromoted: false },
  ],
])('a hand-over whose lease is %s is broken: nobody is given back to', async (_what, lease) => {
  const bench = given(lease);
  const input = { ...handover, excluded: ['node2'], round: 2 };
  await expect(chooseTarget(bench.deps, input)).rejects.toMatchObject({ name: 'HandoverBroken' });
  expect(bench.table.lease).toMatchObject({ successor: null });
});

test('a failed target that holds the lease is waited for until it gives it back', async () => {
  const bench = given({ state: 'held', holder: 'node2', epoch: 4 });
  const deps = {
    ...bench.deps,
    sleep: async (ms: number) => {
      await bench.deps.sleep(ms);
      const { lease } = bench.table;
      if (lease?.state === 'held' && bench.deps.now() >= 3000)
        bench.table.lease = { ...lease, ...released, neverPromoted: true, seq: 9 };
    },
  };
  const chosen = await chooseTarget(deps, { ...handover, excluded: ['node2'], round: 2 });
  expect(chosen.target).toBe('node1');
  expect(bench.deps.now()).toBeGreaterThanOrEqual(3000);
});

test('one that never lets go is the target again, not passed over', async () => {
  const bench = given({ state: 'held', holder: 'node2', epoch: 4 });
  armed(bench, { status: 'failed', result: failedResult });
  const chosen = await chooseTarget(bench.deps, { ...handover, excluded: ['node2'], round: 2 });
  expect(chosen).toMatchObject({ target: 'node2', promote: { attempt: 2, epoch: 3 } });
});

test('in a failover a node that was tried before in vain is ordered anew, under another id', async () => {
  const bench = given({ state: 'sealed', members: ['node1', 'node2'] });
  armed(bench, { status: 'failed', result: failedResult });
  const order = {
    ...handover.plan.catchup[0],
    node: 'node2',
    verb: 'end-receiver',
    args: {},
    instanceId: null,
  };
  const whole = { ...order, epoch: 3, attempt: 1, required: false, timeoutMs: 1, timeoutSeconds: 1 } as const;
  const result = { receivedLsn: '0/6000000', timeline: 3, epoch: 3 };
  const answers = [
    { order: { ...whole, verb: 'end-receiver' as const }, ok: true, error: '', message: '', result },
  ];
  bench.table.nodes.clear();
  const chosen = await chooseTarget(bench.deps, { ...failover, answers });
  expect(chosen).toMatchObject({ target: 'node2', promote: { attempt: 2 } });
  expect(bench.table.actions.get(`${operation}#acquire-and-promote@node2#2`)).toMatchObject({
    status: 'ordered',
  });
});

test('a failover whose new primary was lost in its turn needs new answers', async () => {
  const bench = given({ state: 'sealed', holder: 'node2', epoch: 4 });
  await expect(chooseTarget(bench.deps, failover)).rejects.toMatchObject({ name: 'AnswersOutdated' });
});

test('standbys that stayed with the old primary until it was fenced are asked before one is chosen', async () => {
  const bench = given({ state: 'fenced' });
  const input = { ...failover, plan: { ...failover.plan, catchup: [{ ...asked, verb: 'pause' as const }] } };
  await expect(chooseTarget(bench.deps, input)).rejects.toMatchObject({ name: 'AnswersOutdated' });
  expect(bench.table.lease).toMatchObject({ successor: null });
});

test('nobody to choose names why each was refused', async () => {
  const bench = given({ state: 'sealed' });
  const input = { ...failover, excluded: ['node1'] };
  await expect(chooseTarget(bench.deps, input)).rejects.toMatchObject({
    name: 'NoCandidate',
    message: expect.stringContaining('node2: it did not end its receiver'),
  });
});

const reached: ActionOrder = {
  ...{ node: 'node2', verb: 'end-receiver' as const, args: {}, instanceId: null, epoch: 3, attempt: 1 },
  ...{ required: false, timeoutMs: 1, timeoutSeconds: 1 },
};
const tooFew: ChooseInput = {
  ...failover,
  excluded: ['node1'],
  answers: [
    {
      ...{ order: reached, ok: true, error: '', message: '' },
      result: { receivedLsn: '0/6000000', timeline: 3, epoch: 3 },
    },
  ],
};
const waitedFor = { ...asynchronous, mode: 'strict', k: 1, names: ['node2', 'node3'] } as const;

test('too few of the synchronous set: nobody is named, and the refusal says who is missing', async () => {
  const bench = given({ state: 'sealed', sync: waitedFor });
  bench.table.nodes.clear();
  await expect(chooseTarget(bench.deps, tooFew)).rejects.toMatchObject({
    name: 'NoCandidate',
    message: expect.stringMatching(/2 of these must have answered, and node3 did not/),
  });
  expect(bench.table.lease?.successor).toBeNull();
});

test('an operator who accepts the loss gets the best that answered, and an event of its own says so', async () => {
  const bench = given({ state: 'sealed', sync: waitedFor });
  bench.table.nodes.clear();
  const accepted = { ...tooFew, plan: { ...tooFew.plan, acceptDataLoss: true } };
  expect(await chooseTarget(bench.deps, accepted)).toMatchObject({ target: 'node2' });
  expect(bench.events()).toContain('data_loss_accepted');
  const harmless = given({ state: 'sealed', sync: { ...waitedFor, names: ['node2'] } });
  harmless.table.nodes.clear();
  await chooseTarget(harmless.deps, accepted);
  expect(harmless.events()).not.toContain('data_loss_accepted');
});

test('a lease that changes while a successor is named is read anew, and not for ever', async () => {
  const bench = given(released);
  const store = {
    ...bench.store,
    writeLease: async () => ({ kind: 'refused' as const }),
  };
  await expect(chooseTarget({ ...bench.deps, storeOf: () => store }, handover)).rejects.toMatchObject({
    name: 'StoreThrottled',
  });
});

test('an operation whose place was taken names nobody', async () => {
  const bench = given(released);
  if (bench.table.record !== null) bench.table.record = { ...bench.table.record, operation: null };
  await expect(chooseTarget(bench.deps, handover)).rejects.toMatchObject({ name: 'OperationSuperseded' });
  expect(bench.table.lease?.successor).toBeNull();
});
