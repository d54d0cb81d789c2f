/** Operations by Run Command alone: agents do not read their actions from DynamoDB. */
import { SSM } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { operate, succeeded } from './support/operations.ts';

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

async function outputsOf(instanceId: string): Promise<string> {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = sandbox.cluster.endpoints();
  const ssm = new SSM({ region, endpoint: awsEndpointUrl, credentials: { accessKeyId, secretAccessKey } });
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
