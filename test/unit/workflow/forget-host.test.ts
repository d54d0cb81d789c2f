/** Letting another machine take a host's name: what is in the way, what is watched, and what an agent that speaks in between keeps. */
import { describe, expect, test } from 'vitest';
import type { ClusterStore } from '../../../adapters/aws/cluster-store.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { forgetHost } from '../../../adapters/workflow/forget-host.ts';
import { decideForget, type ForgetView } from '../../../core/failover/decide-forget.ts';
import { createMemoryStore, createMemoryTable, type Fault } from '../../support/memory-store.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

const sync = { mode: 'off', method: 'any', k: 0, names: [], next: null } as const;
const record = { ...sampleRecord, operation: null, failoverState: 'stable' as const, fencedHosts: [] };
const lease = { ...sampleLease, state: 'held' as const, holder: 'node1', sync };
const gone: ForgetView = {
  ...{ host: 'node2', record, lease, heard: false, instance: 'terminated', region: 'eu-central-1' },
  ...{ althoughSynchronous: false, althoughUnknown: false },
  machine: { instanceId: 'i-0abc' },
};
const waited = { ...sync, mode: 'strict', k: 1, names: ['node2'] } as const;

describe('the table', () => {
  test.each(['terminated', 'stopped'])('an instance that is %s', (instance) => {
    expect(decideForget({ ...gone, instance })).toEqual({
      ...{ kind: 'forget', rule: `instance-${instance}`, instanceId: 'i-0abc' },
    });
  });

  test.each<[string, Partial<ForgetView>]>([
    ['no-such-cluster', { record: null }],
    ['nothing-to-forget', { machine: null }],
    ['last-primary', { host: 'node1' }],
    ['last-primary', { host: 'node1', lease: { ...lease, state: 'sealed' } }],
    [
      'operation-under-way',
      { record: { ...record, operation: { id: 'x', kind: 'failover', executionArn: null } } },
    ],
    [
      'bootstrap-under-way',
      { lease: null, record: { ...record, bootstrap: { node: 'node2', nonce: 'n', seq: 1 } } },
    ],
    ['synchronous', { lease: { ...lease, sync: waited } }],
    ['synchronous', { lease: { ...lease, sync: { ...waited, names: ['node3'], next: waited } } }],
    ['still-heard', { heard: true }],
    ['still-heard', { heard: true, althoughSynchronous: true }],
    ['instance-unobserved', { instance: null }],
    ['instance-runs', { instance: 'running' }],
    ['instance-runs', { instance: 'pending' }],
    ['instance-runs', { instance: 'stopping' }],
    ['instance-runs', { instance: 'shutting-down' }],
    ['instance-runs', { instance: 'running', althoughUnknown: true }],
    ['instance-runs', { instance: 'a state of tomorrow' }],
    ['instance-unobserved', { instance: null, althoughUnknown: true }],
  ])('%s is in the way', (rule, change) => {
    expect(decideForget({ ...gone, ...change })).toMatchObject({ kind: 'refused', rule });
  });

  test('that EC2 does not know it is no proof: the region asked is named, and it goes when that is said', () => {
    const unknown = { ...gone, instance: 'absent' };
    expect(decideForget(unknown)).toEqual({
      ...{ kind: 'refused', rule: 'instance-unknown' },
      reason: expect.stringMatching(
        /eu-central-1 does not know its machine i-0abc.*--although-unknown-to-ec2/,
      ),
    });
    expect(decideForget({ ...unknown, althoughUnknown: true })).toMatchObject({ rule: 'instance-absent' });
  });

  test('a name that commits wait for goes when that is said', () => {
    const known = { ...gone, lease: { ...lease, sync: waited }, althoughSynchronous: true };
    expect(decideForget(known)).toMatchObject({ kind: 'forget' });
  });
});

