/**
 * The one HTTP port on which AWS is played: finds out which service a request is for, hands it over, and
 * answers in that service's protocol. Counts every request, delays it where a latency profile says so, and can
 * make a service be away. Only for programs on this machine: it refuses what a browser sends for a web page,
 * because whoever reaches this port can run commands on the hosts.
 */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AwayMode,
  createAway,
  isAwayMode,
  isServiceName,
  type ServiceName,
  serviceNames,
} from './away.ts';
import { AwsError } from './aws-error.ts';
import type { DynamoDb } from './dynamodb.ts';
import { asObject, type JsonObject } from './json-value.ts';
import type { LambdaRunner } from './lambda.ts';
import {
  type JsonServiceName,
  readBody,
  send,
  sendEc2,
  sendEc2Error,
  sendJsonError,
  sendRestError,
  serviceOf,
  type Target,
  targetOf,
} from './wire.ts';

/** A service of the AWS JSON protocol. `handle` throws AwsError for what AWS refuses. */
export type JsonService = {
  handle(operation: string, input: JsonObject): Promise<unknown>;
};

/** A service of the EC2 query protocol: gives the content of the XML answer. */
export type QueryService = {
  handle(action: string, parameters: URLSearchParams): Promise<object>;
};

/** The channel of the SSM workers; answers by itself because it holds requests open. */
export type WorkerChannel = {
  /** `path` is what follows `/_leasehold/ssm/`. */
  handle(path: string, body: Buffer, response: ServerResponse): void;
};

export type AwsServerOptions = {
  /** The address to listen on (default 127.0.0.1). */
  readonly host?: string;
  /** 0 (the default) lets the kernel choose. */
  readonly port?: number;
  readonly dynamoDb: DynamoDb;
  readonly lambda: LambdaRunner;
  readonly stepFunctions?: JsonService;
  readonly ssm?: JsonService & { readonly workers: WorkerChannel };
  readonly secretsManager?: JsonService;
  readonly ec2?: QueryService;
  /**
   * The access key id that every request must be signed for, which makes the id itself the secret: signatures are not
   * checked. Left out, anyone on this machine may do anything.
   */
  readonly accessKeyId?: string;
  /** A latency profile: how long to hold a request before it is served. */
  readonly delayMs?: (service: ServiceName, operation: string) => number;
  /** Told of each request that is served. */
  readonly onRequest?: (service: ServiceName, operation: string, headers: IncomingHttpHeaders) => void;
  /** Told about bugs, which clients see as InternalFailure. */
  readonly onBug?: (error: unknown) => void;
};

export type AwsServer = {
  /** `http://<host>:<port>`, for `AWS_ENDPOINT_URL` and `--endpoint-url`. */
  readonly endpoint: string;
  readonly port: number;
  /** How often each operation was asked for since the start, by `<service>.<Operation>`. */
  requestCounts(): Readonly<Record<string, number>>;
  /** Takes a service away from its clients, or with null brings it back. */
  setAway(service: ServiceName, mode: AwayMode | null): void;
  /** How a service is away; null while it is there. */
  away(service: ServiceName): AwayMode | null;
  /** Serves a client that came another way than through the port. */
  accept(socket: Socket): void;
  /** Stops listening and cuts all connections. The services are closed by their owner. */
  close(): Promise<void>;
};

