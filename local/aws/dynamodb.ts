/**
 * DynamoDB in this process: dynalite's own request listener over a LevelDB folder. Requests are read in full
 * before it sees them, because it throws out of an event handler when a client is killed in the middle of one,
 * which would take the whole runtime down. Every acknowledged write survives a SIGKILL of the process.
 */
import { mkdirSync } from 'node:fs';
import type { IncomingHttpHeaders, Server } from 'node:http';
import { PassThrough } from 'node:stream';
import dynalite from 'dynalite';
import { AwsError } from './aws-error.ts';
import { asObject, isObject, type JsonObject } from './json-value.ts';
import type { TableDefinition } from './template-resources.ts';

/** An answer as it goes over the wire. */
export type WireAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export type DynamoDb = {
  /** Answers one request of a client, whose headers hold the operation and the credentials. */
  handle(headers: IncomingHttpHeaders, body: Buffer): Promise<WireAnswer>;
  /** Makes one call from inside the runtime. Throws AwsError as the service would answer. */
  call(operation: string, input: JsonObject): Promise<JsonObject>;
  /** Creates the tables that do not exist yet. A table that exists with another key is an error. */
  createTables(tables: readonly TableDefinition[]): Promise<void>;
  /** Waits for the operations under way, then closes the folder. */
  close(): Promise<void>;
};

export type DynamoDbOptions = {
  /** Where the tables live; undefined keeps them in memory. */
  readonly folder?: string;
  readonly region: string;
  readonly accountId: string;
};

export async function openDynamoDb(options: DynamoDbOptions): Promise<DynamoDb> {
  if (options.folder !== undefined) mkdirSync(options.folder, { recursive: true });
  const inner = createInner(options);
  // Its close(), which alone closes the database, needs a server that listens; nobody is told this port.
  await new Promise<void>((resolve, reject) => {
    inner.once('error', reject);
    inner.listen({ host: '127.0.0.1', port: 0 }, resolve);
  });
  inner.on('connection', (socket) => socket.destroy());
  const underWay = new Set<Promise<WireAnswer>>();
  let closing = false;

  function send(headers: IncomingHttpHeaders, body: Buffer): Promise<WireAnswer> {
    if (closing) return Promise.resolve(shuttingDown);
    const answer = dispatch(inner, headers, body);
    underWay.add(answer);
    void answer.then(() => underWay.delete(answer));
    return answer;
  }

  const call = async (operation: string, input: JsonObject): Promise<JsonObject> => {
    const answer = await send(internalHeaders(operation), Buffer.from(JSON.stringify(input)));
    const body: unknown = answer.body === '' ? {} : JSON.parse(answer.body);
    if (answer.status !== 200) throw toAwsError(body, answer.status);
    return asObject(body, operation);
  };

  return {
    call,
    async handle(headers, body) {
      const operation = String(headers['x-amz-target'] ?? '').split('.')[1];
      if (operation === 'DescribeContinuousBackups') return describeBackups(call, body);
      return send(headers, body);
    },
    async createTables(tables) {
      for (const table of tables) await createTable(call, table);
    },
    async close() {
      // dynalite throws out of a callback when its folder is closed under an operation.
      closing = true;
      await Promise.all(underWay);
      await new Promise<void>((resolve, reject) => {
        inner.close((error) => (error ? reject(error) : resolve()));
      });
    },
  };
}

const shuttingDown: WireAnswer = {
  status: 503,
  headers: { 'Content-Type': 'application/x-amz-json-1.0' },
  body: JSON.stringify({ __type: 'ServiceUnavailable', message: 'the runtime is shutting down' }),
};

