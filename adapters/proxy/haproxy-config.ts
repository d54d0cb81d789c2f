/**
 * Renders haproxy.cfg. Every database node starts in maintenance: until the agent says where the primary is, connections wait in
 * the `hold` server rather than reach a node that nobody vouched for.
 *
 * How waiting works, for HAProxy refuses a connection at once when a backend has no server: the backend `primary` has one more
 * server, a backup that is always "up" and always refuses (port 1 of an address that nobody has). A connection that finds no
 * primary, or whose primary refuses or does not answer, is sent there, refused, and dispatched anew after `timeout connect`
 * (HAProxy waits min(1 s, timeout connect) before a retry). So a new primary is tried within `reconnectMs`, and neither a client nor
 * PgBouncer (whose connections pass here too) ever sees a refused connection in the meantime.
 */

import { isIP } from 'node:net';

/** A database node as the proxy reaches it. */
export interface NodeAddress {
  readonly nodeId: string;
  /** An IP address; a name would have to be resolved while a failover waits. IPv6 in its shortest form. */
  readonly host: string;
  readonly port: number;
  /** The agent's REST port on the same host, for health checks; null: no health checks. */
  readonly restPort: number | null;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
}

export interface HaproxyConfig {
  readonly listeners: {
    /** To the PgBouncer of this host: where clients go. */
    readonly endpoint: Listener;
    /** To the primary's PostgreSQL, without pooling. */
    readonly primary: Listener;
    /** To the standbys, in turn. */
    readonly replicas: Listener;
  };
  readonly nodes: readonly NodeAddress[];
  /** Unix socket of the runtime interface. */
  readonly runtimeSocket: string;
  /** Unix socket at which PgBouncer listens. */
  readonly pgbouncerSocket: string;
  /** Unix socket at which HAProxy takes PgBouncer's connections to the primary. */
  readonly upstreamSocket: string;
  /**
   * PgBouncer speaks TLS over TCP only: where it does, its own port, and one more for what it sends to the primary. Null: the two sockets.
   */
  readonly tcp: { readonly pgbouncer: Listener; readonly upstream: Listener } | null;
  /** Connections of all listeners together. */
  readonly maxConnections: number;
  /** How long a connection waits for a primary before it fails. */
  readonly patienceMs: number;
  readonly check: CheckPolicy;
}

/** The health checks, which only matter while the agent is away: they can take a node out, never bring one in. */
export interface CheckPolicy {
  readonly intervalMs: number;
  /** Failures in a row before a node is out. */
  readonly failures: number;
}

/** Connect time-out, and so the longest that a waiting connection takes to notice a new primary. Across zones a connect takes 2 ms. */
export const reconnectMs = 50;

/** Not a name that a node can have. */
export const holdServer = ':hold';

const nodeName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

/** What is wrong with a node's address, in words; null when nothing. Its parts become words of a command, so nothing else may pass. */
export function nodeAddressProblem(node: NodeAddress): string | null {
  if (!nodeName.test(node.nodeId))
    return `node id ${JSON.stringify(node.nodeId)}: letters, digits, ., _ and - only`;
  if (isIP(node.host) === 0)
    return `host ${JSON.stringify(node.host)} of ${node.nodeId} is not an IP address`;
  for (const port of [node.port, node.restPort ?? 1])
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      return `port ${port} of ${node.nodeId} is not a port`;
  return null;
}

export type Backend = 'primary' | 'replicas';

/**
 * A `server` line's arguments, for the file and for `add server` alike (which knows no default-server).
 *
 * A standby that fails its checks loses its readers at once. A primary does not: a check says nothing of its connections, the agent ends
 * them when the lease does, and HAProxy would also end those in the making, which PgBouncer takes for refused logins (see
 * pgbouncer-config.ts).
 */
export function serverArguments(backend: Backend, node: NodeAddress, check: CheckPolicy): string {
  const { intervalMs, failures } = check;
  const words = [`${bracketed(node.host)}:${node.port}`];
  if (node.restPort !== null) {
    const intervals = ['inter', 'fastinter', 'downinter'].map((word) => `${word} ${intervalMs}ms`);
    words.push(`check port ${node.restPort} rise 1 fall ${failures}`, ...intervals);
  }
  if (backend === 'replicas') words.push('on-marked-down shutdown-sessions');
  return words.join(' ');
}

/** HAProxy reads what stands behind the last colon as the port, so IPv6 needs brackets in front of one. */
function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * The line by which clients get to PgBouncer. A HAProxy that was started with another one may not be adopted: it would hand over by a
 * socket, on which PgBouncer asks nobody for TLS.
 */
export function pgbouncerServer({
  tcp,
  pgbouncerSocket,
}: Pick<HaproxyConfig, 'tcp' | 'pgbouncerSocket'>): string {
  const address =
    tcp === null ? `unix@${pgbouncerSocket}` : `${bracketed(tcp.pgbouncer.host)}:${tcp.pgbouncer.port}`;
  return `  server pgbouncer ${address}\n`;
}

export function renderHaproxyConfig(config: HaproxyConfig): string {
  const { listeners, nodes } = config;
  const retries = Math.ceil(config.patienceMs / reconnectMs);
  const servers = (backend: Backend) =>
    nodes
      .map((node) => `  server ${node.nodeId} ${serverArguments(backend, node, config.check)} disabled\n`)
      .join('');
  const at = ({ host, port }: Listener) => `${bracketed(host)}:${port}`;
  const bind = (listener: Listener) => `  bind ${at(listener)}`;
  const { tcp } = config;
  return `# Written by the Leasehold agent, which changes it at runtime through the socket below. Edits are lost.
global
  maxconn ${config.maxConnections}
  no strict-limits
  # Two HAProxies on one port would share its connections without a word: fail instead.
  noreuseport
  stats socket ${config.runtimeSocket} mode 600 level admin
  stats timeout 30s
  log stderr format raw daemon notice

defaults
  mode tcp
  log global
  option dontlognull
  # The database decides how long a connection may idle, not the proxy.
  timeout client 7d
  timeout server 7d
  timeout connect ${reconnectMs}ms
  timeout queue ${config.patienceMs}ms
  timeout check ${Math.max(100, config.check.intervalMs)}ms
  retries ${retries}
  option redispatch 1
  # A peer that vanished without a word is noticed by keepalives after 30 s at most.
  option clitcpka
  option srvtcpka
  clitcpka-idle 15s
  clitcpka-intvl 5s
  clitcpka-cnt 3
  srvtcpka-idle 5s
  srvtcpka-intvl 2s
  srvtcpka-cnt 3

frontend endpoint
${bind(listeners.endpoint)}
  default_backend pgbouncer

backend pgbouncer
${pgbouncerServer(config)}
frontend primary
${bind(listeners.primary)}
  default_backend primary

frontend upstream
${tcp === null ? `  bind unix@${config.upstreamSocket} mode 600` : bind(tcp.upstream)}
  default_backend primary

backend primary
  balance roundrobin
  option httpchk GET /primary
  http-check expect status 200
  server ${holdServer} 127.255.255.254:1 backup
${servers('primary')}
frontend replicas
${bind(listeners.replicas)}
  default_backend replicas

backend replicas
  balance roundrobin
  option httpchk GET /replica
  http-check expect status 200
${servers('replicas')}`;
}