export async function startAwsServer(options: AwsServerOptions): Promise<AwsServer> {
  const host = options.host ?? '127.0.0.1';
  const away = createAway();
  const counts = new Map<string, number>();
  const context: Context = {
    options,
    away,
    count: (name) => counts.set(name, (counts.get(name) ?? 0) + 1),
    counts: () => Object.fromEntries([...counts].sort()),
  };
  const server = createServer((request, response) => {
    serve(context, request, response).catch((error: unknown) => {
      // The client went away while its request was read; there is nobody to answer.
      if (request.destroyed && !request.complete) return;
      if (error instanceof AwsError) return sendJsonError(response, 'application/json', error);
      options.onBug?.(error);
      send(response, 500, 'application/json', JSON.stringify({ __type: 'InternalFailure' }));
    });
  });
  // SDKs keep connections for minutes; closing one just as it is reused would look like an outage.
  server.keepAliveTimeout = 300_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: options.port ?? 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://${host}:${port}`,
    port,
    requestCounts: context.counts,
    setAway: away.set,
    away: away.get,
    accept: (socket) => void server.emit('connection', socket),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Context = {
  readonly options: AwsServerOptions;
  readonly away: ReturnType<typeof createAway>;
  count(name: string): void;
  counts(): Readonly<Record<string, number>>;
};

async function serve(context: Context, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined) {
    return send(response, 403, 'text/plain', 'not for browsers\n');
  }
  const target = targetOf(request);
  const service = serviceOf(target);
  const mode = service === undefined ? null : context.away.get(service);
  if (mode === 'refuse') return void request.socket.destroy();
  if (mode === 'hang') return void request.resume();
  const requestId = randomUUID();
  response.setHeader('x-amzn-requestid', requestId);
  const body = await readBody(request);
  if (!isAuthorized(context.options.accessKeyId, request)) {
    return sendDenied(response, target, requestId);
  }
  await dispatch(context, { target, request, response, requestId, body });
}

/** AWS clients name the key in their signature, our own processes send it as a bearer token. */
function isAuthorized(accessKeyId: string | undefined, request: IncomingMessage): boolean {
  if (accessKeyId === undefined) return true;
  const header = request.headers.authorization ?? '';
  const given = /^(?:AWS4-HMAC-SHA256 .*?Credential=([^/,\s]+)\/|Bearer (\S+)$)/.exec(header);
  const [left, right] = [given?.[1] ?? given?.[2] ?? '', accessKeyId].map((id) =>
    createHash('sha256').update(id).digest(),
  );
  return left !== undefined && right !== undefined && timingSafeEqual(left, right);
}

function sendDenied(response: ServerResponse, target: Target, requestId: string): void {
  const message = 'The security token included in the request is invalid.';
  if (target.kind === 'query') sendEc2Error(response, requestId, new AwsError('AuthFailure', message, 401));
  else sendJsonError(response, 'application/json', new AwsError('UnrecognizedClientException', message));
}

type Exchange = {
  readonly target: Target;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly body: Buffer;
};

async function dispatch(context: Context, exchange: Exchange): Promise<void> {
  const { target, response, body } = exchange;
  switch (target.kind) {
    case 'json':
      return serveJson(context, exchange, target.service, target.operation);
    case 'query':
      return serveQuery(context, exchange);
    case 'invoke':
      return serveInvoke(context, exchange, target.functionName);
    case 'list-functions':
      return serveListFunctions(context, exchange);
    case 'internal':
      return serveInternal(context, target.path, body, response);
    case 'unknown':
      return sendJsonError(response, 'application/json', new AwsError('UnknownOperationException', '', 404));
  }
}

async function admit(
  context: Context,
  { headers }: IncomingMessage,
  service: ServiceName,
  operation: string,
): Promise<void> {
  context.count(`${service}.${operation}`);
  context.options.onRequest?.(service, operation, headers);
  const delayMs = context.options.delayMs?.(service, operation) ?? 0;
  if (delayMs > 0) await sleep(delayMs);
}

async function serveJson(
  context: Context,
  { request, response, body }: Exchange,
  service: JsonServiceName,
  operation: string,
): Promise<void> {
  await admit(context, request, service, operation);
  const { dynamoDb, stepFunctions: states, ssm, secretsManager: secretsmanager } = context.options;
  if (service === 'dynamodb') {
    const answer = await dynamoDb.handle(request.headers, body);
    const {
      'Content-Type': type = 'application/x-amz-json-1.0',
      'Content-Length': _,
      ...headers
    } = answer.headers;
    return send(response, answer.status, type, answer.body, headers);
  }
  const contentType = request.headers['content-type'] ?? 'application/x-amz-json-1.1';
  await answering(
    (error) => sendJsonError(response, contentType, error),
    async () => {
      const handler = { states, ssm, secretsmanager }[service];
      if (handler === undefined) throw new AwsError('UnknownOperationException', `${service} is not played`);
      const answer = await handler.handle(operation, parseObject(body));
      send(response, 200, contentType, JSON.stringify(answer ?? {}));
    },
  );
}

