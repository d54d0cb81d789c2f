/**
 * The runtime's own commands, for tests and the main job: cut a host's power, end an agent, boot a host. It listens on an
 * abstract Unix socket named after the cluster's folder, which the kernel frees when the process is gone however it ends: the
 * same socket is the lock that keeps a second runtime off the cluster. Commands need the token of runtime.json.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';

export interface ControlCommand {
  /** Such as `kill-host`. */
  readonly name: string;
  readonly host: string;
  /** What else the command needs, as JSON. */
  readonly detail?: string;
}

export type ControlHandler = (command: ControlCommand) => Promise<unknown>;

const commandTimeoutMs = 60_000;

/** The socket of the cluster whose folder this is. */
export function controlAddress(clusterFolder: string): string {
  return `\0leasehold/${createHash('sha256').update(realpathSync(clusterFolder)).digest('hex').slice(0, 40)}`;
}

/** Null when another runtime has this cluster. */
export function openControl(
  clusterFolder: string,
  token: string,
  handle: ControlHandler,
): Promise<Server | null> {
  const server = createServer((incoming, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body ?? null)}\n`);
    };
    if (!isAllowed(incoming, token)) return answer(403, { error: 'the token of runtime.json is needed' });
    const [, name = '', host = '', detail = ''] = (incoming.url ?? '').split('/').map(decodeURIComponent);
    incoming.resume();
    handle({ name, host, detail }).then(
      (body) => answer(200, body),
      (error: unknown) => answer(400, { error: error instanceof Error ? error.message : String(error) }),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(controlAddress(clusterFolder), () => resolve(server));
  });
}

function isAllowed(incoming: IncomingMessage, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(incoming.headers.authorization ?? ''), digest(`Bearer ${token}`));
}

/** Gives a runtime a command and returns its answer. Throws what the runtime refuses. */
export function sendControl(clusterFolder: string, token: string, command: ControlCommand): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const path = `/${[command.name, command.host, command.detail ?? ''].map(encodeURIComponent).join('/')}`;
    const headers = { authorization: `Bearer ${token}` };
    const socketPath = controlAddress(clusterFolder);
    const outgoing = request(
      { socketPath, path, method: 'POST', headers, timeout: commandTimeoutMs },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => {
          const body = JSON.parse(text) as { error?: string } | null;
          if (response.statusCode === 200) resolve(body);
          else reject(new Error(body?.error ?? `the runtime answered ${response.statusCode}`));
        });
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('the runtime does not answer')));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
