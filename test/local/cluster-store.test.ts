/**
 * The contract of the cluster store over DynamoDB (dynalite) and over memory; then what only the real client can do: name a
 * malformed item, classify errors, and give up in time.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterStore, createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient, type DynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { seal } from '../../core/lease/lease-write.ts';
import { leaseToItem } from '../../core/wire/parse-lease.ts';
import { startTestTable, type TestTable } from '../support/dynamo-table.ts';
import { createMemoryStore, createMemoryTable } from '../support/memory-store.ts';
import { sampleEvent, sampleLease, sampleNodeReport } from '../support/samples.ts';
import { okValue, storeContract } from '../support/store-contract.ts';

let table: TestTable;
let client: DynamoClient;
let clusters = 0;

beforeAll(async () => {
  table = await startTestTable();
  client = createDynamoClient(table.config);
});

afterAll(async () => {
  client.destroy();
  await table.close();
});

function freshStore(): ClusterStore {
  clusters += 1;
  return createClusterStore({ client, tableName: table.tableName, cluster: `c${clusters}` });
}

describe('in DynamoDB', () => storeContract(freshStore));
describe('in memory', () => storeContract(() => createMemoryStore()));

test('the store in memory can lose a request or an answer', async () => {
  const shared = createMemoryTable();
  const failure = { kind: 'unreachable', message: 'lost' } as const;
  let lost: 'request' | 'answer' = 'request';
  const store = createMemoryStore({ table: shared, fault: () => ({ lost, failure }) });
  expect(await store.putNodeReport(sampleNodeReport)).toEqual(failure);
  expect(okValue(await createMemoryStore({ table: shared }).readNodes())).toEqual([]);
  lost = 'answer';
  expect(await store.putNodeReport(sampleNodeReport)).toEqual(failure);
  expect(okValue(await createMemoryStore({ table: shared }).readNodes())).toEqual([sampleNodeReport]);
});

test('an item that is malformed is refused by the name of its attribute', async () => {
  const store = freshStore();
  const Item = { ...leaseToItem(sampleLease), pk: `cluster#c${clusters}`, sk: 'lease', epoch: '3' };
  await client.put({ TableName: table.tableName, Item });
  await expect(store.readHead()).rejects.toThrow(
    expect.objectContaining({ name: 'InvalidInput', field: 'lease.epoch', was: '"3"' }),
  );
});

test('attributes that this version does not know are left as they are', async () => {
  const store = freshStore();
  const key = { pk: `cluster#c${clusters}`, sk: 'lease' };
  const Item = { ...leaseToItem({ ...sampleLease, state: 'held' }), ...key, from_the_future: { deep: [1] } };
  await client.put({ TableName: table.tableName, Item });
  okValue(await store.writeLease(seal(sampleLease)));
  const found = await client.get({ TableName: table.tableName, Key: key, ConsistentRead: true });
  expect(found.Item).toMatchObject({ state: 'sealed', seq: 8, from_the_future: { deep: [1] } });
});

test('an event expires after 90 days', async () => {
  const store = freshStore();
  okValue(await store.putEvent(sampleEvent));
  const Key = { pk: `cluster#c${clusters}#events`, sk: sampleEvent.id };
  const { Item } = await client.get({ TableName: table.tableName, Key, ConsistentRead: true });
  expect(Item?.['expires_at']).toBe(Date.parse('2027-02-19T08:00:00.000Z') / 1000);
});

test('every read that may decide something is strongly consistent', async () => {
  const asked: unknown[] = [];
  const query: DynamoClient['query'] = async (input) => {
    asked.push(input.ConsistentRead);
    return { Items: [], LastEvaluatedKey: undefined };
  };
  const store = createClusterStore({ client: { ...client, query }, tableName: 't', cluster: 'main' });
  await store.readHead();
  await store.readNodes();
  await store.readProxies();
  await store.readOperation('op');
  await store.listOperations(1);
  await store.listEvents(1);
  expect(asked).toEqual([true, true, true, true, true, true]);
  await store.readHead({ eventually: true });
  await store.readNodes({ eventually: true });
  await store.readProxies({ eventually: true });
  expect(asked.splice(6)).toEqual([false, false, false]);
});

test('reads follow pages beyond 1 MB', async () => {
  const store = freshStore();
  const detail = 'x'.repeat(300_000);
  const reports = [1, 2, 3, 4, 5].map((index) => ({ ...sampleNodeReport, node: `node${index}`, detail }));
  for (const report of reports) okValue(await store.putNodeReport(report));
  expect(okValue(await store.readNodes()).map(({ node }) => node)).toEqual(reports.map(({ node }) => node));
});

describe('when the service does not answer as it should', () => {
  let server: Server | undefined;
  let requests = 0;
  let broken: DynamoClient | undefined;

  async function storeAgainst(handle: (request: IncomingMessage, response: ServerResponse) => void) {
    requests = 0;
    const started = createServer((request, response) => {
      requests += 1;
      handle(request, response);
    });
    server = started;
    await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
    broken = createDynamoClient({ ...table.config, endpoint });
    return createClusterStore({ client: broken, tableName: table.tableName, cluster: 'main' });
  }

  const answer = (status: number, type: string) => (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' });
    response.end(JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'because' }));
  };

  afterEach(() => {
    broken?.destroy();
    server?.closeAllConnections();
    server?.close();
  });

  test.each([
    ['a body that never ends', 'head'],
    ['no answer at all', 'nothing'],
  ])('%s is given up after timeoutMs, once', async (_name, sent) => {
    const store = await storeAgainst((_request, response) => {
      if (sent === 'head') response.writeHead(200, { 'content-length': 100 }).write('{"It');
    });
    const startedMs = performance.now();
    expect(await store.readHead({ timeoutMs: 150 })).toMatchObject({ kind: 'unreachable' });
    expect(await store.writeLease(seal(sampleLease), { timeoutMs: 150 })).toMatchObject({
      kind: 'unreachable',
    });
    expect(performance.now() - startedMs).toBeGreaterThan(290);
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(requests).toBe(2);
  });

  test('a connection that breaks is unreachable: reads are repeated, conditional writes are not', async () => {
    const store = await storeAgainst((request) => request.socket.destroy());
    expect(await store.readHead()).toMatchObject({ kind: 'unreachable' });
    expect(requests).toBe(3);
    expect(await store.writeLease(seal(sampleLease))).toMatchObject({ kind: 'unreachable' });
    expect(requests).toBe(4);
    expect(await store.putEvent(sampleEvent)).toMatchObject({ kind: 'unreachable' });
    expect(requests).toBe(7);
  });

  test('nobody listening is unreachable', async () => {
    const store = await storeAgainst(() => {});
    server?.close();
    await new Promise((resolve) => server?.once('close', resolve));
    expect(await store.readHead({ timeoutMs: 500 })).toMatchObject({ kind: 'unreachable' });
  });

  test('an HTML page instead of JSON is unreachable', async () => {
    const store = await storeAgainst((_request, response) => response.writeHead(200).end('<html>'));
    expect(await store.readHead({ timeoutMs: 500 })).toMatchObject({ kind: 'unreachable' });
  });

  test.each([
    [500, 'InternalServerError', 'unreachable', 1],
    [503, 'Whatever', 'unreachable', 1],
    [400, 'ThrottlingException', 'throttled', 3],
    [400, 'ProvisionedThroughputExceededException', 'throttled', 3],
    [400, 'ReplicatedWriteConflictException', 'throttled', 3],
    [400, 'AccessDeniedException', 'denied', 1],
    [400, 'ExpiredTokenException', 'denied', 1],
    [400, 'ConditionalCheckFailedException', 'refused', 1],
  ])('HTTP %i %s is %s, after %i attempts of a conditional write', async (status, type, kind, most) => {
    const store = await storeAgainst(answer(status, type));
    expect(await store.writeLease(seal(sampleLease))).toMatchObject({ kind });
    expect(requests).toBe(most);
    expect(await store.writeLease(seal(sampleLease), { timeoutMs: 1000 })).toMatchObject({ kind });
    expect(requests).toBe(most + 1);
  });

  test('anything else is a bug and is thrown', async () => {
    const store = await storeAgainst(answer(400, 'ValidationException'));
    await expect(store.readHead()).rejects.toThrow('because');
    expect(requests).toBe(1);
  });
});