/** `atSecond`: what happens while it is watched. */
function bench(
  atSecond: Readonly<Record<number, () => void>> = {},
  instance = 'terminated',
  fault: (call: keyof ClusterStore) => Fault | null = () => null,
) {
  const table = createMemoryTable();
  table.record = {
    ...record,
    fencedHosts: [
      {
        ...{
          node: 'node2',
          instanceId: 'i-0abc',
          how: 'stopped',
          formerGroups: [],
          epoch: 3,
          operation: 'o',
        },
        time: '2026-11-29T08:00:00.000Z',
      },
    ],
  };
  table.lease = lease;
  table.nodes.set('node2', sampleNodeReport);
  table.proxies.set('proxy1', sampleProxyReport);
  let nowMs = 0;
  const store = createMemoryStore({ table, fault });
  const forget = (host: string) =>
    forgetHost(
      {
        who: 'cli',
        ...{ hosts: { instanceState: async () => ok(instance) }, region: 'eu-central-1' },
        say: () => undefined,
        now: () => nowMs,
        sleep: async (ms) => {
          nowMs += ms;
          atSecond[nowMs / 1000]?.();
        },
        time: () => '2026-11-29T08:00:00.000Z',
        newId: () => `${table.events.size}`,
        log: () => undefined,
      },
      store,
      { host, althoughSynchronous: false, althoughUnknown: false },
    );
  return { table, forget, waitedMs: () => nowMs };
}

test('a silent host is watched for longer than an agent is silent, then forgotten with what was noted of its machine', async () => {
  const { table, forget, waitedMs } = bench();
  expect(await forget('node2')).toEqual({ kind: 'done', instanceId: 'i-0abc' });
  expect(waitedMs()).toBeGreaterThan(20_000);
  expect(table.nodes.has('node2')).toBe(false);
  expect(table.record?.fencedHosts).toEqual([]);
  expect(table.record?.members).toEqual(record.members);
  expect([...table.events.values()]).toMatchObject([{ kind: 'host_forgotten', rule: 'instance-terminated' }]);
  expect(await forget('node2')).toMatchObject({ rule: 'nothing-to-forget' });
});

test.each(['putEvent', 'updateRecord'] as const)(
  'killed after the removal, at %s: another run ends it, without a watch, if the machine is still down',
  async (at) => {
    let killed = false;
    const { table, forget, waitedMs } = bench({}, 'stopped', (call) => {
      if (call !== at || killed) return null;
      killed = true;
      return { lost: 'request', failure: new Error('killed') };
    });
    await expect(forget('node2')).rejects.toThrow('killed');
    expect(table.nodes.has('node2')).toBe(false);
    expect(table.record?.fencedHosts).toHaveLength(1);
    const watchedMs = waitedMs();
    expect(await forget('node2')).toEqual({ kind: 'done', instanceId: 'i-0abc' });
    expect(waitedMs()).toBe(watchedMs);
    expect(table.record?.fencedHosts).toEqual([]);
    expect([...table.events.values()].at(-1)).toMatchObject({
      kind: 'host_forgotten',
      rule: 'instance-stopped',
    });
  },
);

test('the note of a machine that runs, and that nobody reports from, stays', async () => {
  const { table, forget } = bench({}, 'running');
  table.nodes.clear();
  expect(await forget('node2')).toMatchObject({ kind: 'refused', rule: 'instance-runs' });
  expect(table.record?.fencedHosts).toHaveLength(1);
});

test('a proxy likewise', async () => {
  const { table, forget } = bench();
  expect(await forget('proxy1')).toMatchObject({ kind: 'done' });
  expect([...table.proxies.keys()]).toEqual([]);
  expect([...table.nodes.keys()]).toEqual(['node2']);
});

test('one that reports while it is watched keeps its name', async () => {
  const { table, forget } = bench({ 9: () => table.nodes.set('node2', { ...sampleNodeReport, seq: 13 }) });
  expect(await forget('node2')).toMatchObject({ kind: 'refused', rule: 'still-heard' });
  expect(table.nodes.has('node2')).toBe(true);
  expect(table.events.size).toBe(0);
});

test('what changes while it is watched counts', async () => {
  const { table, forget } = bench({
    9: () => {
      table.lease = { ...lease, holder: 'node2' };
    },
  });
  expect(await forget('node2')).toMatchObject({ kind: 'refused', rule: 'last-primary' });
  expect(table.nodes.has('node2')).toBe(true);
});

test('nothing is watched where something is in the way already', async () => {
  const { forget, waitedMs } = bench({}, 'running');
  expect(await forget('node2')).toMatchObject({ kind: 'refused', rule: 'instance-runs' });
  expect(waitedMs()).toBe(0);
});
