/** What requests of the embedded DynamoDB consume, and that clients notice nothing of the counting. */
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DynamoDb, openDynamoDb, type WireAnswer } from '../../local/aws/dynamodb.ts';
import { meterDynamoDb } from '../../local/aws/dynamodb-usage.ts';
import { UsageMeter, usageBetween } from '../../local/aws/usage-meter.ts';

const TableName = 'metered';
const meter = new UsageMeter();
let plain: DynamoDb;
let metered: DynamoDb;

beforeAll(async () => {
  plain = await openDynamoDb({ region: 'eu-central-1', accountId: '123456789012' });
  metered = meterDynamoDb(plain, meter);
  const key = (AttributeName: string, KeyType: string) => ({ AttributeName, KeyType });
  await plain.createTables([
    {
      name: TableName,
      createTable: {
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: ['pk', 'sk'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
        KeySchema: [key('pk', 'HASH'), key('sk', 'RANGE')],
      },
    } as unknown as Parameters<DynamoDb['createTables']>[0][number],
  ]);
});

afterAll(() => plain.close());

function send(service: DynamoDb, operation: string, input: object): Promise<WireAnswer> {
  const headers = {
    'x-amz-target': `DynamoDB_20120810.${operation}`,
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-date': '20260101T000000Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=local, SignedHeaders=host, Signature=local',
    'user-agent': 'aws-sdk-js/3 app/node1',
  };
  return service.handle(headers, Buffer.from(JSON.stringify({ TableName, ...input })));
}

const item = (sk: string, bytes = 10) => ({
  pk: { S: 'cluster#main' },
  sk: { S: sk },
  text: { S: 'x'.repeat(bytes) },
});
const query = (ConsistentRead: boolean) => ({
  ConsistentRead,
  KeyConditionExpression: 'pk = :pk',
  ExpressionAttributeValues: { ':pk': { S: 'cluster#main' } },
});

async function unitsOf(operation: string, input: object) {
  const before = meter.lines();
  await send(metered, operation, input);
  const lines = usageBetween(before, meter.lines());
  expect(lines).toHaveLength(1);
  return lines[0];
}

test('a write consumes a unit for each begun KB of the item, a consistent read one for each begun 4 KB of all items together', async () => {
  expect(await unitsOf('PutItem', { Item: item('lease') })).toMatchObject({
    who: 'node1',
    what: 'lease',
    writeUnits: 1,
  });
  expect(await unitsOf('PutItem', { Item: item('record', 2_500) })).toMatchObject({ writeUnits: 3 });
  expect(await unitsOf('Query', query(true))).toMatchObject({ what: 'lease and record', readUnits: 1 });
  expect(await unitsOf('Query', query(false))).toMatchObject({ readUnits: 0.5 });
  expect(await unitsOf('PutItem', { Item: item('record', 4_500) })).toMatchObject({ writeUnits: 5 });
  expect(await unitsOf('Query', query(true))).toMatchObject({ readUnits: 2 });
});

test('a refused write is counted as such and consumes too; what DynamoDB does not take consumes nothing', async () => {
  const refused = { Item: item('lease'), ConditionExpression: 'attribute_not_exists(pk)' };
  expect(await unitsOf('PutItem', refused)).toMatchObject({ refused: 1, writeUnits: 1, requests: 1 });
  expect(await unitsOf('PutItem', { Item: {} })).toMatchObject({ writeUnits: 0, requests: 1 });
});

test('a read that finds nothing consumes what the smallest read does', async () => {
  const nobody = { ...query(true), ExpressionAttributeValues: { ':pk': { S: 'cluster#other' } } };
  expect(await unitsOf('Query', nobody)).toMatchObject({ readUnits: 0.5 });
});

test('who did not ask for the units gets the very answer that it would have got, with its sum', async () => {
  const [counted, uncounted] = [
    await send(metered, 'Query', query(true)),
    await send(plain, 'Query', query(true)),
  ];
  expect(JSON.parse(counted.body)).toEqual(JSON.parse(uncounted.body));
  const sum = Object.entries(counted.headers).find(([name]) => name.toLowerCase() === 'x-amz-crc32')?.[1];
  expect(sum).toBe(String(crc32(counted.body)));
});

test('who asks for the units gets them', async () => {
  const answer = await send(metered, 'Query', { ...query(true), ReturnConsumedCapacity: 'TOTAL' });
  expect(JSON.parse(answer.body)).toMatchObject({ ConsumedCapacity: { CapacityUnits: 2 } });
});
