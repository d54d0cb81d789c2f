/**
 * The sentinel as Lambda runs it: the handler itself, configured by its environment alone, on the event of its schedule, against a table
 * behind DynamoDB's protocol. The metric that the alarm of a cluster without a primary watches is seen to move and to come back.
 */
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { clustersIndex } from '../../adapters/workflow/list-clusters.ts';
import { createLease, renew } from '../../core/lease/lease-write.ts';
import { startTestTable, type TestTable } from '../support/dynamo-table.ts';
import { sampleNodeReport, sampleRecord } from '../support/samples.ts';

const tableName = 'leasehold';
const minuteMs = 60_000;
let server: TestTable;
let client: ReturnType<typeof createDynamoClient>;
let handler: typeof import('../../lambdas/sentinel.ts').handler;
let printed: string[];

beforeAll(async () => {
  server = await startTestTable(tableName, { index: clustersIndex });
  client = createDynamoClient(server.config);
  const { endpoint, region, credentials } = server.config;
  const environment = {
    ...{
      AWS_LAMBDA_FUNCTION_NAME: 'Leasehold-sentinel',
      AWS_REGION: region,
      TABLE_NAME: tableName,
      WATCHING: 'full',
    },
    ...{ AWS_ENDPOINT_URL: endpoint ?? '', AWS_ACCESS_KEY_ID: credentials?.accessKeyId ?? '' },
    ...{ AWS_SECRET_ACCESS_KEY: credentials?.secretAccessKey ?? '', RUN_ACTION_DOCUMENT: 'run' },
    ...{ STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:123456789012:stateMachine:x', FENCE_DOCUMENT: 'fence' },
  };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  // It reads its environment when it is loaded, as in Lambda.
  ({ handler } = await import('../../lambdas/sentinel.ts'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  client.destroy();
  await server.close();
});

beforeEach(() => {
  printed = [];
  vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-11-29T03:00:00.000Z') });
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface EmfLine {
  readonly cluster: string;
  readonly NoPrimary?: number;
  readonly _aws: { readonly CloudWatchMetrics: readonly unknown[] };
}

/** What EventBridge sends each minute. */
const scheduled = {
  ...{ version: '0', id: 'e1', source: 'aws.events', account: '123456789012', region: 'us-east-1' },
  ...{ 'detail-type': 'Scheduled Event', time: '2026-11-29T03:00:00Z', resources: [], detail: {} },
};

/** A minute later: the metrics that the invocation printed for CloudWatch. */
async function minute(): Promise<EmfLine[]> {
  vi.setSystemTime(Date.now() + minuteMs);
  printed = [];
  await handler(scheduled, { awsRequestId: 'r1', functionName: 'Leasehold-sentinel' } as Context);
  const lines = printed.join('').split('\n');
  return lines
    .filter((line) => line.includes('CloudWatchMetrics'))
    .map((line) => JSON.parse(line) as EmfLine);
}

const holder = { node: 'node1', incarnation: 'i-1' };
const members = ['node1', 'node2'];

interface Living {
  /** The holder renews, and both hosts report. */
  live(): Promise<void>;
}

async function cluster(name: string): Promise<Living> {
  const store = createClusterStore({ client, tableName, cluster: name });
  await store.createRecord({
    ...{ ...sampleRecord, cluster: name, uid: `u-${name}`, proxies: [], operation: null },
    ...{ failoverState: 'stable', fencedHosts: [] },
  });
  const made = await store.writeLease(createLease(holder, { ttlMs: 2000, timeline: 1, members }));
  if (made.kind !== 'ok') throw new Error(`the lease could not be made: ${made.kind}`);
  let seq = 0;
  return {
    async live() {
      seq += 1;
      expect(await store.writeLease(renew(made.value, holder))).toMatchObject({ kind: 'ok' });
      for (const node of members)
        await store.putNodeReport({ ...sampleNodeReport, node, instanceId: `i-${node}`, seq });
    },
  };
}

test('NoPrimary goes from 0 to 1 when the holder of one cluster falls silent, and to 0 when it renews again', async () => {
  const main = await cluster('main');
  const orders = await cluster('orders');
  const seen: Record<string, (number | undefined)[]> = { main: [], orders: [] };
  for (const silent of [false, false, true, false]) {
    if (!silent) await main.live();
    await orders.live();
    const lines = await minute();
    expect(lines.map((line) => line.cluster).toSorted()).toEqual(['main', 'orders']);
    for (const line of lines) {
      seen[line.cluster]?.push(line.NoPrimary);
      expect(line._aws.CloudWatchMetrics).toMatchObject([
        { Namespace: 'Leasehold', Dimensions: [['cluster']] },
      ]);
    }
  }
  expect(seen).toEqual({ main: [0, 0, 1, 0], orders: [0, 0, 0, 0] });
});
