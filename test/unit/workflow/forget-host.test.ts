/** Letting another machine take a host's name: what is in the way, what is watched, and what an agent that speaks in between keeps. */
import { describe, expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { forgetHost } from '../../../adapters/workflow/forget-host.ts';
import { decideForget, type ForgetView } from '../../../core/failover/decide-forget.ts';
import { createMemoryStore, createMemoryTable } from '../../support/memory-store.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

const sync = { mode: 'off', method: 'any', k: 0, names: [], next: null } as const;
const record = { ...sampleRecord, operation: null, failoverState: 'stable' as const, fencedHosts: [] };
const lease = { ...sampleLease, state: 'held' as const, holder: 'node1', sync };
const gone: ForgetView = {
  ...{ host: 'node2', record, lease, heard: false, instance: 'terminated', althoughSynchronous: false },
  report: { instanceId: 'i-0abc' },
};
const waited = { ...sync, mode: 'strict', k: 1, names: ['node2'] } as const;

describe('the table', () => {
  test.each(['terminated', 'stopped', 'absent'])('an instance that is %s', (instance) => {
    expect(decideForget({ ...gone, instance })).toEqual({
      ...{ kind: 'forget', rule: `instance-${instance}`, instanceId: 'i-0abc' },
    });
  });

  test.each<[string, Partial<ForgetView>]>([
    ['no-such-cluster', { record: null }],
    ['nothing-to-forget', { report: null }],
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
  ])('%s is in the way', (rule, change) => {
    expect(decideForget({ ...gone, ...change })).toMatchObject({ kind: 'refused', rule });
  });

  test('a name that commits wait for goes when that is said', () => {
    const known = { ...gone, lease: { ...lease, sync: waited }, althoughSynchronous: true };
    expect(decideForget(known)).toMatchObject({ kind: 'forget' });
  });
});

/** `atSecond`: what happens while it is watched. */
function bench(atSecond: Readonly<Record<number, () => void>> = {}, instance = 'terminated') {
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
  const store = createMemoryStore({ table });
  const forget = (host: string) =>
    forgetHost(
      {
        who: 'cli',
        hosts: { instanceState: async () => ok(instance) },
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
      { host, althoughSynchronous: false },
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
