/**
 * What the sentinel sends to CloudWatch of a cluster: the very line of the embedded metric format that Powertools prints, from a
 * store in memory. An alarm that watches these names sees them move.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ClusterStore } from '../../../adapters/aws/cluster-store.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import type { WorkflowDeps } from '../../../adapters/workflow/ports.ts';
import { type Looks, watchCluster } from '../../../adapters/workflow/sentinel.ts';
import { createMeasure } from '../../../lambdas/publish-metrics.ts';
import { sampleNodeReport, sampleOperation, sampleProxyReport } from '../../support/samples.ts';
import { type Bench, createBench, operation, unreachable } from './workflow-bench.ts';

interface EmfLine {
  readonly _aws: {
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
  readonly [field: string]: unknown;
}

let printed: string[];

beforeEach(() => {
  printed = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

/** What has been printed since the last call. */
function emf(): EmfLine[] {
  const lines = printed
    .join('')
    .split('\n')
    .filter((line) => line.includes('CloudWatchMetrics'));
  printed = [];
  return lines.map((line) => JSON.parse(line) as EmfLine);
}

const minuteMs = 60_000;
const members = ['node1', 'node2'];

/** A cluster at rest, whose hosts all write between two looks. */
function minutes(bench: Bench, change: Partial<ClusterStore> = {}) {
  const { table } = bench;
  const { record, lease } = table;
  if (record === null || lease === null) throw new Error('the bench has a cluster');
  table.record = { ...record, members, proxies: ['proxy1'], operation: null, failoverState: 'stable' };
  table.operations.delete(operation);
  const looks: Looks = new Map();
  let atMs = Date.parse('2026-11-29T03:00:00.000Z');
  const deps: WorkflowDeps = {
    ...bench.deps,
    storeOf: () => ({ ...bench.store, ...change }),
    time: () => new Date(atMs).toISOString(),
    measure: createMeasure('leasehold'),
    watching: 'full' as const,
  };
  let seq = 10;
  return {
    deps,
    /** Everybody but `silent` writes, and the sentinel looks. */
    async pass(silent: readonly string[] = []): Promise<EmfLine[]> {
      atMs += minuteMs;
      seq += 60;
      const held = table.lease;
      if (held?.state === 'held' && !silent.includes(held.holder)) table.lease = { ...held, seq };
      for (const node of members.filter((one) => !silent.includes(one)))
        table.nodes.set(node, {
          ...sampleNodeReport,
          ...{ node, seq, incarnation: `of-${node}`, lagBytes: node === 'node1' ? null : 160 },
          role: node === 'node1' ? 'primary' : 'standby',
          streaming: node !== 'node1',
        });
      if (!silent.includes('proxy1')) table.proxies.set('proxy1', { ...sampleProxyReport, seq });
      await watchCluster(deps, 'main', looks);
      return emf();
    },
  };
}

test('a cluster that is well says so in one line, with the cluster as its one dimension', async () => {
  const { pass } = minutes(createBench());
  await pass();
  const lines = await pass();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ cluster: 'main', NoPrimary: 0, ReplicationLagBytes: 160 });
  expect(lines[0]?._aws.CloudWatchMetrics).toEqual([
    {
      Namespace: 'Leasehold',
      Dimensions: [['cluster']],
      Metrics: [
        { Name: 'NoPrimary', Unit: 'Count' },
        { Name: 'ReplicationLagBytes', Unit: 'Bytes' },
      ],
    },
  ]);
});

test('NoPrimary goes from 0 to 1 when the primary is gone, and to 0 again when it is back', async () => {
  const bench = createBench();
  const { pass } = minutes(bench);
  const seen = [];
  for (const silent of [[], [], ['node1'], []]) seen.push(...(await pass(silent)));
  expect(seen.map(({ NoPrimary }) => NoPrimary)).toEqual([0, 0, 1, 0]);
  expect(seen.map(({ HostsOut }) => HostsOut)).toEqual([undefined, undefined, 1, undefined]);
  expect(seen.map(({ RenewalsMissedPercent: missed }) => missed)).toEqual([
    undefined,
    undefined,
    100,
    undefined,
  ]);
});

test('NoPrimary is 1 at once when nobody holds the lease', async () => {
  const bench = createBench();
  const { pass } = minutes(bench);
  if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, state: 'sealed' };
  const lines = await pass();
  expect(lines.find((line) => 'NoPrimary' in line)).toMatchObject({ NoPrimary: 1 });
  expect(lines.find((line) => 'SentinelActed' in line)).toMatchObject({ SentinelActed: 1, cluster: 'main' });
});

test('an operation under way says for how long', async () => {
  const bench = createBench();
  const { pass } = minutes(bench);
  const { record } = bench.table;
  if (record === null) throw new Error('there is one');
  bench.table.record = { ...record, operation: { id: operation, kind: 'switchover', executionArn: 'arn:x' } };
  bench.table.operations.set(operation, {
    ...sampleOperation,
    startedAt: '2026-11-29T02:55:00.000Z',
  });
  expect(await pass()).toMatchObject([{ OperationRunningSeconds: 360 }]);
});

test('reports that cannot be read, or do not parse, hide nothing of the lease', async () => {
  for (const readNodes of [
    async () => unreachable,
    async () => {
      throw new Error('node_report.role was "king"');
    },
  ]) {
    const { pass } = minutes(createBench(), { readNodes });
    await pass();
    const lines = await pass(['node1']);
    expect(lines).toMatchObject([{ NoPrimary: 1 }]);
    expect(lines[0]).not.toHaveProperty('HostsOut');
  }
});

test('a cluster at rest costs three reads, and two without a proxy', async () => {
  const bench = createBench();
  const asked: string[] = [];
  const counted = Object.fromEntries(
    (['readHead', 'readNodes', 'readProxies', 'readOperation', 'listEvents'] as const).map((name) => [
      name,
      (...args: never[]) => {
        asked.push(name);
        return (bench.store[name] as (...given: never[]) => unknown)(...args);
      },
    ]),
  ) as Partial<ClusterStore>;
  const { pass } = minutes(bench, counted);
  await pass();
  expect(asked).toEqual(['readHead', 'readNodes', 'readProxies']);
  asked.length = 0;
  if (bench.table.record !== null) bench.table.record = { ...bench.table.record, proxies: [] };
  await pass();
  expect(asked).toEqual(['readHead', 'readNodes']);
});

test('an operation that ends says how, how long it took and why, in one line', async () => {
  const bench = createBench();
  const { deps } = minutes(bench);
  const { record } = bench.table;
  if (record === null) throw new Error('there is one');
  bench.table.record = { ...record, operation: { id: operation, kind: 'switchover', executionArn: 'arn:x' } };
  bench.table.operations.set(operation, { ...sampleOperation, startedAt: '2026-11-29T02:59:30.000Z' });
  emf();
  await watchCluster(
    { ...deps, executions: { ...deps.executions, status: async () => ok('ended' as const) } },
    'main',
    new Map(),
  );
  const line = emf().find((one) => 'OperationFailed' in one);
  expect(line).toMatchObject({
    ...{ cluster: 'main', OperationFailed: 1, Switchovers: 1, OperationSeconds: 30 },
    ...{ error_class: 'Abandoned', operation },
  });
  const names = line?._aws.CloudWatchMetrics[0]?.Metrics.map(({ Name }) => Name);
  expect(names).toEqual(['OperationFailed', 'Switchovers', 'OperationSeconds']);
});
