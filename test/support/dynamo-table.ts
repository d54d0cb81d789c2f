/** A DynamoDB of one's own, in memory and in this process, with Leasehold's table, and its index of clusters where it is asked for. */
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import type { AwsConfig } from '../../adapters/aws/dynamo-client.ts';

export interface TestTable {
  readonly config: AwsConfig;
  readonly tableName: string;
  close(): Promise<void>;
}

/** More than any request takes in memory. */
const answeringMs = 150;

export async function startTestTable(
  tableName = 'leasehold',
  { index }: { readonly index?: string } = {},
): Promise<TestTable> {
  const server = dynalite({ createTableMs: 0 });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const config = {
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  const admin = new DynamoDBClient(config);
  await admin.send(
    new CreateTableCommand({
      TableName: tableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['pk', 'sk', ...(index === undefined ? [] : ['uid'])].map((AttributeName) => ({
        AttributeName,
        AttributeType: 'S',
      })),
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      ...(index === undefined ? {} : { GlobalSecondaryIndexes: [ofClusters(index)] }),
    }),
  );
  await waitUntilTableExists({ client: admin, maxWaitTime: 10, minDelay: 0.05 }, { TableName: tableName });
  admin.destroy();
  return {
    config,
    tableName,
    async close() {
      // Whoever still asks is turned away, and what is being answered comes to its end, before the database goes.
      server.removeAllListeners('request');
      server.on('request', (request) => request.destroy());
      server.closeAllConnections();
      await new Promise((resolve) => setTimeout(resolve, answeringMs));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Sparse: only records have a `uid`. */
function ofClusters(IndexName: string) {
  return {
    IndexName,
    KeySchema: [{ AttributeName: 'uid', KeyType: 'HASH' as const }],
    Projection: { ProjectionType: 'KEYS_ONLY' as const },
  };
}
