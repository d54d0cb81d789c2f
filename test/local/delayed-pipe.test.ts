/** The relay's pipe, over real sockets: late by what it was told and no less, in order, with ends and resets carried on. */

import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { carryBothWays, type Delay, noDelay } from '../../local/runtime/netns/delayed-pipe.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    closing.push(() => socket.destroy());
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  closing.push(() => server.close());
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** A client's socket through a pipe to a server that does `serve` with each connection. */
async function through(delay: Delay, serve: (socket: Socket) => void): Promise<Socket> {
  const far = await listen(serve);
  const near = await listen((socket) => {
    const onward = connect({ host: '127.0.0.1', port: far, allowHalfOpen: true });
    carryBothWays(
      socket,
      onward,
      () => delay,
      () => undefined,
    );
  });
  const client = connect({ host: '127.0.0.1', port: near, allowHalfOpen: true });
  closing.push(() => client.destroy());
  return client;
}

const echo = (socket: Socket) =>
  void socket.on('data', (chunk) => socket.write(chunk)).on('end', () => socket.end());

/** All that comes until the end. */
function read(client: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    client
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => resolve(Buffer.concat(chunks)))
      .on('error', reject);
  });
}

describe('a pipe that delivers late', () => {
  it('is late by both directions together, and never early', async () => {
    const client = await through({ forthMs: 40, backMs: 60, jitterMs: 0 }, echo);
    const sentMs = performance.now();
    client.end('hello');
    expect((await read(client)).toString()).toBe('hello');
    expect(performance.now() - sentMs).toBeGreaterThanOrEqual(99);
  });

  it('keeps every byte in order whatever the jitter', async () => {
    const client = await through({ forthMs: 0, backMs: 0, jitterMs: 15 }, echo);
    const answer = read(client);
    const words = Array.from({ length: 200 }, (_, at) => `${at} `);
    for (const word of words) {
      client.write(word);
      if (Number(word) % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    client.end();
    expect((await answer).toString()).toBe(words.join(''));
  });

  it('carries more than it holds at once, by not reading on', async () => {
    const size = 8 * 1024 * 1024;
    const client = await through({ forthMs: 5, backMs: 0, jitterMs: 0 }, echo);
    const answer = read(client);
    client.end(Buffer.alloc(size, 7));
    expect((await answer).length).toBe(size);
  });

  it('lets the one side go on after the other has ended', async () => {
    const client = await through(noDelay, (socket) => {
      socket.on('end', () => setTimeout(() => socket.end('later'), 30)).resume();
    });
    client.end('over');
    expect((await read(client)).toString()).toBe('later');
  });

  it('carries a reset on as a reset', async () => {
    const client = await through(
      noDelay,
      (socket) => void socket.once('data', () => socket.resetAndDestroy()),
    );
    client.write('x');
    await expect(read(client)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('carries a reset on to a Unix socket, which knows none, as a close', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'leasehold-pipe-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    const socketPath = join(folder, 'far.sock');
    const closed = new Promise<void>((resolve) => {
      const server = createServer((socket) => void socket.on('close', resolve).resume());
      closing.push(() => server.close());
      server.listen(socketPath);
    });
    const port = await listen((socket) => {
      const onward = connect({ path: socketPath, allowHalfOpen: true });
      carryBothWays(
        socket,
        onward,
        () => noDelay,
        () => undefined,
      );
    });
    const client = connect({ host: '127.0.0.1', port });
    await new Promise((resolve) => client.once('connect', resolve));
    client.write('x', () => setTimeout(() => client.resetAndDestroy(), 20));
    await closed;
  });
});
