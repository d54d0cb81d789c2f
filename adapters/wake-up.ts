/**
 * The wake-up datagram: "read the lease now", from agent to agent over UDP, so that the baton is not passed at the pace of
 * polls. It is a hint and no more: it carries no fact, resets no timer, and may be lost, doubled or late. It is authenticated
 * with the cluster's secret and rate-limited, so that an outsider can neither wake anybody nor keep them busy.
 *
 * Layout: 4 bytes `lhw1`, 32 bytes HMAC-SHA256 of the rest, then JSON: cluster, node (the sender), boot (random at each start),
 * counter (rises within a boot), reason (what changed: nobody reads the lease for what says that it is something else).
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { SharedSecret } from './peer/shared-secret.ts';

export interface WakeUpConfig {
  /** The address to listen on. */
  readonly host: string;
  /** 0 asks the kernel for a free one. */
  readonly port: number;
  readonly secret: SharedSecret;
  readonly cluster: string;
  readonly node: string;
  /** Something changed: at once at a datagram, then at most every 2 ms while more of them come. */
  readonly onWake: () => void;
  /** The same for datagrams by which lease or record may have changed, after `onWake`. */
  readonly onBaton: () => void;
}

/** The lease was written; an epoch was recorded; a proxy reported; an action was claimed or is prepared. */
export type WakeReason = 'lease' | 'epoch' | 'proxy' | 'action';

/** Of these nobody learns by reading lease and record; the first action that is claimed tells of a new operation. */
const aside: ReadonlySet<string> = new Set<WakeReason>(['proxy']);

export interface Peer {
  readonly host: string;
  /** 0: it does not listen (yet). */
  readonly port: number;
}

export interface WakeUpCounts {
  readonly sent: number;
  /** The kernel refused to send. */
  readonly failed: number;
  /** Accepted: of this cluster, authentic and new. */
  readonly accepted: number;
  /** Malformed, not authentic, of another cluster, of this node itself, or seen before. */
  readonly ignored: number;
}

export interface WakeUp {
  /** The port that it listens on. */
  readonly port: number;
  /** Replaces the peers; at most 64 are kept. */
  setPeers(peers: readonly Peer[]): void;
  /** Tells all peers; returns before anything is sent, and never throws. */
  wake(reason: WakeReason): void;
  counts(): WakeUpCounts;
  close(): void;
}

const magic = Buffer.from('lhw1');
const macBytes = 32;
const mostBytes = 512;
const mostPeers = 64;
const mostBoots = 256;
const coalesceMs = 2;

/** Rejects when the address cannot be listened on. Keeps no process alive. */
export async function createWakeUp(config: WakeUpConfig): Promise<WakeUp> {
  const socket = await listen(config);
  socket.unref();
  const counts = { sent: 0, failed: 0, accepted: 0, ignored: 0 };
  const boot = randomBytes(12).toString('base64url');
  const isNew = createReplayFilter();
  const wakeUp = coalesced(config.onWake);
  const baton = coalesced(config.onBaton);
  let peers: readonly Peer[] = [];
  let counter = 0;
  let closed = false;

  socket.on('error', () => {
    counts.failed += 1;
  });
  socket.on('message', (datagram) => {
    const hint = openByAny(datagram, config.secret.accept());
    if (hint === null || hint.cluster !== config.cluster || hint.node === config.node || !isNew(hint)) {
      counts.ignored += 1;
      return;
    }
    counts.accepted += 1;
    wakeUp.call();
    // A reason that is not known is a newer version's: to read too often costs little.
    if (!aside.has(hint.reason)) baton.call();
  });

  return {
    port: socket.address().port,
    setPeers(given) {
      peers = given.filter(({ port }) => port > 0 && port < 65_536).slice(0, mostPeers);
    },
    wake(reason) {
      if (closed) return;
      counter += 1;
      const { cluster, node } = config;
      const datagram = seal({ cluster, node, boot, counter, reason }, config.secret.sign());
      for (const peer of peers) {
        socket.send(datagram, peer.port, peer.host, (error) => {
          if (error) counts.failed += 1;
          else counts.sent += 1;
        });
      }
    },
    counts: () => ({ ...counts }),
    close() {
      if (closed) return;
      closed = true;
      wakeUp.stop();
      baton.stop();
      socket.close();
    },
  };
}

async function listen({ host, port }: WakeUpConfig): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  return socket;
}

interface Hint {
  readonly cluster: string;
  readonly node: string;
  readonly boot: string;
  readonly counter: number;
  readonly reason: string;
}

function macOf(body: Buffer, secret: string): Buffer {
  return createHmac('sha256', secret).update('leasehold wake-up 1\n').update(body).digest();
}

function seal(hint: Hint, secret: string): Buffer {
  const body = Buffer.from(JSON.stringify(hint));
  return Buffer.concat([magic, macOf(body, secret), body]);
}

function openByAny(datagram: Buffer, secrets: readonly string[]): Hint | null {
  for (const secret of secrets) {
    const hint = open(datagram, secret);
    if (hint !== null) return hint;
  }
  return null;
}

/** Null for anything but an authentic datagram; nothing is parsed before it is authenticated. */
function open(datagram: Buffer, secret: string): Hint | null {
  const bodyAt = magic.length + macBytes;
  if (datagram.length <= bodyAt || datagram.length > mostBytes) return null;
  if (!datagram.subarray(0, magic.length).equals(magic)) return null;
  const body = datagram.subarray(bodyAt);
  if (!timingSafeEqual(datagram.subarray(magic.length, bodyAt), macOf(body, secret))) return null;
  try {
    const hint: unknown = JSON.parse(body.toString());
    return isHint(hint) ? hint : null;
  } catch {
    return null;
  }
}

function isHint(value: unknown): value is Hint {
  if (typeof value !== 'object' || value === null) return false;
  const { cluster, node, boot, counter, reason } = value as Record<string, unknown>;
  return (
    typeof cluster === 'string' &&
    typeof node === 'string' &&
    typeof boot === 'string' &&
    Number.isSafeInteger(counter) &&
    typeof reason === 'string'
  );
}

/**
 * True for a counter above all others of its boot. Boots are remembered for as long as 256 newer ones have not come: what is
 * replayed from before that, or to an agent that has just started, wakes once.
 */
function createReplayFilter(): (hint: Hint) => boolean {
  const highest = new Map<string, number>();
  return ({ node, boot, counter }) => {
    const sender = `${node}/${boot}`;
    if (counter <= (highest.get(sender) ?? 0)) return false;
    highest.delete(sender);
    highest.set(sender, counter);
    const oldest = highest.keys().next();
    if (highest.size > mostBoots && !oldest.done) highest.delete(oldest.value);
    return true;
  };
}

/** Calls at once, then once more at the end of each 2 ms in which it was called again. */
function coalesced(call: () => void): { call(): void; stop(): void } {
  let timer: NodeJS.Timeout | null = null;
  let again = false;
  const rest = (): void => {
    timer = setTimeout(() => {
      timer = null;
      if (!again) return;
      again = false;
      rest();
      call();
    }, coalesceMs).unref();
  };
  return {
    call() {
      if (timer !== null) {
        again = true;
        return;
      }
      rest();
      call();
    },
    stop() {
      if (timer !== null) clearTimeout(timer);
      again = false;
    },
  };
}
