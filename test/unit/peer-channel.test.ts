/** The peer channel on loopback: who is not authentic is not heard, nothing old is taken for new, and all of it is bounded. */
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPeerClient, type PeerAddress, type PeerClient } from '../../adapters/peer/peer-client.ts';
import { macHeader, macOf } from '../../adapters/peer/peer-message.ts';
import { createPeerServer, type PeerHandler } from '../../adapters/peer/peer-server.ts';
import { fixedSecret } from '../support/fixed-secret.ts';

const secret = 'secret-of-the-test';
const cluster = 'main';
/** What came over the line, for a second time on it. */
interface Exchange {
  readonly path: string;
  readonly question: { readonly text: string; readonly mac: string };
  answer: { readonly text: string; readonly mac: string };
}

let nowMs = 0;
let heard: { body: unknown; from: string }[] = [];
let servers: Server[] = [];
let clients: PeerClient[] = [];

beforeEach(() => {
  heard = [];
});
afterEach(() => {
  for (const client of clients) client.close();
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  servers = [];
  clients = [];
});

const echo: PeerHandler = (body, from) => {
  heard.push({ body, from });
  return { echo: body };
};

async function serve(server: Server, node: string): Promise<PeerAddress> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { node, host: '127.0.0.1', port: address.port };
}

async function member(handlers: Record<string, PeerHandler> = { '/failsafe': echo }) {
  const node = 'node2';
  const peer = createPeerServer({ secret: fixedSecret(secret), cluster, node, handlers, now: () => nowMs });
  return serve(
    createServer((request, response) => {
      if (!peer.take(request.url ?? '', request, response)) response.writeHead(404).end();
    }),
    node,
  );
}

function client(change: Partial<Parameters<typeof createPeerClient>[0]> = {}): PeerClient {
  const made = createPeerClient({ secret: fixedSecret(secret), cluster, from: 'node1', ...change });
  clients.push(made);
  return made;
}

/** Stands between: passes on what it is sent, keeps it, and answers as `change` says. */
async function between(
  to: PeerAddress,
  change: (exchange: Exchange, all: Exchange[]) => Exchange['answer'] = ({ answer }) => answer,
) {
  const all: Exchange[] = [];
  const address = await serve(
    createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      const question = { text, mac: String(request.headers[macHeader]) };
      const answer = await send(to, request.url ?? '', question);
      const exchange = { path: request.url ?? '', question, answer };
      all.push(exchange);
      const said = change(exchange, all);
      response.writeHead(200, { [macHeader]: said.mac }).end(said.text);
    }),
    to.node,
  );
  return { address, all };
}

async function send(to: PeerAddress, path: string, { text, mac }: Exchange['question']) {
  const response = await fetch(`http://${to.host}:${to.port}${path}`, {
    method: 'POST',
    body: text,
    headers: { [macHeader]: mac },
  });
  return { text: await response.text(), mac: response.headers.get(macHeader) ?? '', status: response.status };
}

describe('a question between agents', () => {
  it('is answered, again on the same connection, and its sender is named', async () => {
    const peer = await member();
    const node1 = client();
    expect(await node1.peerCall(peer, '/failsafe', { n: 1 }, 1_000)).toEqual({
      kind: 'ok',
      value: { echo: { n: 1 } },
    });
    expect(await node1.peerCall(peer, '/failsafe', { n: 2 }, 1_000)).toMatchObject({ kind: 'ok' });
    expect(heard).toEqual([
      { body: { n: 1 }, from: 'node1' },
      { body: { n: 2 }, from: 'node1' },
    ]);
  });

  it('may overtake another of the same sender', async () => {
    const peer = await member();
    const node1 = client();
    await node1.peerCall(peer, '/failsafe', 0, 1_000);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => node1.peerCall(peer, '/failsafe', n, 1_000)),
    );
    expect(answers.every(({ kind }) => kind === 'ok')).toBe(true);
  });

  it('is refused with the reason when the handler throws', async () => {
    const peer = await member({
      '/leasehold/action': () => {
        throw new Error('no such action');
      },
    });
    expect(await client().peerCall(peer, '/leasehold/action', {}, 1_000)).toEqual({
      kind: 'refused',
      message: 'no such action',
    });
  });

  it('finds an agent again that has restarted on the same port', async () => {
    const peer = await member();
    const node1 = client();
    await node1.peerCall(peer, '/failsafe', 1, 1_000);
    const again = await member();
    expect(await node1.peerCall(again, '/failsafe', 2, 1_000)).toMatchObject({ kind: 'ok' });
  });

  it('is unreachable where nobody listens, and where nobody answers in time', async () => {
    const peer = await member({ '/failsafe': () => new Promise(() => undefined) });
    expect(await client().peerCall(peer, '/failsafe', 1, 60)).toMatchObject({ kind: 'unreachable' });
    const closed = await member();
    servers.at(-1)?.close();
    expect(await client().peerCall(closed, '/failsafe', 1, 500)).toMatchObject({ kind: 'unreachable' });
  });
});

