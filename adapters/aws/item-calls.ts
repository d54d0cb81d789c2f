/**
 * The four calls that the store is made of (query, put, update, remove), with their bounds: time, attempts and pages. A write is repeated
 * only when the one before was certainly not made, because a repeated condition would refuse what its lost first try
 * had done; a read, and a put without a condition, may be repeated after any failure.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  DeleteCommandInput,
  PutCommandInput,
  QueryCommandInput,
  UpdateCommandInput,
} from '@aws-sdk/lib-dynamodb';
import type { Item } from '../../core/wire/item-shape.ts';
import type { DynamoClient } from './dynamo-client.ts';
import {
  type Answer,
  type CallOptions,
  type Conditional,
  certainlyNotMade,
  isConditionFailed,
  ok,
  storeFailure,
} from './store-answer.ts';

/** What is used of the client: a fake needs no more. */
export type DocumentClient = Pick<DynamoClient, 'query' | 'put' | 'update' | 'remove'>;

export interface ItemKey {
  readonly pk: string;
  readonly sk: string;
}

export interface ItemCalls {
  /** Strongly consistent unless it is told otherwise; at most `limit` items, in the order asked for. */
  query(
    input: Omit<QueryCommandInput, 'TableName' | 'ConsistentRead'>,
    bounds: QueryBounds,
  ): Promise<Answer<Item[]>>;
  put(
    item: Item & ItemKey,
    input: Omit<PutCommandInput, 'TableName' | 'Item'>,
    o?: CallOptions,
  ): Promise<Conditional<void>>;
  /** Only what the condition says. */
  remove(key: ItemKey, input: Condition, o?: CallOptions): Promise<Conditional<void>>;
  /** The item as it is after the update. */
  update(key: ItemKey, input: UpdateInput, o?: CallOptions): Promise<Conditional<Item>>;
}

/** Of a removal: never without. */
export type Condition = Required<
  Pick<DeleteCommandInput, 'ConditionExpression' | 'ExpressionAttributeValues'>
>;

export type UpdateInput = Omit<UpdateCommandInput, 'TableName' | 'Key' | 'ReturnValues'>;

export interface ReadOptions extends CallOptions {
  /** Eventually consistent: at half the price, and what was just written may be missing. */
  readonly eventually?: boolean;
}

export interface QueryBounds extends ReadOptions {
  readonly limit?: number;
}

const attempts = 3;
const attemptTimeoutMs = 2000;
const backoffMs = 40;
/** Of 1 MB each: no partition of a cluster comes near. */
const mostPages = 50;

export function createItemCalls(deps: { client: DocumentClient; tableName: string }): ItemCalls {
  const { client, tableName: TableName } = deps;
  return {
    query: (input, bounds) =>
      attempt(bounds, 'repeatable', (abortSignal) =>
        queryPages(client, { ...input, TableName }, bounds, abortSignal),
      ),
    put: (Item, input, o = {}) =>
      attemptConditional(
        o,
        input.ConditionExpression === undefined ? 'repeatable' : 'once',
        async (abortSignal) => {
          await client.put({ ...input, TableName, Item }, { abortSignal });
        },
      ),
    remove: (key, input, o = {}) =>
      attemptConditional(o, 'once', async (abortSignal) => {
        await client.remove({ ...input, TableName, Key: { ...key } }, { abortSignal });
      }),
    update: (key, input, o = {}) =>
      attemptConditional(o, 'once', async (abortSignal) => {
        const update = { ...input, TableName, Key: { ...key }, ReturnValues: 'ALL_NEW' } as const;
        const { Attributes } = await client.update(update, { abortSignal });
        if (Attributes === undefined)
          throw new Error('an update with ALL_NEW was answered without attributes');
        return Attributes;
      }),
  };
}

async function queryPages(
  client: DocumentClient,
  input: QueryCommandInput,
  { limit, eventually = false }: QueryBounds,
  abortSignal: AbortSignal,
): Promise<Item[]> {
  const items: Item[] = [];
  let from: QueryCommandInput['ExclusiveStartKey'];
  for (let page = 0; page < mostPages; page += 1) {
    const Limit =
      limit === undefined || input.FilterExpression !== undefined ? undefined : limit - items.length;
    const query = {
      ...input,
      ConsistentRead: !eventually,
      ...(Limit === undefined ? {} : { Limit }),
      ...(from === undefined ? {} : { ExclusiveStartKey: from }),
    };
    const answer = await client.query(query, { abortSignal });
    items.push(...(answer.Items ?? []));
    from = answer.LastEvaluatedKey;
    if (from === undefined || (limit !== undefined && items.length >= limit)) return items;
  }
  throw new Error(`a query of ${input.TableName} has more than ${mostPages} pages`);
}

/** A write with a condition; `refused` when it did not hold. */
async function attemptConditional<T>(
  o: CallOptions,
  repeat: 'repeatable' | 'once',
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<Conditional<T>> {
  return await attempt<Conditional<T>>(o, repeat, async (signal) => ok(await send(signal)), refusal).then(
    (answer) => (answer.kind === 'ok' ? answer.value : answer),
  );
}

function refusal(error: unknown): { readonly kind: 'refused' } | null {
  return isConditionFailed(error) ? { kind: 'refused' } : null;
}

async function attempt<T>(
  o: CallOptions,
  repeat: 'repeatable' | 'once',
  send: (abortSignal: AbortSignal) => Promise<T>,
  answerOf: (error: unknown) => T | null = () => null,
): Promise<Answer<T>> {
  const most = o.timeoutMs === undefined ? attempts : 1;
  for (let tried = 1; ; tried += 1) {
    try {
      // Also while a body is read: the SDK's own time-outs end with the response's head.
      return ok(await send(AbortSignal.timeout(o.timeoutMs ?? attemptTimeoutMs)));
    } catch (error) {
      const answer = answerOf(error);
      if (answer !== null) return ok(answer);
      const failure = storeFailure(error);
      if (failure === null) throw error;
      const mayRepeat =
        failure.kind !== 'denied' && (repeat === 'repeatable' || certainlyNotMade(failure, error));
      if (tried >= most || !mayRepeat) return failure;
      await delay(backoffMs * 2 ** (tried - 1) * (0.5 + Math.random()));
    }
  }
}
