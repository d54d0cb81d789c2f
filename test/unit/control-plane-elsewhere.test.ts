/** Where hosts of this machine join a control plane elsewhere: the file that says so, and what a deployment there is started with. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readControlPlaneElsewhere } from '../../local/runtime/control-plane-elsewhere.ts';
import { cdkEnvironment, readOutputs } from '../localstack/deploy.ts';

const folder = mkdtempSync(join(tmpdir(), 'leasehold-elsewhere-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const good = {
  awsEndpointUrl: 'http://127.0.0.1:4566',
  region: 'us-east-1',
  accessKeyId: 'test',
  secretAccessKey: 'test',
  tableName: 'Table',
  stateMachineArn: 'arn:aws:states:us-east-1:000000000000:stateMachine:Leasehold-failover',
  documents: { runAction: 'RunAction', fence: 'Fence' },
};

function read(value: unknown) {
  const file = join(folder, 'control-plane.json');
  writeFileSync(file, JSON.stringify(value));
  return readControlPlaneElsewhere(file);
}

describe('the file of a control plane elsewhere', () => {
  test('is read as it is; without a file there is none', () => {
    expect(read(good)).toEqual(good);
    expect(readControlPlaneElsewhere(undefined)).toBeNull();
  });

  test.each([
    ['awsEndpointUrl', { ...good, awsEndpointUrl: '127.0.0.1:4566' }],
    ['awsEndpointUrl', { ...good, awsEndpointUrl: 'http://' }],
    ['awsEndpointUrl', { ...good, awsEndpointUrl: 'ftp://127.0.0.1:4566' }],
    ['tableName', { ...good, tableName: '' }],
    ['secretAccessKey', { ...good, secretAccessKey: undefined }],
    ['documents.fence', { ...good, documents: { runAction: 'RunAction' } }],
    ['endpoint', { ...good, endpoint: 'http://127.0.0.1' }],
  ])('is refused naming %s', (field, value) => {
    expect(() => read(value)).toThrow(field);
  });
});

describe('a deployment elsewhere', () => {
  test('passes on nothing of the AWS configuration around it, and no key but a dummy', () => {
    const environment = cdkEnvironment('http://127.0.0.1:4566', '/bin', '/nowhere');
    expect(environment).toMatchObject({
      AWS_ENDPOINT_URL: 'http://localhost.localstack.cloud:4566',
      AWS_ENDPOINT_URL_S3: 'http://s3.localhost.localstack.cloud:4566',
      AWS_ACCESS_KEY_ID: 'test',
      HOME: '/nowhere',
    });
    expect(Object.keys(environment).filter((key) => /PROFILE|SESSION|CONFIG/.test(key))).toEqual([]);
    expect(cdkEnvironment('http://stack.example:80', '/bin', '/x')['AWS_ENDPOINT_URL_S3']).toBe(
      'http://s3.stack.example',
    );
  });

  test('is described by the outputs of the stack, all of them', () => {
    const outputs = {
      TableName: good.tableName,
      StateMachineArn: good.stateMachineArn,
      RunActionDocument: 'RunAction',
      FenceDocument: 'Fence',
    };
    expect(readOutputs(good.awsEndpointUrl, JSON.stringify({ Leasehold: outputs }))).toEqual(good);
    const { FenceDocument: _, ...without } = outputs;
    expect(() => readOutputs('http://x', JSON.stringify({ Leasehold: without }))).toThrow('FenceDocument');
    expect(() => readOutputs('http://x', '{}')).toThrow('TableName');
  });
});
