/**
 * All clusters of a table, from the sparse index that the stack declares: records alone have a `uid`.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { clustersIndex as indexOfReader, listClusters } from '../../adapters/workflow/list-clusters.ts';
import { clustersIndex } from '../../infra/cluster-table.ts';
import { startTestTable, type TestTable } from '../support/dynamo-table.ts';
import { sampleEvent, sampleNodeReport, sampleRecord } from '../support/samples.ts';

const tableName = 'with-index';
let server: TestTable;
let client: ReturnType<typeof createDynamoClient>;

beforeAll(async () => {
  server = await startTestTable(tableName, { index: clustersIndex });
  client = createDynamoClient(server.config);
});

afterAll(async () => {
  client.destroy();
  await server.close();
});

test('reader and stack mean the same index', () => {
  expect(indexOfReader).toBe(clustersIndex);
});

test('an empty table has none', async () => {
  expect(await listClusters(client, tableName)).toEqual([]);
});

test('every cluster is found once, whatever else is in the table', async () => {
  for (const cluster of ['main', 'orders']) {
    const store = createClusterStore({ client, tableName, cluster });
    await store.createRecord({ ...sampleRecord, cluster, uid: `u-${cluster}` });
    await store.putNodeReport(sampleNodeReport);
    await store.putEvent(sampleEvent);
  }
  expect([...(await listClusters(client, tableName))].toSorted()).toEqual(['main', 'orders']);
});

test('more clusters than one page holds are all found', async () => {
  // Keys only, but a page ends at 1 MiB: long keys make it end soon.
  const many = 700;
  for (let at = 0; at < many; at += 1) {
    const pk = `cluster#c${at}-${'x'.repeat(1500)}`;
    await client.put({
      TableName: tableName,
      Item: { pk, sk: 'record', uid: `u${at}-${'y'.repeat(300)}` },
    });
  }
  expect(new Set(await listClusters(client, tableName)).size).toBe(many + 2);
});
