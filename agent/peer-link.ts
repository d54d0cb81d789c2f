/**
 * An agent's ends of the peer channel: what it answers to other agents (a promise in failsafe mode) and to an operator's terminal
 * (an action to be run now), and how it asks the other members. The REST server passes its POSTs on to `take`.
 */
import { createPeerClient, type PeerClient } from '../adapters/peer/peer-client.ts';
import { createPeerServer, type PeerServer } from '../adapters/peer/peer-server.ts';
import type { SharedSecret } from '../adapters/peer/shared-secret.ts';
import type { FailsafeAnswer, FailsafeAsk } from '../core/lease/failsafe.ts';
import type { NodeId } from '../core/model/lease.ts';
import type { NodeReport } from '../core/model/node-report.ts';
import { InvalidInput } from '../core/wire/fields.ts';
import { actionCallShape, answerShape, askShape } from '../core/wire/parse-failsafe.ts';

/** Patroni asks its members there too. */
export const failsafePath = '/failsafe';
export const actionPath = '/leasehold/action';

export interface PeerLinkDeps {
  readonly config: {
    readonly cluster: string;
    readonly node: NodeId;
  };
  readonly secret: SharedSecret;
  readonly now: () => number;
  readonly answerFailsafe: (ask: FailsafeAsk) => FailsafeAnswer;
  /** Null: no such action for this node. */
  readonly runAction: (
    operation: string,
    action: string,
    onLine: (line: string) => void,
  ) => Promise<object | null>;
  /** The last reports that were read: they say where the others are. */
  readonly nodes: () => readonly NodeReport[];
}

export interface PeerLink extends PeerServer {
  readonly ask: (member: NodeId, ask: FailsafeAsk, timeoutMs: number) => Promise<FailsafeAnswer | null>;
  readonly close: () => void;
}

export function createPeerLink(deps: PeerLinkDeps): PeerLink {
  const { cluster, node } = deps.config;
  const { secret } = deps;
  const client = createPeerClient({ secret, cluster, from: node });
  const server = createPeerServer({
    secret,
    cluster,
    node,
    now: deps.now,
    handlers: {
      [failsafePath]: (body, from) => {
        const ask = askShape.read(body, 'ask');
        if (ask.holder !== from) throw new InvalidInput('ask.holder', ask.holder, `who asks, ${from}`);
        return answerShape.write(deps.answerFailsafe(ask));
      },
      [actionPath]: async (body) => {
        const { operation, action } = actionCallShape.read(body, 'call');
        const transcript: string[] = [];
        const result = await deps.runAction(operation, action, (line) => transcript.push(line));
        if (result === null)
          throw new Error(`${action} of ${operation} is not for this node, or not current`);
        return { result, transcript };
      },
    },
  });
  return {
    take: (path, request, response) => server.take(path, request, response),
    ask: (member, ask, timeoutMs) => askMember(client, deps.nodes(), member, ask, timeoutMs),
    close: () => client.close(),
  };
}

/** Null for silence, and for what is no answer: neither is a promise. */
async function askMember(
  client: PeerClient,
  nodes: readonly NodeReport[],
  member: NodeId,
  ask: FailsafeAsk,
  timeoutMs: number,
): Promise<FailsafeAnswer | null> {
  const report = nodes.find((one) => one.node === member);
  if (report === undefined || report.addresses.restPort === 0) return null;
  const { host, restPort } = report.addresses;
  const peer = { node: member, host, port: restPort };
  const answer = await client.peerCall(peer, failsafePath, askShape.write(ask), timeoutMs);
  if (answer.kind !== 'ok') return null;
  try {
    return answerShape.read(answer.value, 'answer');
  } catch (error) {
    if (error instanceof InvalidInput) return null;
    throw error;
  }
}
