/**
 * What the sentinel does of itself each minute, and what it leaves alone.
 */
import { expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { directSilenceMs } from '../../../adapters/workflow/execution-alive.ts';
import type { WorkflowDeps } from '../../../adapters/workflow/ports.ts';
import { watchCluster } from '../../../adapters/workflow/sentinel.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { type Bench, createBench, operation, unreachable } from './workflow-bench.ts';

const arn = 'arn:aws:states:us-east-1:1:execution:x:y';

function given(over: {
  operation?: string | null;
  state?: Lease['state'];
  paused?: boolean;
  by?: string | null;
}): Bench {
  const bench = createBench();
  const { record, lease } = bench.table;
  if (record === null || lease === null) throw new Error('the bench has a cluster');
  const id = over.operation === undefined ? operation : over.operation;
  const executionArn = over.by === undefined ? arn : over.by;
  bench.table.record = {
    ...record,
    paused: over.paused ?? false,
    operation: id === null ? null : { id, kind: 'failover', executionArn },
  };
  bench.table.lease = { ...lease, state: over.state ?? 'held' };
  return bench;
}

const executions = (bench: Bench, change: Partial<WorkflowDeps['executions']>): WorkflowDeps => ({
  ...bench.deps,
  executions: { ...bench.deps.executions, ...change },
});

test('all is well: nothing', async () => {
  const bench = given({ operation: null });
  expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'nothing' });
  expect(bench.events()).toEqual([]);
});

test('an operation whose execution runs is left alone, even with nobody holding the lease', async () => {
  const bench = given({ state: 'sealed' });
  expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'nothing' });
  expect(bench.table.record?.operation?.id).toBe(operation);
});

test.each(['ended', 'absent'] as const)(
  'an operation whose execution is %s is closed as failed',
  async (status) => {
    const bench = given({});
    const deps = executions(bench, { status: async () => ok(status) });
    expect(await watchCluster(deps, 'main', new Map())).toMatchObject({ did: 'closed-operation' });
    expect(bench.table.record).toMatchObject({ operation: null, failoverState: 'stable' });
    expect(bench.table.operations.get(operation)).toMatchObject({ status: 'failed' });
    expect(bench.measured).toContainEqual({ cluster: 'main', figures: { SentinelActed: 1 }, about: {} });
    expect(bench.measured).toContainEqual({
      cluster: 'main',
      figures: expect.objectContaining({ OperationFailed: 1, Switchovers: 1 }),
      about: { operation, error_class: 'Abandoned' },
    });
  },
);

test('with the lease free too, a failover is started at once', async () => {
  const bench = given({ state: 'released' });
  const started: string[] = [];
  const deps = executions(bench, {
    status: async () => ok('ended'),
    start: async ({ name, input }) => {
      started.push(`${name} ${input}`);
      return ok('started');
    },
  });
  expect(await watchCluster(deps, 'main', new Map())).toMatchObject({ did: 'closed-and-started' });
  expect(started).toHaveLength(1);
  expect(started[0]).toMatch(/^main-u1-e3-a3 \{"cluster":"main","kind":"failover"/);
  // For this epoch only: one that is carried out late moves nobody who took over meanwhile.
  expect(started[0]).toContain('"epoch":3');
});

test.each(['sealed', 'released', 'fenced'] as const)(
  'a lease that is %s with nobody at work is moved',
  async (state) => {
    const bench = given({ operation: null, state });
    expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'started-failover' });
    expect(bench.events()).toContain('sentinel_acted');
  },
);

test('a name that an execution had used before it claimed anything does not block the next', async () => {
  const bench = given({ operation: null, state: 'sealed' });
  const names: string[] = [];
  const deps = executions(bench, {
    start: async ({ name }) => {
      names.push(name);
      return ok(names.length === 1 ? 'exists' : 'started');
    },
  });
  expect(await watchCluster(deps, 'main', new Map())).toMatchObject({ did: 'started-failover' });
  expect(names).toHaveLength(2);
  expect(names[1]).not.toBe(names[0]);
});

test('a paused cluster is not failed over', async () => {
  const bench = given({ operation: null, state: 'sealed', paused: true });
  expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'nothing' });
});

test('Step Functions that does not answer is no proof that an execution is dead', async () => {
  const bench = given({ state: 'sealed' });
  const deps = executions(bench, { status: async () => unreachable });
  await expect(watchCluster(deps, 'main', new Map())).rejects.toMatchObject({ name: 'StoreUnreachable' });
  expect(bench.table.record?.operation?.id).toBe(operation);
});

test('an operation that is run from a terminal counts as dead when it changes nothing for long', async () => {
  const bench = given({ by: 'direct:operator' });
  expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'closed-operation' });
  expect(bench.deps.now()).toBeGreaterThanOrEqual(directSilenceMs);
});

test('and as alive when the record moves on', async () => {
  const bench = given({ by: null });
  const deps: WorkflowDeps = {
    ...bench.deps,
    sleep: async (ms) => {
      await bench.deps.sleep(ms);
      await bench.store.updateRecord({ expect: {}, set: {} });
    },
  };
  expect(await watchCluster(deps, 'main', new Map())).toMatchObject({ did: 'nothing' });
});

test('a cluster that is not there yet is left alone', async () => {
  const bench = createBench();
  bench.table.lease = null;
  expect(await watchCluster(bench.deps, 'main', new Map())).toMatchObject({ did: 'nothing' });
});
