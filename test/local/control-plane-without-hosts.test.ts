/** A control plane at an endpoint of its own, before any host has joined it: what hosts and operators are told there. */

import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { SendCommandCommand, SSMClient } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCertificateStore } from '../../adapters/aws/certificate-items.ts';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import { proofText } from '../../core/model/tls.ts';
import { parseClusterFile } from '../../core/wire/parse-cluster-file.ts';
import { startLeasehold } from '../integration/support/leasehold-cli.ts';
import { type ControlPlane, embeddedControlPlane } from '../support/embedded-control-plane.ts';
import { sampleNodeReport } from '../support/samples.ts';
import { until } from './fixtures/until.ts';

let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await embeddedControlPlane({ signsCertificates: true });
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

test('its function signs a certificate for a host that asks, and the command line tells whom to trust', async () => {
  const { tableName, awsEndpointUrl, region, accessKeyId, secretAccessKey } = controlPlane.address;
  const client = createDynamoClient(configured());
  const deps = { client, tableName, cluster: 'secured' };
  const nodes = [{ id: 'node2' }];
  const file = parseClusterFile({
    cluster: 'secured',
    nodes,
    tls: { mode: 'required', names: ['db.example'] },
  });
  const certificates = createCertificateStore(deps);
  const store = createClusterStore(deps);
  try {
    await ensureClusterRecord(store, file);
    await store.putNodeReport(sampleNodeReport);
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    const text = proofText('secured', 'database', { node: 'node2', publicKey: key });
    const proof = sign('sha256', Buffer.from(text), privateKey).toString('base64');
    await certificates.putRequest('database', { node: 'node2', publicKey: key, proof });
    const read = async () => {
      const answer = await certificates.readCertificate('node2');
      return answer.kind === 'ok' ? answer.value : null;
    };
    await until(async () => (await read()) !== null, 'the certificate is signed');
    const issued = await read();
    const certificate = new X509Certificate(issued?.certificate ?? '');
    expect(certificate.checkPrivateKey(privateKey)).toBe(true);
    expect(certificate.checkHost('db.example')).toBeDefined();
    const told = await startLeasehold(
      ['authorities', '--cluster', 'secured', '--endpoint-url', awsEndpointUrl],
      {
        ...{ LEASEHOLD_TABLE: tableName, AWS_REGION: region },
        ...{ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
      },
    ).finished;
    expect(told.stdout).toBe(issued?.authorities);
    expect(certificate.verify(new X509Certificate(told.stdout).publicKey)).toBe(true);
    const off = parseClusterFile({ cluster: 'secured', nodes });
    await expect(ensureClusterRecord(store, off)).rejects.toThrow(
      'tls.mode was "off"; it takes "required", as when the cluster was recorded: it cannot be changed',
    );
  } finally {
    client.destroy();
  }
});