describe('what is not authentic', () => {
  it.each([
    ['another secret', { secret: fixedSecret('guessed') }],
    ['another cluster', { cluster: 'other' }],
  ])('is not heard: %s', async (_what, change) => {
    const peer = await member();
    expect(await client(change).peerCall(peer, '/failsafe', 1, 500)).toMatchObject({ kind: 'unreachable' });
    expect(heard).toEqual([]);
  });

  it('is not heard by a node that was not meant', async () => {
    const peer = await member();
    const { address } = await between(peer);
    const asNode3 = { ...address, node: 'node3' };
    expect(await client().peerCall(asNode3, '/failsafe', 1, 500)).toMatchObject({ kind: 'unreachable' });
    expect(heard).toEqual([]);
  });

  it('is not parsed: a broken code, or none', async () => {
    const peer = await member();
    const text = '{"not": "read"';
    expect((await send(peer, '/failsafe', { text, mac: 'x' })).status).toBe(403);
    const response = await fetch(`http://${peer.host}:${peer.port}/failsafe`, { method: 'POST', body: text });
    expect(response.status).toBe(403);
    // Authentic and no JSON: refused all the same.
    const mac = macOf('question', '/failsafe', text, secret);
    expect((await send(peer, '/failsafe', { text, mac })).status).toBe(403);
    expect(heard).toEqual([]);
  });

  it('is cut off when it is too long', async () => {
    const peer = await member();
    const ended = await new Promise<string>((resolve) => {
      const socket = connect(peer.port, peer.host, () => {
        socket.write(
          `POST /failsafe HTTP/1.1\r\nhost: x\r\n${macHeader}: x\r\ncontent-length: 1000000\r\n\r\n`,
        );
        socket.write('a'.repeat(100_000));
      });
      socket.on('error', () => resolve('cut'));
      socket.on('close', () => resolve('cut'));
    });
    expect(ended).toBe('cut');
  });
});

describe('what was said before', () => {
  it('is not acted on again: a question that was recorded', async () => {
    const peer = await member();
    const { address, all } = await between(peer);
    await client().peerCall(address, '/failsafe', { n: 1 }, 1_000);
    expect(heard).toHaveLength(1);
    for (const { path, question } of all) await send(peer, path, question);
    expect(heard).toHaveLength(1);
  });

  it('is not acted on by the agent that was started since', async () => {
    const { address, all } = await between(await member());
    await client().peerCall(address, '/failsafe', { n: 1 }, 1_000);
    const restarted = await member();
    heard = [];
    for (const { path, question } of all) await send(restarted, path, question);
    expect(heard).toEqual([]);
  });

  it('is not acted on under another path', async () => {
    const { address, all } = await between(await member());
    await client().peerCall(address, '/failsafe', { n: 1 }, 1_000);
    const peer = await member({ '/failsafe': echo, '/leasehold/action': echo });
    heard = [];
    for (const { question } of all)
      expect((await send(peer, '/leasehold/action', question)).status).toBe(403);
    expect(heard).toEqual([]);
  });

  it('is no answer to a new question: an answer that was recorded', async () => {
    const { address } = await between(await member(), (_exchange, all) => {
      const first = all.find(({ answer }) => answer.text.includes('"done"'));
      return first?.answer ?? all.at(-1)?.answer ?? { text: '', mac: '' };
    });
    const node1 = client();
    expect(await node1.peerCall(address, '/failsafe', { n: 1 }, 1_000)).toMatchObject({ kind: 'ok' });
    expect(await node1.peerCall(address, '/failsafe', { n: 2 }, 1_000)).toEqual({
      kind: 'unreachable',
      message: 'the answer is to another question',
    });
  });

  it('is no answer of its own: a question that comes back', async () => {
    const { address } = await between(await member(), ({ question }) => question);
    expect(await client().peerCall(address, '/failsafe', 1, 500)).toEqual({
      kind: 'unreachable',
      message: 'the answer is not authentic',
    });
  });
});

it('one sender does not keep an agent busy', async () => {
  const peer = await member();
  const node1 = client();
  const answers = [];
  for (let n = 0; n < 150; n += 1) answers.push(await node1.peerCall(peer, '/failsafe', n, 1_000));
  const refused = answers.filter(({ kind }) => kind === 'refused');
  expect(refused.length).toBe(50);
  expect(heard.length).toBe(100);
  expect(await client({ from: 'node3' }).peerCall(peer, '/failsafe', 1, 1_000)).toMatchObject({ kind: 'ok' });
  nowMs += 1_000;
  expect(await node1.peerCall(peer, '/failsafe', 1, 1_000)).toMatchObject({ kind: 'ok' });
});
