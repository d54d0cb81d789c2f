/**
 * The DynamoDB client on the wire: signed over what is really sent, by the time that the service has, to the endpoint that the environment
 * names, and given up when no connection comes. What the store makes of its answers is in test/local/cluster-store.test.ts.
 */
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SkewedClock, serviceError } from '../../adapters/aws/dynamo-answer.ts';
import { createDynamoClient, type DynamoClient, endpointOf } from '../../adapters/aws/dynamo-client.ts';

const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret', sessionToken: 'session' };

interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let server: Server | undefined;
let client: DynamoClient | undefined;

afterEach(() => {
  client?.destroy();
  server?.closeAllConnections();
  server?.close();
});

async function against(answer: (seen: Seen) => { status: number; body: unknown; date?: string }) {
  const seen: Seen[] = [];
  const started = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const one = { headers: request.headers, body };
      seen.push(one);
      const { status, body: said, date } = answer(one);
      response.writeHead(status, { ...(date === undefined ? {} : { date }) }).end(JSON.stringify(said));
    });
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
  const made = createDynamoClient({ region: 'eu-central-1', endpoint, credentials });
  client = made;
  return { made, seen };
}

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** The signature that the service would compute of what it received. */
function expectedSignature({ headers, body }: Seen): { readonly given: string; readonly computed: string } {
  const [, names = '', given = ''] =
    /SignedHeaders=([^,]+), Signature=(\w+)/.exec(headers.authorization ?? '') ?? [];
  const date = String(headers['x-amz-date']);
  const canonical = [
    ...['POST', '/', ''],
    ...names.split(';').map((name) => `${name}:${String(headers[name]).trim()}`),
    ...['', names, sha256(body)],
  ].join('\n');
  const scope = `${date.slice(0, 8)}/eu-central-1/dynamodb/aws4_request`;
  const key = scope
    .split('/')
    .reduce<string | Buffer>((last, part) => hmac(last, part), `AWS4${credentials.secretAccessKey}`);
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  return { given, computed: hmac(key, text).toString('hex') };
}

describe('a request', () => {
  it('is signed over what is sent, with the token of a session, and carries attributes as DynamoDB has them', async () => {
    const { made, seen } = await against(() => ({ status: 200, body: { Attributes: { seq: { N: '8' } } } }));
    const Key = { pk: 'cluster#main', sk: 'lease' };
    const answer = await made.update({
      TableName: 't',
      Key,
      ExpressionAttributeValues: { ':a': 7, ':b': ['ü'] },
    });
    expect(answer).toEqual({ Attributes: { seq: 8 } });
    const [one] = seen;
    if (one === undefined) throw new Error('nothing came');
    const { given, computed } = expectedSignature(one);
    expect(given).toBe(computed);
    expect(one.headers.authorization).toMatch(/Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/dynamodb\//);
    expect(one.headers.authorization).toContain('x-amz-security-token');
    expect(one.headers).toMatchObject({
      'x-amz-target': 'DynamoDB_20120810.UpdateItem',
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-security-token': 'session',
    });
    expect(JSON.parse(one.body)).toEqual({
      TableName: 't',
      Key: { pk: { S: 'cluster#main' }, sk: { S: 'lease' } },
      ExpressionAttributeValues: { ':a': { N: '7' }, ':b': { L: [{ S: 'ü' }] } },
    });
  });

  it('says for which application it is made, as the SDK does', async () => {
    const { made, seen } = await against(() => ({ status: 200, body: {} }));
    process.env['AWS_SDK_UA_APP_ID'] = 'some-agent';
    try {
      await made.query({ TableName: 't' });
    } finally {
      delete process.env['AWS_SDK_UA_APP_ID'];
    }
    expect(seen[0]?.headers['user-agent']).toBe('leasehold app/some-agent');
  });

  it('is signed by the time of the service once that has refused one for its time', async () => {
    const aheadMs = 3_600_000;
    const date = new Date(Date.now() + aheadMs).toUTCString();
    const { made, seen } = await against(() => ({
      status: 400,
      body: { __type: 'com.amazon.coral.service#InvalidSignatureException', message: 'expired' },
      date,
    }));
    for (let tries = 0; tries < 2; tries += 1)
      await expect(made.query({ TableName: 't' })).rejects.toMatchObject({
        name: 'InvalidSignatureException',
      });
    const times = seen.map(({ headers }) =>
      Date.parse(String(headers['x-amz-date']).replace(/(....)(..)(..T..)(..)(..)Z/, '$1-$2-$3:$4:$5Z')),
    );
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(aheadMs - 60_000);
  });

  it('that is given up is an AbortError, also in the middle of its answer', async () => {
    const started = createServer((_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"It');
    });
    server = started;
    await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
    client = createDynamoClient({ region: 'eu-central-1', endpoint, credentials });
    const given = client.query({ TableName: 't' }, { abortSignal: AbortSignal.timeout(100) });
    await expect(given).rejects.toMatchObject({ name: 'AbortError' });
  });
});

it('the time of signatures moves only by a difference that would make the service refuse', () => {
  const clock = new SkewedClock();
  const offset = () => Math.round((clock.now().getTime() - Date.now()) / 1_000);
  clock.learn(new Date(Date.now() + 200_000).toUTCString());
  clock.learn(undefined);
  clock.learn('yesterday');
  expect(offset()).toBe(0);
  clock.learn(new Date(Date.now() - 900_000).toUTCString());
  expect(offset()).toBeLessThanOrEqual(-899);
  clock.learn(new Date().toUTCString());
  expect(Math.abs(offset())).toBeLessThanOrEqual(1);
});

it.each([
  [{}, 'eu-central-1', 'https://dynamodb.eu-central-1.amazonaws.com'],
  [{}, 'cn-north-1', 'https://dynamodb.cn-north-1.amazonaws.com.cn'],
  [{ AWS_USE_FIPS_ENDPOINT: 'true' }, 'us-east-1', 'https://dynamodb-fips.us-east-1.amazonaws.com'],
  [{ AWS_ENDPOINT_URL: 'http://all' }, 'us-east-1', 'http://all'],
  [{ AWS_ENDPOINT_URL: 'http://all', AWS_ENDPOINT_URL_DYNAMODB: 'http://one' }, 'us-east-1', 'http://one'],
  [
    { AWS_ENDPOINT_URL: 'http://all', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' },
    'us-east-1',
    'https://dynamodb.us-east-1.amazonaws.com',
  ],
])('with %o requests of %s go to %s', (environment, region, url) => {
  expect(endpointOf(region, environment)).toBe(url);
});

it('an answer that is no JSON keeps its status', () => {
  expect(serviceError({ status: 502, text: '<html>' })).toMatchObject({ $metadata: { httpStatusCode: 502 } });
});
