/**
 * The one way between the machine and the network of its hosts (driver `netns`). It runs in the region's namespace, gets from the
 * runtime the sockets that listen on the machine's loopback (a socket stays in the namespace in which it was made), and connects
 * from here to the hosts; hosts come to AWS through its own port, and it goes on to the runtime's Unix socket. It can be told to
 * deliver late, and counts.
 *
 * Started with an IPC channel; ends with its parent.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { carryBothWays, type Delay, noDelay } from './delayed-pipe.ts';

/** Which connections a delay is for: a host's to AWS, or clients' to a host. */
export type RelayLink = 'aws' | 'clients';

export type ToRelay =
  /** The runtime's socket comes along. */
  | {
      readonly kind: 'clients';
      readonly from: string;
      readonly to: { readonly host: string; readonly port: number };
    }
  | {
      readonly kind: 'aws';
      readonly listen: { readonly host: string; readonly port: number };
      readonly socketPath: string;
    }
  /** `host` is an address; null stands for every host. */
  | { readonly kind: 'delay'; readonly link: RelayLink; readonly host: string | null; readonly delay: Delay }
  | { readonly kind: 'counts' };

export interface RelayCounts {
  readonly connections: number;
  readonly failed: number;
  readonly forthBytes: number;
  readonly backBytes: number;
}

export type FromRelay =
  | { readonly kind: 'ready' }
  /** By `aws <address>` and `clients <address>:<port>`. */
  | { readonly kind: 'counts'; readonly counts: Readonly<Record<string, RelayCounts>> };

/** As long as a host that answers nothing is waited for. */
const connectTimeoutMs = 30_000;

type Counts = { -readonly [key in keyof RelayCounts]: RelayCounts[key] };

const counts = new Map<string, Counts>();
const delays = new Map<string, Delay>();

function countsOf(key: string): Counts {
  const known = counts.get(key) ?? { connections: 0, failed: 0, forthBytes: 0, backBytes: 0 };
  counts.set(key, known);
  return known;
}

function delayOf(link: RelayLink, host: string): Delay {
  return delays.get(`${link} ${host}`) ?? delays.get(link) ?? noDelay;
}

interface Way {
  readonly link: RelayLink;
  readonly host: string;
  readonly key: string;
  open(): Socket;
}

function pass(near: Socket, { link, host, key, open }: Way): void {
  const count = countsOf(key);
  count.connections += 1;
  const far = open();
  far.setTimeout(connectTimeoutMs, () => far.destroy(new Error('no answer')));
  far.once('connect', () => far.setTimeout(0));
  far.once('error', () => {
    if (far.bytesRead === 0) count.failed += 1;
  });
  carryBothWays(
    near,
    far,
    () => delayOf(link, host),
    (way, bytes) => {
      count[way === 'forth' ? 'forthBytes' : 'backBytes'] += bytes;
    },
  );
}

function takeClients({ from, to }: Extract<ToRelay, { kind: 'clients' }>, given: Server): void {
  // A server that came over a channel has forgotten how it was made.
  const server: Server & { allowHalfOpen?: boolean } = given;
  server.allowHalfOpen = true;
  const way: Way = {
    link: 'clients',
    host: to.host,
    key: `clients ${to.host}:${to.port}`,
    open: () => connect({ ...to, localAddress: from, allowHalfOpen: true }),
  };
  server.on('connection', (near) => pass(near, way));
}

function listenForHosts({ listen, socketPath }: Extract<ToRelay, { kind: 'aws' }>): void {
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const host = near.remoteAddress ?? '';
    pass(near, {
      link: 'aws',
      host,
      key: `aws ${host}`,
      open: () => connect({ path: socketPath, allowHalfOpen: true }),
    });
  });
  server.listen(listen, () => tell({ kind: 'ready' }));
}

function tell(message: FromRelay): void {
  process.send?.(message);
}

process.on('message', (message: ToRelay, handle: unknown) => {
  switch (message.kind) {
    case 'clients':
      return takeClients(message, handle as Server);
    case 'aws':
      return listenForHosts(message);
    case 'delay':
      if (message.host === null) delays.clear();
      return void delays.set(
        message.host === null ? message.link : `${message.link} ${message.host}`,
        message.delay,
      );
    case 'counts':
      return tell({ kind: 'counts', counts: Object.fromEntries(counts) });
  }
});
process.on('disconnect', () => process.exit(0));
// A Ctrl-C reaches it too: the runtime needs it until its hosts are down.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
