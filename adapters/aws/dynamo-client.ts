/**
 * The DynamoDB client: the few operations that are used, with plain values for attributes. Connections are kept alive, made or given up
 * quickly, and no request is repeated behind the caller's back: a repeated lease write would be sent later than the time from which
 * its holder counts its deadline.
 *
 * Not the SDK's client, which takes twice the processor time a call and a tenth of an agent's memory (docs/decisions/
 * 2026-11-29-dynamodb-without-the-sdks-client.md): this one is Node's HTTP with the SDK's own signature, credentials and attribute values.
 */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type {
  DeleteCommandInput,
  GetCommandInput,
  GetCommandOutput,
  PutCommandInput,
  QueryCommandInput,
  QueryCommandOutput,
  ScanCommandInput,
  ScanCommandOutput,
  UpdateCommandInput,
  UpdateCommandOutput,
} from '@aws-sdk/lib-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { SignatureV4 } from '@smithy/signature-v4';
import { SkewedClock, serviceError, unreadable } from './dynamo-answer.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface AwsConfig {
  readonly region: string;
  /** Absent: what the environment says, else the region's own. */
  readonly endpoint?: string;
  /** Absent: the SDK's own chain. */
  readonly credentials?: Credentials;
}

export interface RequestOptions {
  readonly abortSignal?: AbortSignal;
}

/** An error of the service has its name and `$metadata.httpStatusCode`; one of the network has its `code`. */
export interface DynamoClient {
  /** Where requests go. */
  readonly endpoint: URL;
  get(input: GetCommandInput, o?: RequestOptions): Promise<Pick<GetCommandOutput, 'Item'>>;
  put(input: PutCommandInput, o?: RequestOptions): Promise<void>;
  remove(input: DeleteCommandInput, o?: RequestOptions): Promise<void>;
  update(input: UpdateCommandInput, o?: RequestOptions): Promise<Pick<UpdateCommandOutput, 'Attributes'>>;
  query(
    input: QueryCommandInput,
    o?: RequestOptions,
  ): Promise<Pick<QueryCommandOutput, 'Items' | 'LastEvaluatedKey'>>;
  scan(
    input: ScanCommandInput,
    o?: RequestOptions,
  ): Promise<Pick<ScanCommandOutput, 'Items' | 'LastEvaluatedKey'>>;
  /** Closes the connections. */
  destroy(): void;
}

/** For every request of every client; calls with a `timeoutMs` of their own are given up earlier. */
export const requestLimits = {
  connectionTimeout: 500,
  requestTimeout: 2000,
  throwOnRequestTimeout: true,
  socketAcquisitionWarningTimeout: 5000,
} as const;

const agentOptions = { keepAlive: true, keepAliveMsecs: 1000, maxSockets: 50 };
/** More than a page of a query has. */
const mostAnswerBytes = 8 * 2 ** 20;