/** dynalite takes account and region for its ARNs from the environment, once, when it is made. */
function createInner(options: DynamoDbOptions): Server {
  const saved = { ...process.env };
  process.env['AWS_ACCOUNT_ID'] = options.accountId;
  process.env['AWS_REGION'] = options.region;
  try {
    const immediately = { createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 };
    return dynalite(options.folder === undefined ? immediately : { ...immediately, path: options.folder });
  } finally {
    for (const key of ['AWS_ACCOUNT_ID', 'AWS_REGION']) {
      if (saved[key] === undefined) delete process.env[key];
      else process.env[key] = saved[key];
    }
  }
}

/** Hands dynalite a request that cannot fail and a response that only collects. */
function dispatch(inner: Server, headers: IncomingHttpHeaders, body: Buffer): Promise<WireAnswer> {
  return new Promise((resolve) => {
    const request = Object.assign(new PassThrough(), {
      method: 'POST',
      url: '/',
      headers: withoutOrigin(headers),
    });
    const sent: Record<string, string> = {};
    const response = {
      statusCode: 200,
      setHeader(name: string, value: string | number) {
        sent[name] = String(value);
      },
      end(text = '') {
        resolve({ status: response.statusCode, headers: sent, body: String(text) });
      },
    };
    inner.emit('request', request, response);
    request.end(body);
  });
}

/** dynalite would let any web page in; the runtime's server has refused browsers already. */
function withoutOrigin(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { origin: _, ...rest } = headers;
  return rest;
}

function internalHeaders(operation: string): IncomingHttpHeaders {
  return {
    'x-amz-target': `DynamoDB_20120810.${operation}`,
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-date': '20260101T000000Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=local, SignedHeaders=host, Signature=local',
  };
}

function toAwsError(body: unknown, status: number): AwsError {
  const error = isObject(body) ? body : {};
  const code = String(error['__type'] ?? 'InternalServerError').replace(/^.*#/, '');
  return new AwsError(code, String(error['message'] ?? error['Message'] ?? ''), status);
}

async function createTable(call: DynamoDb['call'], table: TableDefinition): Promise<void> {
  try {
    await call('CreateTable', table.createTable);
  } catch (error) {
    if (!(error instanceof AwsError && error.code === 'ResourceInUseException')) throw error;
  }
  // Creation is immediate, yet asynchronous; the bound is far above what it takes.
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const description = asObject((await call('DescribeTable', { TableName: table.name }))['Table'], 'Table');
    if (description['TableStatus'] === 'ACTIVE') return requireSameKey(table, description);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`the table ${table.name} did not become active`);
}

function requireSameKey(table: TableDefinition, description: JsonObject): void {
  const [wanted, found] = [table.createTable['KeySchema'], description['KeySchema']].map((schema) =>
    keyText(schema),
  );
  if (wanted !== found) {
    throw new Error(`the table ${table.name} exists with the key ${found}, the template has ${wanted}`);
  }
}

function keyText(schema: unknown): string {
  const parts = Array.isArray(schema) ? schema.filter(isObject) : [];
  return parts
    .map((part) => `${String(part['KeyType'])}=${String(part['AttributeName'])}`)
    .sort()
    .join(' ');
}

/** There is no point-in-time recovery here, and AWS has an honest way to say so. */
async function describeBackups(call: DynamoDb['call'], body: Buffer): Promise<WireAnswer> {
  const headers = { 'Content-Type': 'application/x-amz-json-1.0' };
  try {
    const input = asObject(JSON.parse(body.toString('utf8')), 'the request');
    await call('DescribeTable', { TableName: input['TableName'] });
  } catch (error) {
    const notFound = error instanceof AwsError && error.code === 'ResourceNotFoundException';
    const code = notFound ? 'TableNotFoundException' : 'ValidationException';
    return {
      status: 400,
      headers,
      body: JSON.stringify({ __type: code, message: (error as Error).message }),
    };
  }
  const disabled = { PointInTimeRecoveryStatus: 'DISABLED' };
  const description = { ContinuousBackupsStatus: 'ENABLED', PointInTimeRecoveryDescription: disabled };
  return { status: 200, headers, body: JSON.stringify({ ContinuousBackupsDescription: description }) };
}
