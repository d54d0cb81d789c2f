/** The one port: DynamoDB by SDK and CLI, services that are away, and who may use it. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ConditionalCheckFailedException,
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  ResourceNotFoundException,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDynamoDb } from '../../local/aws/dynamodb.ts';
import { awsCli, clientOptions, type Endpoints, hasAwsCli, openEndpoints } from './fixtures/endpoints.ts';
import { type Assembly, synthesise } from './fixtures/synthesise.ts';

let assembly: Assembly;
let endpoints: Endpoints;
let client: DynamoDBClient;
let tableName: string;

beforeAll(async () => {
  assembly = synthesise();
  endpoints = await openEndpoints(assembly.folder);
  client = new DynamoDBClient(clientOptions(endpoints.server.endpoint));
  tableName = endpoints.stack.tables[0]?.name ?? '';
});

afterAll(async () => {
  client?.destroy();
  await endpoints?.close();
  assembly?.remove();
});

const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'lease' } });

describe('DynamoDB through the one port', () => {
  test('the table of the template is there with its key and its ARN', async () => {
    const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
    expect(Table?.TableStatus).toBe('ACTIVE');
    expect(Table?.KeySchema?.map(({ AttributeName }) => AttributeName)).toEqual(['pk', 'sk']);
    expect(Table?.TableArn).toBe(`arn:aws:dynamodb:us-east-1:000000000000:table/${tableName}`);
  });

  test('of twenty racers for one lease exactly one wins', async () => {
    await client.send(
      new PutItemCommand({ TableName: tableName, Item: { ...key('race'), epoch: { N: '1' } } }),
    );
    const attempts = Array.from({ length: 20 }, (_, index) =>
      client.send(
        new UpdateItemCommand({
          TableName: tableName,
          Key: key('race'),
          UpdateExpression: 'SET epoch = :next, holder = :me',
          ConditionExpression: 'epoch = :seen',
          ExpressionAttributeValues: {
            ':next': { N: '2' },
            ':seen': { N: '1' },
            ':me': { S: `node-${index}` },
          },
        }),
      ),
    );
    const outcomes = await Promise.allSettled(attempts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        expect(outcome.reason).toBeInstanceOf(ConditionalCheckFailedException);
    }
  });

  test('a missing table is ResourceNotFoundException', async () => {
    const get = client.send(new GetItemCommand({ TableName: 'absent', Key: key('x') }));
    await expect(get).rejects.toBeInstanceOf(ResourceNotFoundException);
  });

  test('a client that is killed in the middle of a request leaves the runtime alive', async () => {
    const port = endpoints.server.port;
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write('POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\n');
        socket.write('Content-Type: application/x-amz-json-1.0\r\nContent-Length: 500\r\n\r\n{"Table');
        setTimeout(() => socket.resetAndDestroy(), 20);
      });
      socket.on('close', () => resolve());
      socket.on('error', () => {});
    });
    await sleep(50);
    await expect(
      client.send(new GetItemCommand({ TableName: tableName, Key: key('race') })),
    ).resolves.toBeDefined();
  });

  test('items outlive the process that wrote them', async () => {
    const options = { folder: `${endpoints.folder}/again`, region: 'us-east-1', accountId: '000000000000' };
    const first = await openDynamoDb(options);
    await first.createTables(endpoints.stack.tables);
    await first.call('PutItem', { TableName: tableName, Item: { ...key('kept'), epoch: { N: '7' } } });
    await first.close();
    const second = await openDynamoDb(options);
    await second.createTables(endpoints.stack.tables);
    const { Item } = await second.call('GetItem', { TableName: tableName, Key: key('kept') });
    await second.close();
    expect(Item).toMatchObject({ epoch: { N: '7' } });
  });

  test('a table that exists with another key is refused', async () => {
    const [table] = endpoints.stack.tables;
    if (table === undefined) throw new Error('the app has a table');
    const other = {
      ...table,
      createTable: {
        ...table.createTable,
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
      },
    };
    await expect(endpoints.dynamoDb.createTables([other])).rejects.toThrow(/exists with the key/);
  });
});

test('closing under load answers what is under way and loses no acknowledged write', async () => {
  const options = { folder: `${endpoints.folder}/closing`, region: 'us-east-1', accountId: '000000000000' };
  const first = await openDynamoDb(options);
  await first.createTables(endpoints.stack.tables);
  const put = (index: number) =>
    first.call('PutItem', {
      TableName: tableName,
      Item: { ...key(`item-${index}`), n: { N: String(index) } },
    });
  const writes = Array.from({ length: 100 }, (_, index) => put(index));
  await first.close();
  expect((await Promise.allSettled(writes)).every(({ status }) => status === 'fulfilled')).toBe(true);
  await expect(put(100)).rejects.toMatchObject({ code: 'ServiceUnavailable', httpStatus: 503 });
  const second = await openDynamoDb(options);
  const { Count } = await second.call('Scan', { TableName: tableName, Select: 'COUNT' });
  await second.close();
  expect(Count).toBe(100);
});

describe.skipIf(!hasAwsCli)('the AWS CLI', () => {
  test('reads and writes items, and sees a failed condition as AWS reports it', async () => {
    const { endpoint } = endpoints.server;
    const item = JSON.stringify({ ...key('cli'), epoch: { N: '3' } });
    const put = ['dynamodb', 'put-item', '--table-name', tableName, '--item', item];
    expect(await awsCli(endpoint, put)).toMatchObject({ status: 0 });
    const again = await awsCli(endpoint, [...put, '--condition-expression', 'attribute_not_exists(pk)']);
    expect(again.status).toBe(254);
    expect(again.stderr).toContain('An error occurred (ConditionalCheckFailedException)');
  });

  test('is told about backups and about what is not played', async () => {
    const { endpoint } = endpoints.server;
    const backups = await awsCli(endpoint, [
      'dynamodb',
      'describe-continuous-backups',
      '--table-name',
      tableName,
    ]);
    expect(backups.stdout).toContain('"PointInTimeRecoveryStatus": "DISABLED"');
    const missing = await awsCli(endpoint, [
      'dynamodb',
      'describe-continuous-backups',
      '--table-name',
      'absent',
    ]);
    expect(missing.stderr).toContain('TableNotFoundException');
    const unknown = await awsCli(endpoint, ['dynamodb', 'list-exports']);
    expect(unknown.stderr).toContain('UnknownOperationException');
  });
});

describe('a service that is away', () => {
  const get = () => client.send(new GetItemCommand({ TableName: tableName, Key: key('race') }));

  test('refuses at once, and is back when told so', async () => {
    endpoints.server.setAway('dynamodb', 'refuse');
    try {
      await expect(get()).rejects.toMatchObject({ code: 'ECONNRESET' });
    } finally {
      endpoints.server.setAway('dynamodb', null);
    }
    await expect(get()).resolves.toBeDefined();
  });

  test('hangs without an answer until the client gives up, and leaves the others alone', async () => {
    const away = `${endpoints.server.endpoint}/_leasehold/away`;
    const set = (mode: string | null) =>
      fetch(away, { method: 'POST', body: JSON.stringify({ service: 'dynamodb', mode }) });
    expect(await (await set('hang')).json()).toEqual({ dynamodb: 'hang' });
    try {
      const hung = client.send(new GetItemCommand({ TableName: tableName, Key: key('race') }), {
        abortSignal: AbortSignal.timeout(300),
      });
      await expect(hung).rejects.toMatchObject({ name: 'AbortError' });
      const functions = await fetch(`${endpoints.server.endpoint}/2015-03-31/functions`);
      expect(functions.status).toBe(200);
    } finally {
      await set(null);
    }
    await expect(get()).resolves.toBeDefined();
  });

  test('an unknown service or mode is refused by name', async () => {
    const away = `${endpoints.server.endpoint}/_leasehold/away`;
    const answer = await fetch(away, {
      method: 'POST',
      body: JSON.stringify({ service: 's3', mode: 'hang' }),
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('dynamodb, states, ssm, ec2, lambda');
  });
});

describe('the port itself', () => {
  test('counts requests by service and operation', async () => {
    const before = endpoints.server.requestCounts()['dynamodb.GetItem'] ?? 0;
    await client.send(new GetItemCommand({ TableName: tableName, Key: key('race') }));
    expect(endpoints.server.requestCounts()['dynamodb.GetItem']).toBe(before + 1);
  });

  test('refuses a request that a browser makes for a web page', async () => {
    const answer = await fetch(endpoints.server.endpoint, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded' },
      body: 'Action=TerminateInstances',
    });
    expect(answer.status).toBe(403);
  });

  test('delays each call by the latency profile', async () => {
    const slow = await openEndpoints(assembly.folder, {
      delayMs: (service, operation) => (service === 'dynamodb' && operation === 'GetItem' ? 120 : 0),
    });
    const slowClient = new DynamoDBClient(clientOptions(slow.server.endpoint));
    const startedMs = performance.now();
    await slowClient.send(new GetItemCommand({ TableName: tableName, Key: key('x') }));
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(119);
    slowClient.destroy();
    await slow.close();
  });
});
