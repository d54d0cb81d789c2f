/** A control plane at an endpoint of its own, before any host has joined it: what hosts and operators are told there. */
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { SendCommandCommand, SSMClient } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import { parseClusterFile } from '../../core/wire/parse-cluster-file.ts';
import { type ControlPlane, embeddedControlPlane } from '../support/embedded-control-plane.ts';
import { until } from './fixtures/until.ts';

let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await embeddedControlPlane();
});
afterAll(async () => {
  await controlPlane?.close();
});

function configured() {
  const { awsEndpointUrl: endpoint, region, accessKeyId, secretAccessKey } = controlPlane.address;
  return { endpoint, region, credentials: { accessKeyId, secretAccessKey } };
}

test('a cluster is recorded in its table, and an operation that nobody can carry out is refused by its function', async () => {
  const { tableName, stateMachineArn } = controlPlane.address;
  const dynamoDb = createDynamoClient(configured());
  const sfn = new SFNClient(configured());
  try {
    const file = parseClusterFile({ cluster: 'main', nodes: [{ id: 'node1' }], proxies: [] });
    const store = createClusterStore({ client: dynamoDb, tableName, cluster: 'main' });
    await ensureClusterRecord(store, file);
    const head = await store.readHead();
    expect(head).toMatchObject({ kind: 'ok', value: { record: { cluster: 'main' }, lease: null } });
    const { executionArn } = await sfn.send(
      new StartExecutionCommand({ stateMachineArn, input: '{"cluster":"main"}' }),
    );
    const look = () => sfn.send(new DescribeExecutionCommand({ executionArn }));
    await until(async () => (await look()).status !== 'RUNNING', 'the execution ends');
    expect(await look()).toMatchObject({ status: 'FAILED', cause: expect.stringContaining('lease') });
  } finally {
    sfn.destroy();
    dynamoDb.destroy();
  }
});

test('Run Command there knows no instance of hosts that joined from elsewhere', async () => {
  const ssm = new SSMClient(configured());
  const send = new SendCommandCommand({
    DocumentName: controlPlane.address.documents.runAction,
    InstanceIds: ['i-00000000000000001'],
    Parameters: { Operation: ['x-e1-a1'], Action: ['follow@node1#1'] },
  });
  await expect(ssm.send(send)).rejects.toMatchObject({ name: 'InvalidInstanceId' });
  ssm.destroy();
});
