/**
 * The way into a running agent for the host's own programs (`run-action.sh`, started by Run Command): a port on loopback, with
 * a token that only this host's agent user and root can read. One request a connection, a line `TOKEN OPERATION ACTION`; the
 * answer is the transcript as `> line`s and a last line of JSON that begins with `ok`. A kernel lock on a file beside the
 * control file is held for as long as the agent lives, also while it is stopped: a second agent in the same folder refuses to
 * start. Asking the port would not do, for two agents that start at once would both find nobody.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

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
const maxConnections = 100;

/**
 * Listens on a free port of loopback and writes port and token to `path` (0600). Throws `AgentAlreadyRunning` when another agent
 * lives in the same folder.
 */
export async function listenForControl(path: string, handlers: ControlHandlers): Promise<Server> {
  const lock = lockFile(`${path}.lock`);
  if (lock === null) throw new AgentAlreadyRunning(path);
  const token = randomBytes(24).toString('hex');
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, token, handlers));
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve());
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the control port has no number');
  writeFileSync(`${path}.new`, `${address.port}\n${token}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
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

function serve(socket: Socket, token: string, handlers: ControlHandlers): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > maxRequestBytes) socket.destroy();
    const end = text.indexOf('\n');
    if (end < 0) return;
    socket.removeAllListeners('data');
    void answer(socket, token, text.slice(0, end), handlers);
  });
}

async function answer(socket: Socket, token: string, line: string, handlers: ControlHandlers): Promise<void> {
  const refuse = (error: string, message: string): void => {
    socket.end(`${JSON.stringify({ ok: false, error, message })}\n`);
  };
  const [given = '', operation = '', action = '', ...more] = line.split(' ');
  if (!isSame(given, token)) return refuse('denied', 'the token is not the one in the control file');
  if (operation === '' || action === '' || more.length > 0) {
    return refuse('invalid-input', 'a request is a line: token, operation, action');
  }
  try {
    const result = await handlers.runAction({ operation, action }, (said) => socket.write(`> ${said}\n`));
    if (result === null) refuse('no-such-action', 'not for this node, or not current');
    else socket.end(`${JSON.stringify(result)}\n`);
  } catch (error) {
    refuse('InvariantViolation', String(error));
  }
}

function isSame(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
