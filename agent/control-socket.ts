/**
 * The agent's control socket: a unix socket on which the host's own programs (`leasehold-agent run-action`, started by
 * Run Command) ask the agent to execute an action. One request a connection: a JSON line; the answer is the transcript
 * as `> line`s and a last line of JSON. The socket is also the lock on the host's folder: while one agent listens, a
 * second one refuses to start.
 */
import { chmodSync, rmSync } from 'node:fs';
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

/** Listens on `path`. Throws `AgentAlreadyRunning` when another agent answers there. */
export async function listenForControl(path: string, handlers: ControlHandlers): Promise<Server> {
  if (await answers(path)) throw new AgentAlreadyRunning(path);
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, handlers));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  return server;
}

export class AgentAlreadyRunning extends Error {
  override readonly name = 'AgentAlreadyRunning';
  constructor(path: string) {
    super(`another agent runs on this host's folder: it answers on ${path}`);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
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
