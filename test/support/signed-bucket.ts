/**
 * A bucket of S3 on loopback that gives an object only to a request with a right Signature Version 4 of the instance's role. The signature is
 * worked out here a second time, from AWS's description of it, over the headers that the request says it signed.
 */
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { instanceCredentials } from './instance-metadata.ts';

export interface SignedBucket {
  readonly url: string;
  /** What was answered, in order. */
  readonly statuses: number[];
  /** Path, `/bucket/key`, to what is there. */
  readonly objects: Map<string, Buffer>;
  close(): Promise<void>;
}

const form =
  /^AWS4-HMAC-SHA256 Credential=(?<access>[^/]+)\/(?<scope>(?<day>\d{8})\/(?<region>[^/]+)\/s3\/aws4_request), SignedHeaders=(?<names>[a-z0-9;-]+), Signature=(?<signature>[0-9a-f]{64})$/;
/** S3 refuses a request that leaves one of these unsigned. */
const mustBeSigned = ['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'];

export async function startSignedBucket(region: string): Promise<SignedBucket> {
  const statuses: number[] = [];
  const objects = new Map<string, Buffer>();
  const server = createServer((request, response) => {
    const object = objects.get(decodeURIComponent(request.url ?? ''));
    const status = !isSigned(request, region) ? 403 : object === undefined ? 404 : 200;
    statuses.push(status);
    response.writeHead(status).end(status === 200 ? object : `<Error><Code>${status}</Code></Error>`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    statuses,
    objects,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function isSigned(request: IncomingMessage, region: string): boolean {
  const found = form.exec(request.headers.authorization ?? '')?.groups;
  if (found === undefined || found['region'] !== region) return false;
  const { access = '', scope = '', day = '', names = '', signature = '' } = found;
  const signed = names.split(';');
  const token = request.headers['x-amz-security-token'];
  if (access !== instanceCredentials.AccessKeyId || token !== instanceCredentials.Token) return false;
  if (!mustBeSigned.every((name) => signed.includes(name))) return false;
  const canonical = [
    request.method,
    request.url,
    '',
    ...signed.map((name) => `${name}:${request.headers[name]}`),
    '',
    names,
    request.headers['x-amz-content-sha256'],
  ].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, hash].join('\n');
  const hmac = (key: string | Buffer, part: string) => createHmac('sha256', key).update(part).digest();
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(
    hmac,
    `AWS4${instanceCredentials.SecretAccessKey}`,
  );
  return hmac(key, text).toString('hex') === signature;
}
