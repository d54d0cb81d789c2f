/** A proxy through a hand-over, with an endpoint that only remembers: what it does, what it tells, and what it leaves alone while clients wait. */
import { expect, test } from 'vitest';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { ok } from '../../adapters/aws/store-answer.ts';
import { ProxyHost, type ProxyHostDeps } from '../../agent/proxy/proxy-host.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { ProxyReport } from '../../core/model/node-report.ts';
import { aLease, aRecord } from '../support/host-states.ts';
import { sampleNodeReport } from '../support/samples.ts';

const operation = 'o1';

function bench() {
  const did: string[] = [];
  const told: ProxyReport[] = [];
  let lease: Lease = aLease({ holder: 'node1', epoch: 1 });
  let record: ClusterRecord = aRecord({
    operation: { id: operation, kind: 'switchover', executionArn: null },
  });
  const [first] = record.epochs;
  const nodes = ['node1', 'node2'].map((node) => ({ ...sampleNodeReport, node }));
  let lost = 0;
  const store = {
    putProxyReport: async (report: ProxyReport) => {
      if (lost > 0) {
        lost -= 1;
        did.push('report lost');
        return { kind: 'unreachable', message: 'away' };
      }
      did.push('report');
      told.push(report);
      return ok(undefined);
    },
  } as Partial<ClusterStore>;
  const host = new ProxyHost({
    config: { node: 'proxy1', instanceId: 'i-p', host: '127.0.0.1', ports: {} },
    incarnation: 'x',
    store,
    keeper: { view: () => ({ record, watch: { lease, sinceMs: 0 } }) },
    endpoint: {
      pause: async () => {
        did.push('pause');
        return { kind: 'paused', tookMs: 1 };
      },
      routeTo: async ({ nodeId }: { nodeId: string }) => {
        did.push(`route ${nodeId}`);
        return { kind: 'done' };
      },
      resume: async () => {
        did.push('resume');
        return { kind: 'resumed' };
      },
      setReplicas: async () => ({ kind: 'done' }),
    },
    wakeUp: { port: 1, wake: (reason: string) => did.push(`wake ${reason}`) },
    directory: { nodes: () => nodes, everyMs: () => 0, read: async () => void did.push('read nodes') },
    restPort: () => 1,
    now: () => 0,
    emit: () => undefined,
    secretUse: () => undefined,
    lacksCertificate: () => false,
    log: () => undefined,
  } as unknown as ProxyHostDeps);
  return {
    told,
    /** So many of the next reports do not arrive. */
    loses: (reports: number) => {
      lost = reports;
    },
    /** What it did since it was asked last, within that time. */
    async within(ms: number): Promise<string[]> {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return did.splice(0);
    },
    /** What it does about this lease, with the epochs up to that one recorded. */
    async sees(change: Partial<Lease>, recorded: number): Promise<string[]> {
      lease = aLease({ holder: 'node1', epoch: 1, ...change });
      const epochs = [1, 2].filter((epoch) => epoch <= recorded);
      record = {
        ...record,
        epochs: epochs.map((epoch) => ({ ...first, epoch, node: `node${epoch}` }) as typeof first & object),
      };
      did.length = 0;
      host.reconcile();
      await new Promise((resolve) => setTimeout(resolve, 5));
      return [...did];
    },
  };
}

test('tells its pause at once, then nothing until clients are let in, and that at once', async () => {
  const { sees, told } = bench();
  expect(await sees({}, 1)).toEqual(['route node1', 'resume', 'report', 'wake proxy', 'read nodes']);
  const announced = { operation, successor: 'node2' };
  expect(await sees(announced, 1)).toEqual(['pause', 'report', 'wake proxy']);
  expect(told.at(-1)).toMatchObject({ paused: true, pausedFor: operation, routesTo: 'node1' });
  expect(await sees(announced, 1)).toEqual([]);
  expect(await sees({ ...announced, state: 'released' }, 1)).toEqual([]);
  expect(await sees({ holder: 'node2', epoch: 2 }, 1)).toEqual([]);
  const open = await sees({ holder: 'node2', epoch: 2 }, 2);
  expect(open.slice(0, 4)).toEqual(['route node2', 'resume', 'report', 'wake proxy']);
  expect(told.at(-1)).toMatchObject({ paused: false, epoch: 2, routesTo: 'node2' });
});

test('a hand-over that is withdrawn lets clients in again, and is told', async () => {
  const { sees, told } = bench();
  await sees({}, 1);
  await sees({ operation, successor: 'node2' }, 1);
  expect(await sees({}, 1)).toEqual(expect.arrayContaining(['route node1', 'resume', 'report']));
  expect(told.at(-1)).toMatchObject({ paused: false, epoch: 1 });
});

test('a pause whose report is lost is reported until that has arrived, soon, and nothing else is done meanwhile', async () => {
  const { sees, told, loses, within } = bench();
  await sees({}, 1);
  loses(3);
  const announced = { operation, successor: 'node2' };
  expect(await sees(announced, 1)).toEqual(['pause', 'report lost', 'report lost']);
  expect(await sees(announced, 1)).toEqual(['report lost']);
  await within(0);
  expect(await within(200)).toEqual(['report', 'wake proxy']);
  expect(told.at(-1)).toMatchObject({ paused: true, pausedFor: operation });
  expect(await sees(announced, 1)).toEqual([]);
});
