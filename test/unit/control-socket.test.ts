// The host's own programs reach the agent, and there is never a second agent in one folder.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentAlreadyRunning, type ControlHandlers, listenForControl } from '../../agent/control-socket.ts';

let folder: string;
let path: string;
const servers: Server[] = [];
const children: ChildProcess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-control-'));
  path = join(folder, 'control');
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const script = new URL('../../agent/run-action.sh', import.meta.url).pathname;

/** As Run Command asks: the script, its transcript, its last line and its exit code. */
function askAgent(
  file: string,
  request: { readonly operation: string; readonly action: string },
  onLine: (line: string) => void = () => undefined,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    execFile('bash', [script, file, request.operation, request.action], (error, stdout, stderr) => {
      const lines = stdout.trimEnd().split('\n');
      const last = lines.pop() ?? '';
      if (last === '') return reject(new Error(stderr));
      for (const line of lines) onLine(line);
      const result = JSON.parse(last) as { ok: boolean };
      expect(error === null).toBe(result.ok);
      resolve(result);
    });
  });
}

function portAndToken(): { port: number; token: string } {
  const [port = '', token = ''] = readFileSync(path, 'utf8').split('\n');
  return { port: Number(port), token };
}

async function listen(runAction: ControlHandlers['runAction'] = async () => ({ ok: true })): Promise<Server> {
  const server = await listenForControl(path, { runAction });
  servers.push(server);
  return server;
}

const module = new URL('../../agent/control-socket.ts', import.meta.url).href;

/** Another agent in a process of its own; resolves with what it says first: `listening` or the error's name. */
function anotherAgent(): { readonly child: ChildProcess; readonly said: Promise<string> } {
  const code = `import { listenForControl } from ${JSON.stringify(module)};
    listenForControl(${JSON.stringify(path)}, { runAction: async () => ({ ok: true }) }).then(
      () => console.log('listening'), (error) => console.log(error.name));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return {
    child,
    said: new Promise((resolve) => child.stdout?.once('data', (data) => resolve(`${data}`.trim()))),
  };
}

const gone = (child: ChildProcess): Promise<unknown> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', resolve));

describe('the control socket', () => {
  it('carries an order to the agent, its transcript and its result back', async () => {
    const asked: unknown[] = [];
    await listen(async (request, onLine) => {
      asked.push(request);
      onLine('first');
      onLine('second');
      return { ok: true, message: 'done', error: '' };
    });
    const lines: string[] = [];
    const result = await askAgent(path, { operation: 'op', action: 'follow@node1#1' }, (line) =>
      lines.push(line),
    );
    expect(result).toEqual({ ok: true, message: 'done', error: '' });
    expect(lines).toEqual(['first', 'second']);
    expect(asked).toEqual([{ operation: 'op', action: 'follow@node1#1' }]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('says that there is no such action, and what went wrong in one', async () => {
    await listen(async ({ action }) => {
      if (action === 'bad') throw new Error('a bug');
      return null;
    });
    const ask = (action: string) => askAgent(path, { operation: 'op', action }, () => undefined);
    expect(await ask('none')).toMatchObject({ ok: false, error: 'no-such-action' });
    expect(await ask('bad')).toMatchObject({ ok: false, message: expect.stringContaining('a bug') });
  });

  it.each(['nothing\n', 'TOKEN op\n', 'TOKEN op a b\n', `${'x'.repeat(10_000)}\n`])(
    'outlives a request that is none: %#',
    async (request) => {
      await listen();
      await new Promise<void>((resolve) => {
        const { port, token } = portAndToken();
        const socket = connect(port, '127.0.0.1', () => socket.write(request.replace('TOKEN', token)));
        socket.on('error', () => undefined);
        socket.on('data', () => socket.end());
        socket.on('close', () => resolve());
      });
      expect(await askAgent(path, { operation: 'op', action: 'a' }, () => undefined)).toEqual({ ok: true });
    },
  );

  it('does nothing for who does not have the token', async () => {
    let asked = 0;
    await listen(async () => {
      asked += 1;
      return { ok: true };
    });
    writeFileSync(path, `${portAndToken().port}\n${'0'.repeat(48)}\n`);
    expect(await askAgent(path, { operation: 'op', action: 'a' })).toMatchObject({
      ok: false,
      error: 'denied',
    });
    expect(asked).toBe(0);
  });

  it('rejects when no agent lives, or it ends without an answer', async () => {
    await expect(askAgent(path, { operation: 'op', action: 'a' }, () => undefined)).rejects.toThrow();
  });
});

describe('the lock on the host', () => {
  it('lets one agent live in a folder, and the next one once it has ended', async () => {
    const server = await listen();
    await expect(listenForControl(path, { runAction: async () => null })).rejects.toThrow(
      AgentAlreadyRunning,
    );
    expect(await anotherAgent().said).toBe('AgentAlreadyRunning');
    expect(await askAgent(path, { operation: 'op', action: 'a' }, () => undefined)).toEqual({ ok: true });
    await new Promise((resolve) => server.close(resolve));
    await listen();
  });

  it('lets exactly one of several win that start at once', async () => {
    const agents = [0, 1, 2, 3].map(() => anotherAgent());
    const said = await Promise.all(agents.map((agent) => agent.said));
    expect(said.filter((one) => one === 'listening')).toHaveLength(1);
    expect(said.filter((one) => one === 'AgentAlreadyRunning')).toHaveLength(3);
  });

  it('is kept by an agent that is stopped, and let go by one that is killed, whatever files it leaves', async () => {
    const { child, said } = anotherAgent();
    expect(await said).toBe('listening');
    child.kill('SIGSTOP');
    await expect(listenForControl(path, { runAction: async () => null })).rejects.toThrow(
      AgentAlreadyRunning,
    );
    child.kill('SIGKILL');
    await gone(child);
    writeFileSync(`${path}.lock`, 'left over');
    await listen();
  });
});
