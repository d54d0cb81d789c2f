/** The end of a server is heard on a connection that waits for nothing, once, and not where it was the agent that ended it or a question broke. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LocalConnection } from '../../adapters/postgres/connection.ts';
import type { PostgresHost } from '../../adapters/postgres/host.ts';

/** Says just enough of the protocol: logged in, ready; and to each query an empty answer, or none where it is to hang. */
const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
};
const ready = message('Z', Buffer.from('I'));
const loggedIn = Buffer.concat([message('R', Buffer.from([0, 0, 0, 0])), ready]);
const nothing = Buffer.concat([message('C', Buffer.from('SELECT 0\0')), ready]);

let folder: string;
let server: Server;
let sockets: Socket[];
let hangs: boolean;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-end-'));
  sockets = [];
  hangs = false;
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write(loggedIn);
      socket.on('data', () => {
        if (!hangs) socket.write(nothing);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(join(folder, '.s.PGSQL.5432'), resolve));
});

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

function connection(onEnd: () => void): LocalConnection {
  const superuser = { name: 'postgres', password: '' };
  return new LocalConnection({ socketDir: folder, port: 5432, superuser } as PostgresHost, { onEnd });
}

const endServer = (): void => {
  for (const socket of sockets) socket.destroy();
};

describe('the end of the server', () => {
  it('is heard once where nothing was asked', async () => {
    const heard = vi.fn();
    const one = connection(heard);
    expect(one.hearsEnd()).toBe(false);
    await one.query('select', 1_000);
    expect(one.hearsEnd()).toBe(true);
    endServer();
    await vi.waitFor(() => expect(heard).toHaveBeenCalled());
    expect(one.hearsEnd()).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(heard).toHaveBeenCalledTimes(1);
  });

  it('is the answer, and nothing to be heard, where a question was open', async () => {
    const heard = vi.fn();
    const one = connection(heard);
    await one.query('select', 1_000);
    hangs = true;
    const asked = one.query('select', 100);
    expect(one.hearsEnd()).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(one.hearsEnd()).toBe(false);
    endServer();
    expect((await asked).kind).toBe('unreachable');
    expect(heard).not.toHaveBeenCalled();
    one.close();
  });

  it('is not heard where the agent itself ended the connection', async () => {
    const heard = vi.fn();
    const one = connection(heard);
    await one.query('select', 1_000);
    one.close();
    endServer();
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(heard).not.toHaveBeenCalled();
  });
});
