/** Undoing what fencing did through EC2 (F4): what is undone, in which order of refusals, and what stays noted when it fails. */
import { describe, expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { unfenceHost } from '../../../adapters/workflow/unfence.ts';
import { decideUnfence, type UnfenceView } from '../../../core/failover/decide-unfence.ts';
import type { ClusterRecord } from '../../../core/model/cluster-record.ts';
import { type FencedHost, forgetFencedHost, noteFencedHost } from '../../../core/model/fencing.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { type Bench, createBench, operation, unreachable, withHosts } from './workflow-bench.ts';

const stopped: FencedHost = {
  node: 'node1',
  instanceId: 'i-1',
  how: 'stopped',
  formerGroups: [],
  epoch: 3,
  operation,
  time: '2026-11-21T08:00:00.000Z',
};
const isolated: FencedHost = { ...stopped, how: 'isolated', formerGroups: ['sg-11111111', 'sg-22222222'] };

/** The cluster after a failover from node1 to node2. */
function given(
  host: FencedHost | null,
  record: Partial<ClusterRecord> = {},
  lease: Partial<Lease> = {},
): Bench {
  const bench = createBench();
  const { table } = bench;
  if (table.record === null || table.lease === null) throw new Error('the bench has no cluster');
  const fencedHosts = host === null ? [] : [host];
  table.record = { ...table.record, operation: null, failoverState: 'stable', fencedHosts, ...record };
  table.lease = { ...table.lease, holder: 'node2', epoch: 4, ...lease };
  return bench;
}

describe('what was done to a host', () => {
  test('a stopped instance is started, and the note is removed once it runs', async () => {
    const bench = given(stopped);
    const states = ['stopped', 'pending', 'pending', 'running'];
    const started: string[] = [];
    const deps = withHosts(bench, {
      instanceState: async () => ok(states.shift() ?? 'running'),
      startInstance: async (instanceId) => {
        started.push(instanceId);
        return ok(undefined);
      },
    });
    expect(await unfenceHost(deps, bench.store, 'node1')).toEqual({ kind: 'done', did: ['started i-1'] });
    expect(started).toEqual(['i-1']);
    expect(bench.table.record?.fencedHosts).toEqual([]);
    expect([...bench.table.events.values()]).toMatchObject([
      { kind: 'host_unfenced', rule: 'start-instance' },
    ]);
  });

  test('an isolated instance gets back the groups that it had, and is not started', async () => {
    const bench = given(isolated);
    const asked: unknown[] = [];
    const deps = withHosts(bench, {
      setSecurityGroups: async (...of) => {
        asked.push(of);
        return ok(undefined);
      },
      startInstance: async () => Promise.reject(new Error('must not be started')),
    });
    expect(await unfenceHost(deps, bench.store, 'node1')).toMatchObject({ kind: 'done' });
    expect(asked).toEqual([['i-1', ['sg-11111111', 'sg-22222222']]]);
    expect(bench.table.record?.fencedHosts).toEqual([]);
  });

  test('one that was isolated and then stopped has both undone', async () => {
    const bench = given(isolated);
    let runs = false;
    const deps = withHosts(bench, {
      instanceState: async () => ok(runs ? 'running' : 'stopped'),
      startInstance: async () => {
        runs = true;
        return ok(undefined);
      },
    });
    const undone = await unfenceHost(deps, bench.store, 'node1');
    expect(undone).toMatchObject({
      kind: 'done',
      did: [expect.stringContaining('sg-11111111'), 'started i-1'],
    });
  });

  test('one that somebody has started already only loses its note', async () => {
    const bench = given(stopped);
    expect(await unfenceHost(bench.deps, bench.store, 'node1')).toMatchObject({ kind: 'done' });
    expect(bench.table.record?.fencedHosts).toEqual([]);
  });

  test.each([
    ['EC2 does not take the groups', isolated, { setSecurityGroups: async () => unreachable }],
    [
      'EC2 does not start it',
      stopped,
      { instanceState: async () => ok('stopped'), startInstance: async () => unreachable },
    ],
    ['it never runs', stopped, { instanceState: async () => ok('stopped') }],
  ])('stays noted where it could not be undone: %s', async (_why, host, hosts) => {
    const bench = given(host);
    expect(await unfenceHost(withHosts(bench, hosts), bench.store, 'node1')).toMatchObject({
      kind: 'failed',
    });
    expect(bench.table.record?.fencedHosts).toEqual([host]);
    expect(bench.events()).toEqual([]);
  });
});

describe('it is refused', () => {
  const view = (bench: Bench, instance: string | null = 'stopped', node = 'node1'): UnfenceView => {
    const { record, lease } = bench.table;
    if (record === null) throw new Error('the bench has no record');
    return { node, record, lease, instance };
  };
  const underWay = { operation: { id: 'o', kind: 'failover', executionArn: null } } as const;

  test.each<[string, UnfenceView, string]>([
    ['nothing was done to the node', view(given(null)), 'nothing-to-undo'],
    ['something was done to another node', view(given(stopped), 'running', 'node3'), 'nothing-to-undo'],
    ['the node holds the lease', view(given(stopped, {}, { holder: 'node1' })), 'holds-the-lease'],
    ['an operation is under way', view(given(stopped, underWay)), 'operation-under-way'],
    ['EC2 does not answer', view(given(stopped), null), 'instance-unobserved'],
    ['the instance is terminated', view(given(stopped), 'terminated'), 'instance-gone'],
    ['the instance is being terminated', view(given(stopped), 'shutting-down'), 'instance-gone'],
    ['EC2 does not know the instance', view(given(stopped), 'absent'), 'instance-unknown'],
    ['the instance is still being stopped', view(given(stopped), 'stopping'), 'instance-stopping'],
  ])('when %s', (_why, state, rule) => {
    expect(decideUnfence(state)).toMatchObject({ kind: 'refused', rule });
  });

  test('says who is fenced, when it is not this one', () => {
    expect(decideUnfence(view(given(stopped), 'running', 'node3'))).toMatchObject({
      reason: 'nothing was done to it through EC2; fenced are: node1',
    });
  });

  test('and then nothing is touched', async () => {
    const bench = given(stopped, {}, { holder: 'node1' });
    const deps = withHosts(bench, {
      instanceState: async () => ok('stopped'),
      startInstance: async () => Promise.reject(new Error('must not be started')),
    });
    expect(await unfenceHost(deps, bench.store, 'node1')).toMatchObject({ rule: 'holds-the-lease' });
    expect(bench.table.record?.fencedHosts).toEqual([stopped]);
  });
});

describe('the notes', () => {
  test('are one a node, and the newest counts', () => {
    const later = { ...stopped, epoch: 5 };
    const other = { ...stopped, node: 'node2', instanceId: 'i-2' };
    expect(noteFencedHost([stopped, other], later)).toEqual([other, later]);
    expect(forgetFencedHost([other, later], 'node1')).toEqual([other]);
  });

  test('keep the groups from before the first isolation', () => {
    const again = { ...isolated, formerGroups: ['sg-99999999'] };
    expect(noteFencedHost([isolated], again)).toEqual([isolated]);
    expect(noteFencedHost([isolated], { ...stopped, epoch: 5 })).toEqual([{ ...isolated, epoch: 5 }]);
  });

  test('of a former instance of that node say nothing of the new one', () => {
    const replaced = { ...stopped, instanceId: 'i-9' };
    expect(noteFencedHost([isolated], replaced)).toEqual([replaced]);
  });
});
