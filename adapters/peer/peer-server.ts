/**
 * The answering end of the peer channel, on the agent's REST port: takes POSTs on the paths that it has handlers for, and only
 * authentic ones of this cluster, for this node, for this run of its agent, not seen before. Sizes, rates and what runs at once
 * are bounded, and who is not authentic costs one hash.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Answer,
  macHeader,
  macOf,
  mostMessageBytes,
  openMessage,
  type Question,
  readQuestion,
} from './peer-message.ts';
import type { SharedSecret } from './shared-secret.ts';

/** The answer's body. What it throws is answered as a refusal with the message. `from`: who asks. */
export type PeerHandler = (body: unknown, from: string) => unknown | Promise<unknown>;

export interface PeerServerConfig {
  readonly secret: SharedSecret;
  readonly cluster: string;
  readonly node: string;
  readonly handlers: Readonly<Record<string, PeerHandler>>;
  /** Any clock in ms: for rates alone. */
  readonly now: () => number;
}

export interface PeerServer {
  /** False when the path is none of its own: nothing was done. */
  take(path: string, request: IncomingMessage, response: ServerResponse): boolean;
}

/** Of one sender in a second; a failsafe asks some ten times. */
const mostPerSecond = 100;
const mostSenders = 64;
const mostAtOnce = 32;
/** Questions of one sender may overtake each other by so many. */
const replayWindow = 64;

export function createPeerServer(config: PeerServerConfig): PeerServer {
  const boot = randomBytes(12).toString('base64url');
  const isNew = createReplayFilter();
  const isWithinRate = createRateLimit(config.now);
  let atOnce = 0;

  /** Null: not for here. */
  const judge = (question: Question): Pick<Answer, 'kind' | 'message'> | null => {
    if (question.cluster !== config.cluster || question.to !== config.node) return null;
    if (question.toBoot !== boot) return { kind: 'introduce', message: '' };
    if (!isNew(question)) return { kind: 'refused', message: 'this question was asked before' };
    if (!isWithinRate(question.from)) return { kind: 'refused', message: 'too many questions' };
    if (atOnce >= mostAtOnce) return { kind: 'refused', message: 'too many questions at once' };
    return { kind: 'done', message: '' };
  };

  const answer = async (
    path: string,
    text: string,
    mac: unknown,
    response: ServerResponse,
  ): Promise<void> => {
    const message = openMessage('question', path, text, mac, config.secret.accept());
    const question = message === null ? null : readQuestion(message);
    const verdict = question === null ? null : judge(question);
    if (question === null || verdict === null) {
      response.writeHead(403, { connection: 'close' }).end();
      return;
    }
    let said: Answer = { from: config.node, boot, nonce: question.nonce, ...verdict, body: null };
    if (verdict.kind === 'done') {
      atOnce += 1;
      try {
        said = { ...said, body: (await config.handlers[path]?.(question.body, question.from)) ?? null };
      } catch (error) {
        said = { ...said, kind: 'refused', message: error instanceof Error ? error.message : String(error) };
      } finally {
        atOnce -= 1;
      }
    }
    const body = JSON.stringify(said);
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      [macHeader]: macOf('answer', path, body, config.secret.sign()),
    });
    response.end(body);
  };

  return {
    take(path, request, response) {
      if (request.method !== 'POST' || !Object.hasOwn(config.handlers, path)) return false;
      const mac = request.headers[macHeader];
      if (mac === undefined) response.writeHead(403, { connection: 'close' }).end();
      else readAll(request, (text) => void answer(path, text, mac, response));
      return true;
    },
  };
}

/** A body that is too long ends its connection. */
function readAll(request: IncomingMessage, done: (text: string) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('error', () => undefined);
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > mostMessageBytes) request.destroy();
    else chunks.push(chunk);
  });
  request.on('end', () => {
    if (bytes <= mostMessageBytes) done(Buffer.concat(chunks).toString());
  });
}

/** A process that asks is known by its run; of those, and of each one's numbers, only the newest are remembered, older ones refused. */
function createReplayFilter(): (question: Question) => boolean {
  const senders = new Map<string, { highest: number; seen: Set<number> }>();
  return ({ from, boot, counter }) => {
    const key = `${from}/${boot}`;
    const known = senders.get(key) ?? { highest: 0, seen: new Set<number>() };
    if (counter <= known.highest - replayWindow || known.seen.has(counter)) return false;
    known.highest = Math.max(known.highest, counter);
    known.seen.add(counter);
    for (const old of known.seen) if (old <= known.highest - replayWindow) known.seen.delete(old);
    senders.delete(key);
    senders.set(key, known);
    // So many runs that one is forgotten: never by an outsider, for each was authentic.
    const oldest = senders.keys().next();
    if (senders.size > mostSenders && !oldest.done) senders.delete(oldest.value);
    return true;
  };
}

function createRateLimit(now: () => number): (from: string) => boolean {
  const windows = new Map<string, { sinceMs: number; count: number }>();
  return (from) => {
    const known = windows.get(from);
    const window =
      known === undefined || now() - known.sinceMs >= 1_000 ? { sinceMs: now(), count: 0 } : known;
    window.count += 1;
    windows.delete(from);
    windows.set(from, window);
    const oldest = windows.keys().next();
    if (windows.size > mostSenders && !oldest.done) windows.delete(oldest.value);
    return window.count <= mostPerSecond;
  };
}
