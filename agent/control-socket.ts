/**
 * The agent's control socket: a unix socket on which the host's own programs (`leasehold-agent run-action`, started by
 * Run Command) ask the agent to execute an action. One request a connection: a JSON line; the answer is the transcript
 * as `> line`s and a last line of JSON. A kernel lock on the file beside it is held for as long as the agent lives, also
 * while it is stopped: a second agent in the same folder refuses to start. Asking the socket would not do, for two agents that
 * start at once would both find nobody.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, openSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface ControlRequest {
  readonly operation: string;
  readonly action: string;
}

export interface ControlHandlers {
  /** The result as JSON-able data, or null when there is no such action for this node. */
  readonly runAction: (request: ControlRequest, onLine: (line: string) => void) => Promise<object | null>;
}

const maxRequestBytes = 4_096;
const lockTimeoutMs = 5_000;

/** Listens on `path`. Throws `AgentAlreadyRunning` when another agent lives in the same folder. */
export async function listenForControl(path: string, handlers: ControlHandlers): Promise<Server> {
  const lock = lockFile(`${path}.lock`);
  if (lock === null) throw new AgentAlreadyRunning(path);
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, handlers));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  server.once('close', () => closeSync(lock));
  return server;
}

export class AgentAlreadyRunning extends Error {
  override readonly name = 'AgentAlreadyRunning';
  constructor(path: string) {
    super(`another agent runs on this host's folder: it holds the lock of ${path}`);
  }
}

/** The lock belongs to the open file, which programs that this one starts do not inherit; the kernel lets it go with the process. */
function lockFile(path: string): number | null {
  const fd = openSync(path, 'a', 0o600);
  const { status, error } = spawnSync('flock', ['--nonblock', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
    timeout: lockTimeoutMs,
  });
  if (status === 0) return fd;
  closeSync(fd);
  if (error !== undefined) throw new Error(`flock: ${error.message}`);
  return null;
}

function serve(socket: Socket, handlers: ControlHandlers): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > maxRequestBytes) socket.destroy();
    const end = text.indexOf('\n');
    if (end < 0) return;
    socket.removeAllListeners('data');
    void answer(socket, text.slice(0, end), handlers);
  });
}

async function answer(socket: Socket, line: string, handlers: ControlHandlers): Promise<void> {
  try {
    const request = JSON.parse(line) as Partial<ControlRequest>;
    if (typeof request.operation !== 'string' || typeof request.action !== 'string') {
      throw new Error('operation and action must be strings');
    }
    const { operation, action } = request;
    const result = await handlers.runAction({ operation, action }, (said) => socket.write(`> ${said}\n`));
    socket.end(
      `${JSON.stringify(result ?? { ok: false, error: 'no-such-action', message: 'not for this node, or not current' })}\n`,
    );
  } catch (error) {
    socket.end(`${JSON.stringify({ ok: false, error: 'invalid-input', message: String(error) })}\n`);
  }
}

/** The other end: used by `leasehold-agent run-action`. Returns the last line, parsed; rejects when no agent answers. */
export function askAgent(
  path: string,
  request: ControlRequest,
  onLine: (line: string) => void,
): Promise<{ ok: boolean; message: string; error: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let pending = '';
    let last = '';
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk: string) => {
      const lines = (pending + chunk).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('> ')) onLine(line.slice(2));
        else last = line;
      }
    });
    socket.once('error', reject);
    socket.once('close', () => {
      if (last === '') reject(new Error('the agent closed the connection without an answer'));
      else resolve(JSON.parse(last) as { ok: boolean; message: string; error: string });
    });
  });
}