/** The caller destroys it when done. */
export function createDynamoClient(config: AwsConfig): DynamoClient {
  const endpoint = new URL(config.endpoint ?? endpointOf(config.region, process.env));
  const agent = endpoint.protocol === 'http:' ? new HttpAgent(agentOptions) : new HttpsAgent(agentOptions);
  const clock = new SkewedClock();
  const signer = new SignatureV4({
    credentials: config.credentials ?? ambientCredentials(config.region),
    region: config.region,
    service: 'dynamodb',
    sha256: Sha256,
    applyChecksum: false,
  });
  const call = async (operation: string, input: object, o: RequestOptions = {}): Promise<Answer> => {
    const body = JSON.stringify(wired(input));
    const headers = {
      host: endpoint.host,
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDB_20120810.${operation}`,
    };
    const request = { method: 'POST', protocol: endpoint.protocol, hostname: endpoint.hostname, path: '/' };
    const signed = await signer.sign({ ...request, query: {}, headers, body }, { signingDate: clock.now() });
    const unsigned = { 'user-agent': userAgent(), 'content-length': `${Buffer.byteLength(body)}` };
    const answer = await post(endpoint, agent, { ...signed.headers, ...unsigned }, body, o.abortSignal);
    if (answer.status === 200) return plain(answer.text);
    clock.learn(answer.date);
    throw serviceError(answer);
  };
  return {
    endpoint,
    get: (input, o) => call('GetItem', input, o),
    put: async (input, o) => void (await call('PutItem', input, o)),
    remove: async (input, o) => void (await call('DeleteItem', input, o)),
    update: (input, o) => call('UpdateItem', input, o),
    query: (input, o) => call('Query', input, o),
    scan: (input, o) => call('Scan', input, o),
    destroy: () => agent.destroy(),
  };
}

/** As the SDK reads the environment; a profile's `endpoint_url` is not looked for. */
export function endpointOf(region: string, environment: NodeJS.ProcessEnv): string {
  const { AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS } = environment;
  const configured = AWS_ENDPOINT_URL_DYNAMODB || AWS_ENDPOINT_URL;
  if (configured && AWS_IGNORE_CONFIGURED_ENDPOINT_URLS !== 'true') return configured;
  const service = environment['AWS_USE_FIPS_ENDPOINT'] === 'true' ? 'dynamodb-fips' : 'dynamodb';
  return `https://${service}.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

/** Loaded at its first use: a host in EC2 asks its instance's metadata, and keeps what it got until shortly before it expires. */
function ambientCredentials(region: string): () => Promise<Credentials> {
  let chain: (() => Promise<Credentials>) | null = null;
  return async () => {
    if (chain === null) {
      const { defaultProvider } = await import('@aws-sdk/credential-provider-node');
      chain ??= defaultProvider({ clientConfig: { region } });
    }
    return await chain();
  };
}

function userAgent(): string {
  const application = process.env['AWS_SDK_UA_APP_ID'];
  return application ? `leasehold app/${application}` : 'leasehold';
}

/** As the signer asks for it; with a secret it is an HMAC. */
class Sha256 {
  #hash: Hash | Hmac;
  readonly #secret: string | Uint8Array | null;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? null : typeof secret === 'string' ? secret : bytesOf(secret);
    this.#hash = this.#start();
  }
  update(data: Uint8Array): void {
    this.#hash.update(data);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
  reset(): void {
    this.#hash = this.#start();
  }
  #start(): Hash | Hmac {
    return this.#secret === null ? createHash('sha256') : createHmac('sha256', this.#secret);
  }
}

function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  readonly date: string | undefined;
}

function post(
  endpoint: URL,
  agent: HttpAgent | HttpsAgent,
  headers: Record<string, string>,
  body: string,
  signal = AbortSignal.timeout(requestLimits.requestTimeout),
): Promise<HttpAnswer> {
  const start = endpoint.protocol === 'http:' ? requestHttp : requestHttps;
  return new Promise((resolve, reject) => {
    const options = { agent, method: 'POST', path: '/', headers, signal };
    const request = start(endpoint, options, (response) => collect(response, resolve, reject));
    request.on('error', reject);
    request.once('socket', (socket) => {
      if (!socket.connecting) return;
      const late = (): void => {
        socket.destroy(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' }));
      };
      const timer = setTimeout(late, requestLimits.connectionTimeout);
      const done = (): void => clearTimeout(timer);
      socket.once('connect', done).once('close', done);
    });
    request.end(body);
  });
}

function collect(
  response: IncomingMessage,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: Error) => void,
): void {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > mostAnswerBytes) response.destroy(new Error('the answer is too long'));
  });
  response.on('error', reject);
  response.once('end', () =>
    resolve({ status: response.statusCode ?? 0, text, date: response.headers.date }),
  );
}

/** What holds one item, or a list of them, or named values: only there attributes stand. */
const items = ['Item', 'Key', 'ExclusiveStartKey', 'ExpressionAttributeValues'] as const;

function wired(input: object): object {
  const wire: Record<string, unknown> = { ...input };
  for (const name of items) if (wire[name] !== undefined) wire[name] = marshall(wire[name]);
  return wire;
}

type Attributes = Record<string, unknown>;
interface Answer {
  Item?: Attributes;
  Attributes?: Attributes;
  LastEvaluatedKey?: Attributes;
  Items?: Attributes[];
}

function plain(text: string): Answer {
  let wire: Record<'Item' | 'Attributes' | 'LastEvaluatedKey', Wire | undefined> & { Items?: Wire[] };
  try {
    wire = JSON.parse(text);
  } catch (error) {
    throw unreadable(error);
  }
  const answer: Answer = {};
  for (const name of ['Item', 'Attributes', 'LastEvaluatedKey'] as const) {
    if (wire[name] !== undefined) answer[name] = unmarshall(wire[name]);
  }
  if (wire.Items !== undefined) answer.Items = wire.Items.map((item) => unmarshall(item));
  return answer;
}

type Wire = Parameters<typeof unmarshall>[0];
