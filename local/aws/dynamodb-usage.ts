/**
 * Counts what each request of DynamoDB consumes, as the service's own `ReturnConsumedCapacity` says: every request is made to ask for it,
 * and an answer to a client that did not ask is given without it. Says which items a request is about by their keys.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { crc32 } from 'node:zlib';
import type { DynamoDb, WireAnswer } from './dynamodb.ts';
import { isObject, type JsonObject } from './json-value.ts';
import type { UsageAmounts, UsageMeter } from './usage-meter.ts';

/** Those of the operations in use that take `ReturnConsumedCapacity`. */
const reads = new Set(['GetItem', 'Query', 'Scan', 'BatchGetItem']);
const writes = new Set(['PutItem', 'UpdateItem', 'DeleteItem', 'BatchWriteItem']);

/** The same service, with each request that comes by `handle` counted. */
export function meterDynamoDb(dynamoDb: DynamoDb, meter: UsageMeter): DynamoDb {
  return {
    ...dynamoDb,
    async handle(headers, body) {
      const operation = String(headers['x-amz-target'] ?? '').split('.')[1] ?? '';
      const who = applicationOf(headers);
      const input = parseObject(body);
      if (input === null || !(reads.has(operation) || writes.has(operation))) {
        const answer = await dynamoDb.handle(headers, body);
        meter.add({ service: 'dynamodb', operation, what: '', who });
        return answer;
      }
      const asking = { ReturnConsumedCapacity: 'TOTAL', ...input };
      const answer = await dynamoDb.handle(headers, Buffer.from(JSON.stringify(asking)));
      const output = parseObject(answer.body);
      const what = itemsOf(input);
      meter.add({ service: 'dynamodb', operation, what, who }, consumed(operation, answer.status, output));
      const asked = (input['ReturnConsumedCapacity'] ?? 'NONE') !== 'NONE';
      return asked || output === null ? answer : withoutUnits(answer, output);
    },
  };
}

/** `app/<id>` in what an AWS SDK says of itself; '' for any other client. */
export function applicationOf(headers: IncomingHttpHeaders): string {
  return /(?:^| )app\/(\S{1,50})/.exec(headers['user-agent'] ?? '')?.[1] ?? '';
}

/** The class of items: `lease`, `record`, `lease and record`, `nodes`, `operations`, ..., or an index's name. */
export function itemsOf(input: JsonObject): string {
  if (typeof input['IndexName'] === 'string') return `index ${input['IndexName']}`;
  const key = objectIn(input, 'Key') ?? objectIn(input, 'Item');
  const values = Object.values(objectIn(input, 'ExpressionAttributeValues') ?? {});
  const texts = key === null ? values.map(textOf) : [textOf(key['pk'])];
  const partition = texts.find((text) => text.startsWith('cluster#'));
  if (partition === undefined) return '';
  const part = partition.split('#')[2];
  if (part !== undefined) return part;
  return key === null ? 'lease and record' : textOf(key['sk']);
}

/**
 * A refused write consumes units too, of which the error does not tell; here it counts as one, which is right for items of up to 1 KB.
 * A read that finds nothing consumes what the smallest read does.
 */
function consumed(operation: string, status: number, output: JsonObject | null): Partial<UsageAmounts> {
  const error = status === 200 ? '' : String(output?.['__type'] ?? '');
  if (error.endsWith('ConditionalCheckFailedException')) return { refused: 1, writeUnits: 1 };
  if (error.endsWith('ProvisionedThroughputExceededException') || error.endsWith('ThrottlingException')) {
    return { throttled: 1 };
  }
  if (status !== 200) return {};
  const told = output?.['ConsumedCapacity'];
  const tables = Array.isArray(told) ? told : [told];
  const units = tables.reduce<number>((sum, one) => sum + unitsOf(one), 0);
  return writes.has(operation) ? { writeUnits: units } : { readUnits: Math.max(units, smallestRead) };
}

const smallestRead = 0.5;

function unitsOf(capacity: unknown): number {
  const units = isObject(capacity) ? capacity['CapacityUnits'] : undefined;
  return typeof units === 'number' ? units : 0;
}

/** Clients check the sum of what they get. */
function withoutUnits(answer: WireAnswer, output: JsonObject): WireAnswer {
  if (!('ConsumedCapacity' in output)) return answer;
  const { ConsumedCapacity: _, ...rest } = output;
  const body = JSON.stringify(rest);
  const headers = Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => {
      if (name.toLowerCase() === 'x-amz-crc32') return [name, String(crc32(body))];
      return [name, name.toLowerCase() === 'content-length' ? String(Buffer.byteLength(body)) : value];
    }),
  );
  return { ...answer, headers, body };
}

function parseObject(text: string | Buffer): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text.toString('utf8'));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function objectIn(input: JsonObject, name: string): JsonObject | null {
  const value = input[name];
  return isObject(value) ? value : null;
}

/** Of an attribute `{"S": "..."}`. */
function textOf(attribute: unknown): string {
  const text = isObject(attribute) ? attribute['S'] : undefined;
  return typeof text === 'string' ? text : '';
}
