/**
 * HAProxy's runtime interface: commands over its unix socket, and its answers parsed. Each batch is one short connection; a batch's
 * commands are executed in their order, which the callers rely on (out before in). Nothing here knows what a primary is.
 */
import { connect } from 'node:net';

export type RuntimeAnswer =
  | { readonly kind: 'answered'; readonly answers: readonly string[] }
  | { readonly kind: 'unreachable'; readonly detail: string };

export interface ServerState {
  readonly backend: string;
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** Port of its health check; 0: none. */
  readonly checkPort: number;
  /** Not in maintenance: the agent (or the file) lets it in. */
  readonly enabled: boolean;
  /** Takes connections now: enabled, and its health checks (if any) do not say otherwise. */
  readonly up: boolean;
}

/** Of both backends, as of one moment. */
export interface ServersSeen {
  readonly kind: 'servers';
  readonly all: readonly ServerState[];
}

export interface SessionState {
  /** What `shutdown session` takes. */
  readonly id: string;
  readonly frontend: string;
  readonly backend: string;
  readonly server: string;
  /** The connection to the server stands; otherwise it is being made, or waits. */
  readonly established: boolean;
}

/** HAProxy reads a batch into one buffer of 16 KiB. */
const batchBytes = 12_000;

/**
 * Executes commands in order and gives one answer each ('' for most that succeed). More commands than fit one batch go in several.
 * `timeoutMs` bounds each batch.
 */
export async function runCommands(
  socket: string,
  commands: readonly string[],
  timeoutMs: number,
): Promise<RuntimeAnswer> {
  const answers: string[] = [];
  for (const batch of batches(commands)) {
    const answer = await runBatch(socket, batch, timeoutMs);
    if (answer.kind === 'unreachable') return answer;
    answers.push(...answer.answers);
  }
  return { kind: 'answered', answers };
}

function batches(commands: readonly string[]): string[][] {
  const all: string[][] = [];
  let size = batchBytes;
  for (const command of commands) {
    if (/[\n;]/.test(command)) throw new Error('a command holds a separator');
    if (size + command.length + 1 > batchBytes) {
      all.push([]);
      size = 0;
    }
    all.at(-1)?.push(command);
    size += command.length + 1;
  }
  return all;
}

function runBatch(socket: string, commands: readonly string[], timeoutMs: number): Promise<RuntimeAnswer> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    const chunks: Buffer[] = [];
    const fail = (detail: string) => {
      connection.destroy();
      resolve({ kind: 'unreachable', detail });
    };
    connection.setTimeout(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
    connection.on('error', (error) => fail(error.message));
    connection.on('data', (chunk) => chunks.push(chunk));
    connection.on('end', () => {
      connection.destroy();
      // Each answer ends with an empty line; an answer of nothing is that line alone.
      const text = Buffer.concat(chunks).toString('utf8');
      resolve({ kind: 'answered', answers: splitAnswers(text) });
    });
    connection.write(`${commands.join(';')}\n`);
  });
}

/** Cuts a batch's output at the empty lines that end each answer. */
export function splitAnswers(text: string): string[] {
  const answers: string[] = [];
  let lines: string[] = [];
  for (const line of text.replace(/\n$/, '').split('\n')) {
    if (line === '') {
      answers.push(lines.join('\n'));
      lines = [];
    } else lines.push(line);
  }
  if (lines.length > 0) answers.push(lines.join('\n'));
  return answers;
}

/** Parses `show servers state`. Unknown lines are left out. */
export function parseServersState(text: string): ServerState[] {
  const header = text.split('\n').find((line) => line.startsWith('# '));
  if (header === undefined) return [];
  const names = header.slice(2).split(' ');
  const column = (name: string) => names.indexOf(name);
  const at = {
    backend: column('be_name'),
    server: column('srv_name'),
    host: column('srv_addr'),
    port: column('srv_port'),
    checkPort: column('srv_check_port'),
    running: column('srv_op_state'),
    admin: column('srv_admin_state'),
  };
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.length === names.length && /^\d+$/.test(fields[0] ?? ''))
    .map((fields) => {
      const field = (index: number) => fields[index] ?? '';
      // Bits of the admin state: 1 forced maintenance, 2 inherited, 4 only "was so in the file", 32 unresolvable name.
      const enabled = (Number(field(at.admin)) & (1 | 2 | 32)) === 0;
      return {
        backend: field(at.backend),
        server: field(at.server),
        host: field(at.host),
        port: Number(field(at.port)),
        checkPort: Number(field(at.checkPort)),
        enabled,
        up: enabled && field(at.running) === '2',
      };
    });
}

/** Parses `show stat <backend> 4 -1`: how many connections each server of the backend has, those in the making included. */
export function parseConnectionCounts(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n');
  const header = lines.find((line) => line.startsWith('# pxname,')) ?? '';
  const names = header.slice(2).split(',');
  const [server, current] = [names.indexOf('svname'), names.indexOf('scur')];
  const counts = new Map<string, number>();
  if (server < 0 || current < 0) return counts;
  for (const line of lines) {
    const fields = line.split(',');
    const [name, count] = [fields[server], fields[current]];
    if (line !== header && fields.length === names.length && name && count && /^\d+$/.test(count))
      counts.set(name, Number(count));
  }
  return counts;
}

/** Parses `show sess`. The runtime interface's own sessions are left out. */
export function parseSessions(text: string): SessionState[] {
  const sessions: SessionState[] = [];
  for (const line of text.split('\n')) {
    const match = /^(0x[0-9a-f]+): .*? fe=(\S+) be=(\S+) srv=(\S+) .*? scb=\[(\d+),/.exec(line);
    if (!match || match[2] === 'GLOBAL') continue;
    const [, id = '', frontend = '', backend = '', server = '', stage = '0'] = match;
    // Stages of the server side: below 8 the connection is queued, assigned, being made or about to be retried; 8 is established.
    sessions.push({ id, frontend, backend, server, established: Number(stage) >= 8 });
  }
  return sessions;
}
