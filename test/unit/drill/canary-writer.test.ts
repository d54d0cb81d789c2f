/** What the canary refuses before it writes anything; that it writes, and what it sees, is tested on a live cluster. */
import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { CanaryWriter } from '../../../adapters/drill/canary-writer.ts';

const options = { dsn: 'postgresql://u:p@127.0.0.1:1/db', drill: 'one', everyMs: 10 };

test.each(['x; drop table y', 'X', '1x', 'a.b.c', '"x"', ''])(
  '%j is no name of a table: it would become part of a statement',
  (table) => {
    expect(() => new CanaryWriter({ ...options, table })).toThrow(/^table was /);
  },
);

test.each(['canary', 'ops.canary', '_c1'])('%j is one', (table) => {
  expect(() => new CanaryWriter({ ...options, table })).not.toThrow();
});

test('where nobody listens it does not begin, and says why', async () => {
  await expect(new CanaryWriter(options).start()).rejects.toThrow(/ECONNREFUSED/);
});

test('a password never appears in what it says of an endpoint that hangs up', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const canary = new CanaryWriter({ ...options, dsn: `postgresql://u:hunter2@127.0.0.1:${port}/db` });
  const failure = await canary.start().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
  expect(String(failure)).not.toContain('hunter2');
  for (const socket of sockets) socket.destroy();
  server.close();
});
