/**
 * The AWS wire protocols, as far as bytes go: tells which service and operation a request is for, and writes
 * answers and errors in the shape that clients of that protocol read. Knows no service's meaning.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { XMLBuilder } from 'fast-xml-parser';
import type { ServiceName } from './away.ts';
import { AwsError } from './aws-error.ts';

/** What a request asks for. `unknown` is answered with UnknownOperationException. */
export type Target =
  | { readonly kind: 'json'; readonly service: JsonServiceName; readonly operation: string }
  | { readonly kind: 'query' }
  | { readonly kind: 'invoke'; readonly functionName: string }
  | { readonly kind: 'list-functions' }
  | { readonly kind: 'internal'; readonly path: string }
  | { readonly kind: 'unknown' };

export type JsonServiceName = 'dynamodb' | 'states' | 'ssm' | 'secretsmanager';

const jsonServices: Readonly<Record<string, JsonServiceName>> = {
  DynamoDB_20120810: 'dynamodb',
  AWSStepFunctions: 'states',
  AmazonSSM: 'ssm',
  secretsmanager: 'secretsmanager',
};

export const internalPrefix = '/_leasehold/';

/** Which service and operation the request is for, from its path and headers alone. */
export function targetOf(request: IncomingMessage): Target {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (path.startsWith(internalPrefix)) return { kind: 'internal', path: path.slice(internalPrefix.length) };
  const header = String(request.headers['x-amz-target'] ?? '');
  const [prefix = '', operation = ''] = header.split('.');
  const service = jsonServices[prefix];
  if (service !== undefined && operation !== '') return { kind: 'json', service, operation };
  const invocation = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(path);
  if (invocation?.[1] !== undefined && request.method === 'POST') {
    return { kind: 'invoke', functionName: decodeURIComponent(invocation[1]) };
  }
  if (/^\/2015-03-31\/functions\/?$/.test(path) && request.method === 'GET')
    return { kind: 'list-functions' };
  const form = 'application/x-www-form-urlencoded';
  if (request.method === 'POST' && String(request.headers['content-type'] ?? '').startsWith(form)) {
    return { kind: 'query' };
  }
  return { kind: 'unknown' };
}

/** A DynamoDB batch is 16 MiB at most; no other service here takes more. */
const maxBodyBytes = 16 * 1024 * 1024;

/**
 * The whole body.
 *
 * @throws AwsError when it is longer than any service takes; Error when the client goes away in the middle.
 */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes)
      throw new AwsError('RequestEntityTooLargeException', 'Request too large.', 413);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** Sends one answer. Nothing happens when the client has gone. */
export function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.destroyed || response.writableEnded) return;
  const length = String(Buffer.byteLength(body));
  response.writeHead(status, { 'content-type': contentType, 'content-length': length, ...headers });
  response.end(body);
}

/** The JSON protocols' error. */
export function sendJsonError(response: ServerResponse, contentType: string, error: AwsError): void {
  const body = JSON.stringify({ __type: error.code, message: error.message });
  send(response, error.httpStatus, contentType, body, { 'x-amzn-errortype': error.code });
}

/** Lambda's REST error. */
export function sendRestError(response: ServerResponse, error: AwsError): void {
  const type = error.httpStatus >= 500 ? 'Service' : 'User';
  const body = JSON.stringify({ Type: type, Message: error.message });
  send(response, error.httpStatus, 'application/json', body, { 'x-amzn-errortype': error.code });
}

const xml = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: '@', suppressEmptyNode: true });
const xmlHeader = '<?xml version="1.0" encoding="UTF-8"?>\n';
const ec2Namespace = 'http://ec2.amazonaws.com/doc/2016-11-15/';

/** EC2's answer to `action`: `content` by element name, an array being repeated elements. */
export function sendEc2(response: ServerResponse, requestId: string, action: string, content: object): void {
  const root = { [`${action}Response`]: { '@xmlns': ec2Namespace, requestId, ...content } };
  send(response, 200, 'text/xml;charset=UTF-8', xmlHeader + xml.build(root));
}

export function sendEc2Error(response: ServerResponse, requestId: string, error: AwsError): void {
  const errors = { Error: { Code: error.code, Message: error.message } };
  const body = xmlHeader + xml.build({ Response: { Errors: errors, RequestID: requestId } });
  send(response, error.httpStatus, 'text/xml;charset=UTF-8', body);
}

/** The service whose absence makes this target unreachable. */
export function serviceOf(target: Target): ServiceName | undefined {
  switch (target.kind) {
    case 'json':
      return target.service;
    case 'query':
      return 'ec2';
    case 'invoke':
    case 'list-functions':
      return 'lambda';
    case 'internal':
      return target.path.startsWith('ssm/') ? 'ssm' : undefined;
    case 'unknown':
      return undefined;
  }
}
