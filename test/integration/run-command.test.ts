/**
 * Operations by Run Command alone: agents do not read their actions from DynamoDB. And Run Command as second hand: it stops a
 * PostgreSQL that has neither agent nor guard (F1), and does no harm when it comes late (F2, O2).
 */
import { SSM } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serverPids } from './support/agents-sandbox.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { dataDirectoryOf, eventsOf, eventsSince, operate, succeeded } from './support/operations.ts';

/** Agents do not read their actions from DynamoDB: all comes through Run Command. */
const file = threeNodes({ actions: 'run-command', lease: { ttlMs: 4_000, heartbeatMs: 500 } });
const wholeMs = 60_000;

let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox(file);
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
});
afterAll(async () => {
  await sandbox?.close();
});

function client(): SSM {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = sandbox.cluster.endpoints();
  return new SSM({ region, endpoint: awsEndpointUrl, credentials: { accessKeyId, secretAccessKey } });
}

async function outputsOf(instanceId: string): Promise<string> {
  const ssm = client();
  const { CommandInvocations = [] } = await ssm.listCommandInvocations({ InstanceId: instanceId });
  const outputs = await Promise.all(
    CommandInvocations.map(async ({ CommandId }) => {
      const invocation = await ssm.getCommandInvocation({
        CommandId: CommandId ?? '',
        InstanceId: instanceId,
      });
      return `${invocation.Status}: ${invocation.StandardOutputContent}`;
    }),
  );
  ssm.destroy();
  return outputs.join('\n');
}

/** Sends a command to a node's host, however late it is, and returns what it printed. */
async function command(node: string, document: string, parameters: Record<string, string>): Promise<string> {
  const ssm = client();
  try {
    const { DocumentIdentifiers = [] } = await ssm.listDocuments({
      Filters: [{ Key: 'Owner', Values: ['Self'] }],
    });
    const name = DocumentIdentifiers.map(({ Name }) => Name ?? '').find((one) => one.includes(document));
    const sent = await ssm.sendCommand({
      DocumentName: name ?? document,
      InstanceIds: [instanceOf(node)],
      Parameters: Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, [value]])),
    });
    const CommandId = sent.Command?.CommandId ?? '';
    return await eventually('the end of the command', async () => {
      const now = await ssm.getCommandInvocation({ CommandId, InstanceId: instanceOf(node) });
      const open = ['Pending', 'InProgress', 'Delayed'].includes(now.Status ?? 'Pending');
      return open ? null : `${now.Status}: ${now.StandardOutputContent}`;
    });
  } finally {
    ssm.destroy();
  }
}

async function epochNow(): Promise<number> {
  const head = await sandbox.cluster.store().readHead();
  if (head.kind !== 'ok' || head.value.lease === null) throw new Error('there is no lease to be read');
  return head.value.lease.epoch;
}

const postmasterOf = (node: string) => sandbox.cluster.endpoints().nodes[node]?.postmasterPid ?? null;

const instanceOf = (node: string): string => sandbox.cluster.endpoints().nodes[node]?.instanceId ?? '';

describe('by Run Command alone', () => {
  it('a switchover completes, and the invocations show pg_ctl', async () => {
    const { cluster } = sandbox;
    const [primary, target] = [await cluster.primary(), await cluster.standby()];
    expect(await operate(cluster, { kind: 'switchover', target })).toEqual(succeeded);
    expect(await cluster.primary()).toBe(target);
    await expect
      .poll(() => outputsOf(instanceOf(primary)), { timeout: 10_000 })
      .toMatch(/Success: .*pg_ctl stop/s);
    await expect
      .poll(() => outputsOf(instanceOf(target)), { timeout: 10_000 })
      .toMatch(/Success: .*pg_ctl promote/s);
  });

  it('a failover completes', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    await cluster.killHost(primary);
    const successor = await eventually(
      'another primary',
      async () => {
        const now = await cluster.primary().catch(() => primary);
        return now === primary ? null : now;
      },
      60_000,
    );
    await expect.poll(() => outputsOf(instanceOf(successor)), { timeout: 10_000 }).toMatch(/pg_ctl promote/);
    await cluster.bootHost(primary);
    await cluster.untilWhole(wholeMs);
  });
});

describe('a command that comes late', () => {
  it('a fence of an older epoch leaves the primary of a newer one alone', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const epoch = await epochNow();
    const before = postmasterOf(primary);
    expect(epoch).toBeGreaterThan(1);
    expect(before).not.toBeNull();
    const printed = await command(primary, 'Fence', { Epoch: String(epoch - 1) });
    expect(printed).toMatch(/^Success: .*"fenced":true.*"killed":0.*"rule":"opened-later"/s);
    await cluster.query(primary, 'create table if not exists after_a_late_fence (i int)');
    expect(postmasterOf(primary)).toBe(before);
    const after = await cluster.store().readHead();
    expect(after).toMatchObject({ value: { lease: { holder: primary, epoch, state: 'held' } } });
  });

  it('an action of an operation that is over changes nothing', async () => {
    const { cluster } = sandbox;
    const [primary, target] = [await cluster.primary(), await cluster.standby()];
    expect(await operate(cluster, { kind: 'switchover', target })).toEqual(succeeded);
    const operations = await cluster.store().listOperations(1);
    const operation = operations.kind === 'ok' ? (operations.value[0]?.id ?? '') : '';
    await cluster.untilWhole(wholeMs);
    const before = await cluster.store().readHead();
    for (const [node, action] of [
      [primary, `stop-and-release@${primary}#1`],
      [target, `acquire-and-promote@${target}#1`],
    ] as const) {
      const printed = await command(node, 'RunAction', { Operation: operation, Action: action });
      expect(printed).toMatch(/^Success: .*"ok":true/s);
    }
    const after = await cluster.store().readHead();
    if (before.kind !== 'ok' || after.kind !== 'ok') throw new Error('DynamoDB does not answer');
    expect(after.value.lease).toMatchObject({
      holder: target,
      epoch: before.value.lease?.epoch,
      state: 'held',
    });
    expect(await cluster.missing()).toEqual([]);
  });
});

describe('agent and guard of the primary, both killed', () => {
  it('Run Command stops and bars PostgreSQL, with proof, and the agent does not open it again', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const directory = await dataDirectoryOf(cluster, primary);
    const guard = cluster.endpoints().nodes[primary]?.guardPid;
    if (guard == null) throw new Error('there is no guard');
    const before = await eventsOf(cluster);
    const epoch = await epochNow();
    await cluster.holdAgent(primary);
    process.kill(guard, 'SIGKILL');
    expect(serverPids(directory).length).toBeGreaterThan(0);
    const successor = await eventually(
      'another primary',
      async () => {
        const now = await cluster.primary().catch(() => primary);
        return now === primary ? null : now;
      },
      60_000,
    );
    await eventually('PostgreSQL is down', () => serverPids(directory).length === 0);
    await expect
      .poll(() => outputsOf(instanceOf(primary)), { timeout: 10_000 })
      .toMatch(new RegExp(`"fenced":true,"epoch":${epoch},"node":"${primary}","killed":[1-9]`));
    await eventually('the end of the operation', async () => {
      const head = await cluster.store().readHead();
      return head.kind === 'ok' && head.value.record?.operation === null;
    });
    // The command was proof enough: EC2 was not asked.
    expect(await eventsSince(cluster, before)).not.toContain('finish host_fencing_requested');
    await cluster.startAgent(primary);
    await cluster.untilWhole(wholeMs);
    expect(await cluster.primary()).toBe(successor);
    expect(await epochNow()).toBe(epoch + 1);
  });
});
