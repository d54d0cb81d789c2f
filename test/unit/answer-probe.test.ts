/** The question whether a server takes a new connection, put to real sockets and processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { probeAnswer } from '../../adapters/postgres/answer-probe.ts';
import { readProcessStatus } from '../../adapters/process.ts';

const port = 5432;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'leasehold-answer-'));
  closing.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const socketDir = folder();
  const server: Server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(join(socketDir, `.s.PGSQL.${port}`), resolve));
  closing.push(() => server.close());
  return socketDir;
}

const ask = (socketDir: string, postmaster: Parameters<typeof probeAnswer>[1] = null, timeoutMs = 2_000) =>
  probeAnswer({ socketDir, port }, postmaster, timeoutMs);

describe('a question for a new connection', () => {
  it('is answered by whoever says a byte to an SSLRequest', async () => {
    const socketDir = await listen((socket) => {
      socket.once('data', (data) => {
        socket.end(data.equals(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])) ? 'N' : '');
      });
    });
    expect(await ask(socketDir)).toBe('answers');
  });

  it('is refused where nobody listens, and where the connection is closed without a word', async () => {
    expect(await ask(folder())).toBe('refused');
    expect(await ask(await listen((socket) => socket.resume().end()))).toBe('refused');
  });

  it('gets no answer from one that only takes the connection: silent, or stopped when the kernel says so', async () => {
    const sockets: Socket[] = [];
    const socketDir = await listen((socket) => void sockets.push(socket));
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    expect(await ask(socketDir, null, 50)).toBe('silent');
    const child: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
    closing.push(() => child.kill('SIGKILL'));
    const pid = child.pid ?? 0;
    const startTicks = readProcessStatus(pid)?.startTicks ?? 0;
    expect(await ask(socketDir, { pid, startTicks }, 50)).toBe('silent');
    child.kill('SIGSTOP');
    for (let look = 0; look < 500 && readProcessStatus(pid)?.state !== 'T'; look += 1) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(await ask(socketDir, { pid, startTicks }, 50)).toBe('stopped');
    expect(await ask(socketDir, { pid, startTicks: startTicks + 1 }, 50)).toBe('silent');
  });
});