async function serveQuery(context: Context, { request, response, requestId, body }: Exchange): Promise<void> {
  const parameters = new URLSearchParams(body.toString('utf8'));
  const action = parameters.get('Action') ?? '';
  await admit(context, request, 'ec2', action);
  await answering(
    (error) => sendEc2Error(response, requestId, error),
    async () => {
      const { ec2 } = context.options;
      if (ec2 === undefined)
        throw new AwsError('InvalidAction', `The action ${action} is not valid for this web service.`);
      sendEc2(response, requestId, action, await ec2.handle(action, parameters));
    },
  );
}

async function serveInvoke(context: Context, exchange: Exchange, functionName: string): Promise<void> {
  const { request, response, body } = exchange;
  await admit(context, request, 'lambda', 'Invoke');
  await answering(
    (error) => sendRestError(response, error),
    async () => {
      const payload = body.length === 0 ? '{}' : body.toString('utf8');
      if (!isJson(payload)) {
        throw new AwsError('InvalidRequestContentException', 'Could not parse request body into json');
      }
      const { lambda, onBug } = context.options;
      if (request.headers['x-amz-invocation-type'] === 'Event') {
        lambda.invoke(functionName, payload).catch((error: unknown) => onBug?.(error));
        return send(response, 202, 'application/json', '');
      }
      const answer = await lambda.invoke(functionName, payload);
      const headers: Record<string, string> = { 'x-amz-executed-version': '$LATEST' };
      if (answer.functionError !== undefined) headers['x-amz-function-error'] = answer.functionError;
      send(response, 200, 'application/json', answer.payload, headers);
    },
  );
}

async function serveListFunctions(context: Context, { request, response }: Exchange): Promise<void> {
  await admit(context, request, 'lambda', 'ListFunctions');
  const functions = context.options.lambda.functions.map((definition) => ({
    FunctionName: definition.name,
    FunctionArn: definition.arn,
    Runtime: definition.runtime,
    Handler: definition.handler,
    Timeout: definition.timeoutMs / 1000,
    MemorySize: definition.memoryMb,
    Version: '$LATEST',
    Environment: { Variables: definition.environment },
  }));
  send(response, 200, 'application/json', JSON.stringify({ Functions: functions }));
}

/** Paths of our own, which no AWS client uses. */
function serveInternal(context: Context, path: string, body: Buffer, response: ServerResponse): void {
  const workers = context.options.ssm?.workers;
  if (path.startsWith('ssm/') && workers !== undefined) {
    workers.handle(path.slice(4), body, response);
    return;
  }
  const { status, value } = internalAnswer(context, path, body);
  send(response, status, 'application/json', JSON.stringify(value));
}

function internalAnswer(context: Context, path: string, body: Buffer): { status: number; value: unknown } {
  if (path === 'counts') return { status: 200, value: context.counts() };
  if (path === 'health') return { status: 200, value: { ok: true } };
  if (path !== 'away') return { status: 404, value: { error: `there is nothing at ${path}` } };
  const { service, mode = null } = parseObject(body);
  if (service === undefined) {
    return {
      status: 200,
      value: Object.fromEntries(serviceNames.map((name) => [name, context.away.get(name)])),
    };
  }
  if (!isServiceName(service) || (mode !== null && !isAwayMode(mode))) {
    const error = `service: one of ${serviceNames.join(', ')}; mode: refuse, hang or null`;
    return { status: 400, value: { error } };
  }
  context.away.set(service, mode);
  return { status: 200, value: { [service]: mode } };
}

/** Runs `work` and answers what AWS would refuse; anything else that is thrown is a bug and passes. */
async function answering(refuse: (error: AwsError) => void, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    refuse(error);
  }
}

function parseObject(body: Buffer): JsonObject {
  try {
    return asObject(body.length === 0 ? {} : JSON.parse(body.toString('utf8')), 'the request');
  } catch (error) {
    throw new AwsError('SerializationException', (error as Error).message);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
