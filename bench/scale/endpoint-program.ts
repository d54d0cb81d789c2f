/**
 * A program of the scale suite: DynamoDB as the embedded runtime has it, in memory, alone in its process, with the stack's table. Says where it
 * listens; to each message it answers with what it has used since its start. Ends with the channel.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openDynamoDb } from '../../local/aws/dynamodb.ts';
import { meterDynamoDb } from '../../local/aws/dynamodb-usage.ts';
import { UsageMeter } from '../../local/aws/usage-meter.ts';
import { readBody, send } from '../../local/aws/wire.ts';
import type { EndpointMessage } from './messages.ts';

const tableName = 'leasehold-scale';
const meter = new UsageMeter();
const dynamoDb = await openDynamoDb({ region: 'us-east-1', accountId: '123456789012' });
const attribute = (AttributeName: string) => ({ AttributeName, AttributeType: 'S' });
await dynamoDb.call('CreateTable', {
  TableName: tableName,
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: ['pk', 'sk', 'uid'].map(attribute),
  KeySchema: [
    { AttributeName: 'pk', KeyType: 'HASH' },
    { AttributeName: 'sk', KeyType: 'RANGE' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'clusters',
      KeySchema: [{ AttributeName: 'uid', KeyType: 'HASH' }],
      Projection: { ProjectionType: 'KEYS_ONLY' },
    },
  ],
});
const metered = meterDynamoDb(dynamoDb, meter);
const server = createServer((request, response) => {
  readBody(request)
    .then((body) => metered.handle(request.headers, body))
    .then(({ status, headers, body }) => {
      const { 'Content-Type': type = 'application/x-amz-json-1.0', 'Content-Length': _, ...rest } = headers;
      send(response, status, type, body, rest);
    })
    // Its client went away.
    .catch(() => request.destroy());
});
server.keepAliveTimeout = 300_000;
await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, resolve));
const tell = (message: EndpointMessage) => process.send?.(message);
tell({
  kind: 'listening',
  endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  tableName,
});
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  tell({ kind: 'use', cpuSeconds: (user + system) / 1e6, usage: meter.lines() });
});
process.once('disconnect', () => process.exit(0));
