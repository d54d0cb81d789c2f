/**
 * The compensation, by the lease as it is: what is taken back, what goes forward, what is closed.
 */
import { expect, test } from 'vitest';
import { type AbortInput, abortOperation } from '../../../adapters/workflow/abort.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import type { Action } from '../../../core/model/operation.ts';
import { sampleAction } from '../../support/samples.ts';
import { type Bench, createBench, operation, plan } from './workflow-bench.ts';

const handover = { ...plan, kind: 'switchover', path: 'handover', target: 'node2' } as const;
const input: AbortInput = {
  request: { cluster: 'main' },
  execution: 'arn:x',
  plan: handover,
  failure: { Error: 'refused', Cause: '{"message":"it would not"}' },
  round: 1,
};
const stop: Action = { ...sampleAction, status: 'ordered', claimedBy: null, result: null };
const clean = { state: 'released', releasedAtLsn: lsnOf(0x600n) } as const;

function given(lease: Partial<Lease>, action: Action | null = null): Bench {
  const bench = createBench();
  if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, ...lease };
  if (action !== null) bench.table.actions.set(`${operation}#${action.action}`, action);
  return bench;
}

test('before the release nothing has changed: closed, with the reason of the host', async () => {
  const bench = given({});
  expect(await abortOperation(bench.deps, input)).toMatchObject({
    verdict: 'aborted',
    reason: 'refused: it would not; node1 is still primary',
  });
  expect(bench.table.record).toMatchObject({
    operation: null,
    failoverState: 'stable',
    failoverTargetPrimary: null,
  });
  expect(bench.table.operations.get(operation)).toMatchObject({ status: 'aborted' });
  expect(bench.events()).toEqual(['operation_aborted']);
});

test('a stop that nobody has begun is taken back first: no agent can claim it any more', async () => {
  const bench = given({}, stop);
  await abortOperation(bench.deps, input);
  expect(await bench.store.claimAction(operation, stop.action, 'i-1')).toEqual({ kind: 'refused' });
});

test('a stop that was begun is waited for, and its release is not undone', async () => {
  const bench = given({}, { ...stop, status: 'claimed', claimedBy: 'i-1' });
  const deps = {
    ...bench.deps,
    sleep: async (ms: number) => {
      await bench.deps.sleep(ms);
      const { lease } = bench.table;
      if (lease !== null && bench.deps.now() >= 2000)
        bench.table.lease = { ...lease, ...clean, successor: 'node2', operation };
    },
  };
  expect(await abortOperation(deps, input)).toMatchObject({ verdict: 'forward' });
  expect(bench.table.record?.operation?.id).toBe(operation);
});

test('but not for ever: a host that is never heard of again holds nothing up', async () => {
  const bench = given({}, { ...stop, status: 'claimed', claimedBy: 'i-1' });
  expect(await abortOperation(bench.deps, input)).toMatchObject({ verdict: 'aborted' });
  expect(bench.deps.now()).toBeGreaterThanOrEqual(stop.timeoutMs);
});

const cases: readonly [string, Partial<Lease>, Partial<AbortInput>, string][] = [
  ['held by a later epoch', { holder: 'node2', epoch: 4 }, {}, 'forward'],
  ['held by a later epoch, no rounds left', { holder: 'node2', epoch: 4 }, { round: 3 }, 'failed'],
  ['released cleanly', clean, {}, 'forward'],
  ['released cleanly, the hand-over broken', clean, { failure: { Error: 'HandoverBroken' } }, 'fail-over'],
  ['released cleanly, no rounds left', clean, { round: 3 }, 'fail-over'],
  ['released by force', { state: 'released', releasedAtLsn: null }, {}, 'fail-over'],
  ['sealed', { state: 'sealed' }, {}, 'fail-over'],
  ['sealed, in a failover', { state: 'sealed' }, { plan }, 'forward'],
  [
    'sealed, in a failover, nobody left',
    { state: 'sealed' },
    { plan, failure: { Error: 'NoCandidate' } },
    'failed',
  ],
  ['sealed, in a failover, no rounds left', { state: 'sealed' }, { plan, round: 3 }, 'failed'],
  [
    'sealed, answers of another time',
    { state: 'sealed' },
    { plan, failure: { Error: 'AnswersOutdated' } },
    'fail-over',
  ],
  [
    'sealed, answers of another time, too often',
    { state: 'sealed' },
    { plan: { ...plan, replans: 2 }, failure: { Error: 'AnswersOutdated' } },
    'failed',
  ],
  ['held, a failover by hand-over', {}, { plan: { ...handover, kind: 'failover' } }, 'fail-over'],
  ['held, a failover that could not fence', {}, { plan }, 'aborted'],
];

test.each(cases)('with the lease %s', async (_what, lease, over, verdict) => {
  const bench = given(lease);
  const result = await abortOperation(bench.deps, { ...input, ...over });
  expect(result.verdict).toBe(verdict);
  const closed = verdict === 'aborted' || verdict === 'failed';
  expect(bench.table.record?.operation?.id ?? null).toBe(closed ? null : operation);
  expect(result.plan === null).toBe(verdict !== 'fail-over');
});

test('a node that takes the lease while the plan is made anew is waited for, and not fenced as an old primary', async () => {
  const bench = given({ state: 'sealed' });
  const store = bench.deps.storeOf('main');
  let reads = 0;
  const late: typeof store.readHead = (options) => {
    reads += 1;
    const { lease } = bench.table;
    if (reads === 2 && lease !== null)
      bench.table.lease = { ...lease, state: 'held', holder: 'node2', epoch: lease.epoch + 1 };
    return store.readHead(options);
  };
  const deps = { ...bench.deps, storeOf: () => ({ ...store, readHead: late }) };
  expect(await abortOperation(deps, input)).toMatchObject({ verdict: 'forward', plan: null });
});

test('an operation whose place was taken is not closed for the other', async () => {
  const bench = given({});
  const other = { id: 'u1-e3-a9', kind: 'failover', executionArn: 'arn:y' } as const;
  if (bench.table.record !== null) bench.table.record = { ...bench.table.record, operation: other };
  await expect(abortOperation(bench.deps, input)).rejects.toMatchObject({ name: 'OperationSuperseded' });
  expect(bench.table.record?.operation).toEqual(other);
});

test('nor is it when the place is taken between the look and the write', async () => {
  const bench = given({});
  const other = { id: 'u1-e3-a9', kind: 'failover', executionArn: 'arn:y' } as const;
  const claimAction: Bench['store']['claimAction'] = async () => {
    if (bench.table.record !== null) bench.table.record = { ...bench.table.record, operation: other };
    return { kind: 'refused' };
  };
  const deps = { ...bench.deps, storeOf: () => ({ ...bench.store, claimAction }) };
  await expect(abortOperation(deps, input)).rejects.toMatchObject({ name: 'OperationSuperseded' });
  expect(bench.table.record).toMatchObject({ operation: other, failoverState: 'waiting_for_catchup' });
});

test('repeated after it has closed the operation, it closes nothing else', async () => {
  const bench = given({});
  await abortOperation(bench.deps, input);
  expect(await abortOperation(bench.deps, input)).toMatchObject({ verdict: 'aborted' });
  expect(bench.events()).toEqual(['operation_aborted']);
});

test.each([
  ['arn:x', null],
  ['arn:other', operation],
])('begin that failed (%s) gives back what this very execution had claimed', async (execution, left) => {
  const bench = given({});
  const result = await abortOperation(bench.deps, { ...input, plan: null, execution });
  expect(result.verdict).toBe('aborted');
  expect(bench.table.record?.operation?.id ?? null).toBe(left);
});
