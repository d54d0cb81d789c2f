/**
 * HAProxy in front of a peer: the defaults are those of the haproxy.cfg that Patroni's own repository ships (`extras/haproxy.cfg`), tuned
 * ones look sooner and more often. Who is primary is asked of Patroni's REST API, or, where there is none, of PostgreSQL itself. Pure.
 */

export interface CheckTimes {
  readonly intervalMs: number;
  readonly fall: number;
  readonly rise: number;
  readonly checkTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

/** `inter 3s fall 3 rise 2`, `timeout check 5s`, `timeout connect 4s`. */
export const shippedCheckTimes: CheckTimes = {
  intervalMs: 3_000,
  fall: 3,
  rise: 2,
  checkTimeoutMs: 5_000,
  connectTimeoutMs: 4_000,
};

export const tunedCheckTimes: CheckTimes = {
  intervalMs: 200,
  fall: 5,
  rise: 1,
  checkTimeoutMs: 1_000,
  connectTimeoutMs: 1_000,
};

export interface CheckedNode {
  readonly id: string;
  readonly port: number;
  /** Where it is asked, when that is not PostgreSQL. */
  readonly restPort?: number;
}

/** With `user`, who must be let in without a password, the check logs in and asks whether it might write. */
export type PrimaryCheck = { readonly kind: 'rest' } | { readonly kind: 'query'; readonly user: string };

export interface PeerHaproxy {
  readonly port: number;
  readonly nodes: readonly CheckedNode[];
  readonly check: PrimaryCheck;
  readonly times: CheckTimes;
}

export function renderPeerHaproxy({ port, nodes, check, times }: PeerHaproxy): string {
  const servers = nodes.map((node) => {
    const where = node.restPort === undefined ? 'check' : `check port ${node.restPort}`;
    return `  server ${node.id} 127.0.0.1:${node.port} maxconn 1000 ${where}`;
  });
  return `global
  maxconn 1000

defaults
  mode tcp
  retries 2
  timeout client 30m
  timeout connect ${times.connectTimeoutMs}ms
  timeout server 30m
  timeout check ${times.checkTimeoutMs}ms

listen primary
  bind 127.0.0.1:${port}
${checkLines(check).join('\n')}
  default-server inter ${times.intervalMs}ms fall ${times.fall} rise ${times.rise} on-marked-down shutdown-sessions
${servers.join('\n')}
`;
}

function checkLines(check: PrimaryCheck): string[] {
  if (check.kind === 'rest') return ['  option httpchk OPTIONS /primary', '  http-check expect status 200'];
  return [
    '  option tcp-check',
    '  tcp-check connect',
    `  tcp-check send-binary ${startupMessage(check.user)}`,
    // As libpq does for target_session_attrs=read-write.
    `  tcp-check send-binary ${queryMessage('show transaction_read_only')}`,
    // Good-bye: a standby's answer ends the check at once, not at its time-out.
    '  tcp-check send-binary 5800000004',
    // A row of one column, three bytes long: off.
    '  tcp-check expect binary 440000000d0001000000036f6666',
  ];
}

/** The first message of PostgreSQL's protocol 3.0, for the database `postgres`, in hexadecimal. */
export function startupMessage(user: string): string {
  const words = Buffer.from(`user\0${user}\0database\0postgres\0\0`, 'latin1');
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + words.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, words]).toString('hex');
}

export function queryMessage(query: string): string {
  const words = Buffer.from(`${query}\0`, 'latin1');
  const head = Buffer.alloc(5);
  head.write('Q', 0, 'latin1');
  head.writeInt32BE(4 + words.length, 1);
  return Buffer.concat([head, words]).toString('hex');
}
