/**
 * Closing an operation: only over a target that holds the lease, once, and with the old host of a failover settled.
 */
import { expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { type FinishInput, finishOperation } from '../../../adapters/workflow/finish.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { type Bench, createBench, operation, plan, withHosts } from './workflow-bench.ts';

const input: FinishInput = {
  plan,
  target: 'node2',
  demoted: { instanceId: 'i-1', fenceCommand: 'fence', incarnation: 'i-1', reportSeq: 5, settled: false },
};

function given(lease: Partial<Lease> = {}): Bench {
  const bench = createBench();
  if (bench.table.lease !== null)
    bench.table.lease = { ...bench.table.lease, holder: 'node2', epoch: 4, ...lease };
  return bench;
}

const proof = async () => ok({ kind: 'fenced' as const, epoch: 3 });

test('the record says who is primary, since when and why', async () => {
  const bench = given();
  expect(await finishOperation(withHosts(bench, { fenceOutcome: proof }), input)).toEqual({
    outcome: 'moved',
    primary: 'node2',
    epoch: 4,
    oldHost: 'down',
  });
  expect(bench.table.record).toMatchObject({
    operation: null,
    failoverState: 'stable',
    intendedPrimary: 'node2',
    failoverTargetPrimary: null,
    lastFailover: { operation, from: 'node1', to: 'node2', reason: 'test' },
  });
  expect(bench.table.operations.get(operation)).toMatchObject({
    status: 'succeeded',
    outcome: 'node2 is primary after node1',
  });
});

test.each<[string, Partial<Lease>]>([
  ['somebody else holds it', { holder: 'node3' }],
  ['it was sealed', { state: 'sealed' }],
  ['it is of the old epoch', { epoch: 3 }],
])('nothing is closed over a target without the lease: %s', async (_why, lease) => {
  const bench = given(lease);
  await expect(finishOperation(bench.deps, input)).rejects.toMatchObject({ name: 'TargetLostLease' });
  expect(bench.table.record?.operation?.id).toBe(operation);
});

test('repeated, it closes nothing twice', async () => {
  const bench = given();
  const deps = withHosts(bench, { fenceOutcome: proof });
  const first = await finishOperation(deps, input);
  expect(await finishOperation(deps, input)).toEqual(first);
  expect(bench.events().filter((kind) => kind === 'operation_succeeded')).toHaveLength(1);
});

test('an operation whose place was taken is superseded', async () => {
  const bench = given();
  const other = { id: 'u1-e4-a9', kind: 'failover', executionArn: 'arn:y' } as const;
  if (bench.table.record !== null) bench.table.record = { ...bench.table.record, operation: other };
  await expect(finishOperation(bench.deps, input)).rejects.toMatchObject({ name: 'OperationSuperseded' });
});

test('a hand-over that came back to the old primary is no failover', async () => {
  const bench = given({ holder: 'node1', epoch: 5 });
  const back = {
    plan: { ...plan, path: 'handover' as const, target: 'node2' },
    target: 'node1',
    demoted: {},
  };
  expect(await finishOperation(bench.deps, back)).toMatchObject({ outcome: 'given-back', primary: 'node1' });
  expect(bench.table.record?.lastFailover?.operation).toBe('u1-e2-a1');
  expect(bench.table.operations.get(operation)).toMatchObject({ status: 'aborted' });
});

test('a host that has reported since is alive and left alone', async () => {
  const bench = given();
  const old = bench.table.nodes.get('node1');
  const deps = {
    ...withHosts(bench, { stopInstance: async () => Promise.reject(new Error('must not be stopped')) }),
    sleep: async (ms: number) => {
      await bench.deps.sleep(ms);
      if (old !== undefined && bench.deps.now() >= 2000) bench.table.nodes.set('node1', { ...old, seq: 6 });
    },
  };
  expect(await finishOperation(deps, input)).toMatchObject({ oldHost: 'alive' });
});

test.each([
  ['stopped', 'down', ['host_fencing_requested', 'host_fenced']],
  ['running', 'unsettled', ['host_fencing_requested']],
])('a host of which nothing was heard is stopped; seen %s it is %s', async (state, oldHost, events) => {
  const bench = given();
  const asked: string[] = [];
  const deps = withHosts(bench, {
    stopInstance: async (instanceId) => {
      asked.push(instanceId);
      return ok(undefined);
    },
    instanceState: async () => ok(asked.length === 0 ? 'running' : state),
  });
  expect(await finishOperation(deps, input)).toMatchObject({ oldHost });
  expect(asked).toEqual(['i-1']);
  expect(bench.events().filter((kind) => kind.startsWith('host_'))).toEqual(events);
  // The cluster was closed before the host was waited for.
  expect(bench.table.record?.operation).toBeNull();
});

test('a proof of an older epoch does not settle it', async () => {
  const bench = given();
  let stopped = false;
  const deps = withHosts(bench, {
    fenceOutcome: async () => ok({ kind: 'fenced' as const, epoch: 2 }),
    stopInstance: async () => {
      stopped = true;
      return ok(undefined);
    },
    instanceState: async () => ok(stopped ? 'stopped' : 'running'),
  });
  expect(await finishOperation(deps, input)).toMatchObject({ oldHost: 'down' });
  expect([...bench.table.events.values()].map(({ kind, rule }) => `${kind} ${rule}`)).toEqual(
    expect.arrayContaining(['host_fencing_requested barred-too-low', 'host_fenced instance-stopped']),
  );
});

test('where hosts are isolated, a host of which nothing was heard keeps running', async () => {
  const bench = given();
  const { record } = bench.table;
  const fencing = { mode: 'isolate', securityGroup: 'sg-99999999' } as const;
  if (record !== null) bench.table.record = { ...record, spec: { ...record.spec, fencing } };
  const deps = withHosts(bench, {
    stopInstance: async () => Promise.reject(new Error('must not be stopped')),
  });
  expect(await finishOperation(deps, input)).toMatchObject({ oldHost: 'isolated' });
  expect(bench.table.record?.fencedHosts).toMatchObject([
    { node: 'node1', how: 'isolated', formerGroups: ['sg-11111111'] },
  ]);
});

test('a host that let go by itself is not asked about', async () => {
  const bench = given();
  const deps = withHosts(bench, {
    stopInstance: async () => Promise.reject(new Error('must not be stopped')),
  });
  expect(
    await finishOperation(deps, { ...input, demoted: { ...input.demoted, settled: true } }),
  ).toMatchObject({
    oldHost: 'down',
  });
});
