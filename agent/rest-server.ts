/**
 * The agent's HTTP endpoint: health checks as Patroni defines them (`core/host/health.ts` decides) `/patroni`, the
 * node's state as JSON, and `/metrics`; POSTs go to the peer channel. Every answer is computed when it is asked; nothing here waits for PostgreSQL or DynamoDB.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type HealthFacts, healthAnswer } from '../core/host/health.ts';

export interface RestServerDeps {
  readonly host: string;
  readonly port: number;
  readonly facts: () => HealthFacts;
  /** POSTs of other agents: false when the path is none of theirs. */
  readonly take?: (path: string, request: IncomingMessage, response: ServerResponse) => boolean;
  /** `/metrics` in Prometheus' text format; absent: no such path. */
  readonly metrics?: () => string;
  /** What `/patroni` and the body of the health checks say. */
  readonly status: () => object;
}

export interface RestServer {
  readonly port: number;
  readonly close: () => void;
}

const maxConnections = 200;
const requestTimeoutMs = 5_000;

export async function startRestServer(deps: RestServerDeps): Promise<RestServer> {
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (deps.take?.(url.pathname, request, response)) return;
    if (!['GET', 'HEAD', 'OPTIONS'].includes(request.method ?? '')) {
      reply(response, 501, {
        error: `method ${request.method} is not supported`,
        takes: 'GET, HEAD, OPTIONS',
      });
      return;
    }
    const answer = healthAnswer(url.pathname, url.searchParams, deps.facts());
    const bodyless = request.method !== 'GET';
    if (answer !== 'notFound') reply(response, answer, bodyless ? null : deps.status());
    else if (url.pathname === '/patroni') reply(response, 200, bodyless ? null : deps.status());
    else if (url.pathname === '/metrics' && deps.metrics !== undefined)
      replyText(response, bodyless ? '' : deps.metrics());
    else reply(response, 404, { error: `no such path: ${url.pathname}` });
  });
  server.maxConnections = maxConnections;
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(deps.port, deps.host, () => resolve());
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the REST server has no port');
  return {
    port: address.port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Prometheus' text exposition format. */
function replyText(response: ServerResponse, text: string): void {
  response.writeHead(200, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

function reply(response: ServerResponse, status: number, body: object | null): void {
  const text = body === null ? '' : `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
