/**
 * A host that is killed and gives no proof, fenced through EC2 and brought back by `leasehold unfence` (F1, F4): stopped, which is
 * proof, or isolated, which is none.
 */
import { EC2 } from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FencingChoice } from '../../core/model/fencing.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { startLeasehold } from './support/leasehold-cli.ts';
import { eventsOf, eventsSince } from './support/operations.ts';

const wholeMs = 90_000;
const isolationGroup = 'sg-00000000000000002';
let sandbox: ClusterSandbox;
let ec2: EC2;

beforeAll(async () => {
  sandbox = await openClusterSandbox(threeNodes({ lease: { ttlMs: 3_000, heartbeatMs: 500 } }));
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = sandbox.cluster.endpoints();
  ec2 = new EC2({ region, endpoint: awsEndpointUrl, credentials: { accessKeyId, secretAccessKey } });
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
});
afterAll(async () => {
  ec2?.destroy();
  await sandbox?.close();
});

const unfence = (node: string) => startLeasehold(['unfence', node, '--folder', sandbox.project]).finished;

async function instanceOf(node: string): Promise<{ state: string; groups: string[] }> {
  const InstanceIds = [sandbox.cluster.endpoints().nodes[node]?.instanceId ?? ''];
  const { Reservations } = await ec2.describeInstances({ InstanceIds });
  const found = Reservations?.[0]?.Instances?.[0];
  return {
    state: found?.State?.Name ?? '',
    groups: (found?.SecurityGroups ?? []).map(({ GroupId }) => GroupId ?? ''),
  };
}

async function choose(fencing: FencingChoice): Promise<void> {
  const store = sandbox.cluster.store();
  const head = await store.readHead();
  if (head.kind !== 'ok' || head.value.record === null) throw new Error('there is no record');
  const { version, spec } = head.value.record;
  const set = { spec: { ...spec, fencing } };
  expect(await store.updateRecord({ expect: { version }, set })).toMatchObject({ kind: 'ok' });
}

async function fencedHosts(): Promise<unknown> {
  const head = await sandbox.cluster.store().readHead();
  return head.kind === 'ok' ? head.value.record?.fencedHosts : head;
}

describe('a host that gives no proof', () => {
  it('is stopped, although EC2 had gone on calling it running, and unfenced it is a standby again', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const before = await eventsOf(cluster);
    await cluster.killHost(primary);
    expect(await instanceOf(primary)).toMatchObject({ state: 'running' });
    await eventually(
      'the instance stopped',
      async () => (await instanceOf(primary)).state === 'stopped',
      60_000,
    );
    expect(await eventsSince(cluster, before)).toContain('finish host_fencing_requested');
    expect(await fencedHosts()).toMatchObject([{ node: primary, how: 'stopped' }]);
    await eventually('the proof noticed', async () =>
      (await eventsSince(cluster, before)).includes('finish host_fenced'),
    );

    const other = await cluster.standby();
    expect(await unfence(other === primary ? await cluster.primary() : other)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/nothing was done to it through EC2; fenced are: .*\(nothing-to-undo\)/),
    });
    expect(await unfence(primary)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^started i-/) });
    await cluster.untilWhole(wholeMs);
    expect(await cluster.primary()).not.toBe(primary);
    expect(await fencedHosts()).toEqual([]);
    expect(await eventsSince(cluster, before)).toContain('cli host_unfenced');
    expect(await unfence(primary)).toMatchObject({ code: 1 });
  });

  it('is isolated where the specification says so, keeps running, and gets its groups back', async () => {
    const { cluster } = sandbox;
    await choose({ mode: 'isolate', securityGroup: isolationGroup });
    const primary = await cluster.primary();
    const { groups } = await instanceOf(primary);
    const before = await eventsOf(cluster);
    await cluster.killHost(primary);
    await eventually(
      'the host isolated',
      async () => (await eventsSince(cluster, before)).includes('finish host_isolated'),
      60_000,
    );
    expect(await instanceOf(primary)).toEqual({ state: 'running', groups: [isolationGroup] });
    expect(await fencedHosts()).toMatchObject([{ node: primary, how: 'isolated', formerGroups: groups }]);
    expect(await unfence(primary)).toMatchObject({ code: 0 });
    expect(await instanceOf(primary)).toEqual({ state: 'running', groups });
    expect(await fencedHosts()).toEqual([]);
    // Its machine was killed, which EC2 has not noticed: somebody resets it.
    await cluster.bootHost(primary);
    await cluster.untilWhole(wholeMs);
  });
});
