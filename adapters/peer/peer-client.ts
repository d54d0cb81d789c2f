/**
 * The asking end of the peer channel: one question to one agent over its REST port, with a limit of time that covers all of it.
 * Only an authentic answer of the node that was asked, to this very question, is an answer; all else is silence. Connections are
 * kept, so that a second question needs no round trip more than its own.
 */
import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import { type Answer, macHeader, macOf, mostMessageBytes, openMessage, readAnswer } from './peer-message.ts';
import type { SharedSecret } from './shared-secret.ts';

export interface PeerAddress {
  readonly node: string;
  readonly host: string;
  /** The port of its REST server. */
  readonly port: number;
}

export interface PeerClientConfig {
  readonly secret: SharedSecret;
  readonly cluster: string;
  /** Who asks: a node, or a word for a terminal. */
  readonly from: string;
}

export type PeerAnswer =
  | { readonly kind: 'ok'; readonly value: unknown }
  /** It answered, and would not. */
  | { readonly kind: 'refused'; readonly message: string }
  /** No authentic answer in time: nothing is known, the question may have been acted on. */
  | { readonly kind: 'unreachable'; readonly message: string };

export interface PeerClient {
  peerCall(peer: PeerAddress, path: string, body: unknown, timeoutMs: number): Promise<PeerAnswer>;
  close(): void;
}

const maxSocketsPerPeer = 8;
/** The first question of all to an agent, or after its restart, is answered by an introduction. */
const mostIntroductions = 2;

export function createPeerClient(config: PeerClientConfig): PeerClient {
  const { secret, cluster, from } = config;
  const agent = new Agent({ keepAlive: true, maxSockets: maxSocketsPerPeer });
  const boot = randomBytes(12).toString('base64url');
  const boots = new Map<string, string>();
  let counter = 0;

  const ask = async (
    peer: PeerAddress,
    path: string,
    body: unknown,
    untilMs: number,
  ): Promise<Answer | string> => {
    counter += 1;
    const nonce = randomBytes(16).toString('base64url');
    const toBoot = boots.get(peer.node) ?? '';
    const text = JSON.stringify({ cluster, from, boot, to: peer.node, toBoot, counter, nonce, body });
    const mac = macOf('question', path, text, secret.sign());
    const reply = await post({ agent, peer, path, text, mac, untilMs });
    if (typeof reply === 'string') return reply;
    const message = openMessage('answer', path, reply.text, reply.mac, secret.accept());
    const answer = message === null ? null : readAnswer(message);
    if (answer === null) return 'the answer is not authentic';
    if (answer.nonce !== nonce || answer.from !== peer.node) return 'the answer is to another question';
    boots.set(peer.node, answer.boot);
    return answer;
  };

  return {
    async peerCall(peer, path, body, timeoutMs) {
      const untilMs = performance.now() + timeoutMs;
      for (let attempt = 0; attempt <= mostIntroductions; attempt += 1) {
        const answer = await ask(peer, path, body, untilMs);
        if (typeof answer === 'string') return { kind: 'unreachable', message: answer };
        if (answer.kind === 'done') return { kind: 'ok', value: answer.body };
        if (answer.kind === 'refused') return { kind: 'refused', message: answer.message };
      }
      return { kind: 'unreachable', message: 'it restarts again and again' };
    },
    close: () => agent.destroy(),
  };
}

interface Post {
  readonly agent: Agent;
  readonly peer: PeerAddress;
  readonly path: string;
  readonly text: string;
  readonly mac: string;
  readonly untilMs: number;
}

/** The answer's text, or what went wrong. A kept connection that its other end has closed is replaced once. */
async function post(what: Post, again = true): Promise<{ text: string; mac: unknown } | string> {
  const { agent, peer, path, text, mac, untilMs } = what;
  const leftMs = untilMs - performance.now();
  if (leftMs <= 0) return 'no answer in time';
  const reply = await new Promise<{ text: string; mac: unknown } | string | 'stale'>((resolve) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      [macHeader]: mac,
    };
    const { host, port } = peer;
    const outgoing = request({ agent, host, port, path, method: 'POST', headers }, (response) => {
      let received = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        received += chunk;
        if (received.length > mostMessageBytes) outgoing.destroy(new Error('the answer is too long'));
      });
      response.on('error', (error) => resolve(error.message));
      response.on('end', () => {
        clearTimeout(timer);
        if (response.statusCode === 200) resolve({ text: received, mac: response.headers[macHeader] });
        else resolve(`HTTP status ${response.statusCode}`);
      });
    });
    const timer = setTimeout(() => outgoing.destroy(new Error('no answer in time')), leftMs);
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      const closed = outgoing.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
      resolve(closed ? 'stale' : error.message);
    });
    outgoing.end(text);
  });
  if (reply !== 'stale') return reply;
  // The same words: had the first been acted on, the answer is that they were said before.
  return again ? await post(what, false) : 'the connection was closed';
}
