/**
 * Renders pgbouncer.ini and userlist.txt. PgBouncer's one upstream is the local HAProxy's `upstream` socket, for good: who is primary
 * is HAProxy's business, so a change of primary needs no new file and no RELOAD, and connections wait there instead of failing.
 * That matters because PgBouncer 1.18 remembers one failed login: until the next success it answers every query that finds no
 * open server connection with "server login has been failing" and closes that client.
 */

import type { TlsFiles } from '../tls/tls-folder.ts';

/** Somebody who may log in. The secret is a plain password, or the very SCRAM verifier that PostgreSQL stores (then nothing plain is on disk). */
export interface PoolUser {
  readonly name: string;
  readonly secret: string;
}

/** Whether a secret is what PostgreSQL stores rather than a password. */
export function isVerifier(secret: string): boolean {
  return /^(SCRAM-SHA-256\$|md5[0-9a-f]{32}$)/.test(secret);
}

export interface PgbouncerConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** Where its own unix socket (`.s.PGSQL.<listen.port>`) is made. */
  readonly socketFolder: string;
  /** Where HAProxy takes what is for the primary: the folder of a socket `<host>/.s.PGSQL.<port>`, or an address. */
  readonly upstream: { readonly host: string; readonly port: number };
  /** What clients are shown, and whom the primary's certificate has to be of; null: in the clear. */
  readonly tls: TlsFiles | null;
  readonly authFile: string;
  readonly consoleUser: string;
  readonly maxClients: number;
  /** Server connections per database, of all users together. */
  readonly poolSize: number;
  /** How long a client waits for a primary before it gets an error. */
  readonly patienceMs: number;
  /** Start-up parameters that clients may send without effect. */
  readonly ignoredStartupParameters: readonly string[];
  /** Look up users that the file does not name in PostgreSQL itself; null: only those of the file. */
  readonly authQuery: { readonly user: string; readonly query: string } | null;
}

/** Drivers send this one without the application's doing (JDBC, npgsql); without it they cannot connect. */
export const usualIgnoredParameters: readonly string[] = ['extra_float_digits'];

function seconds(ms: number): string {
  return (ms / 1_000).toString();
}

/** One line of an ini file. A line break would smuggle in a setting. */
function setting(name: string, value: string | number): string {
  const text = String(value);
  if (/[\r\n]/.test(text)) throw new Error(`${name} holds a line break`);
  return `${name} = ${text}`;
}

export function renderPgbouncerConfig(config: PgbouncerConfig): string {
  const upstream = `host='${config.upstream.host.replaceAll("'", "''")}' port=${config.upstream.port}`;
  const authQuery =
    config.authQuery === null
      ? []
      : [setting('auth_user', config.authQuery.user), setting('auth_query', config.authQuery.query)];
  return [
    '; Written by the Leasehold agent. Edits are lost.',
    '[databases]',
    `* = ${upstream}`,
    '',
    '[pgbouncer]',
    setting('listen_addr', config.listen.host),
    setting('listen_port', config.listen.port),
    setting('listen_backlog', 4096),
    setting('unix_socket_dir', config.socketFolder),
    '; The folder keeps strangers out; HAProxy runs as the same user.',
    setting('unix_socket_mode', '0700'),
    setting('auth_type', 'scram-sha-256'),
    setting('auth_file', config.authFile),
    ...authQuery,
    setting('admin_users', config.consoleUser),
    setting('stats_users', config.consoleUser),
    setting('ignore_startup_parameters', config.ignoredStartupParameters.join(',')),
    '',
    ...tlsSettings(config.tls),
    setting('pool_mode', 'transaction'),
    setting('max_client_conn', config.maxClients),
    setting('default_pool_size', config.poolSize),
    '; For all users of one database together: while a login is rotated there are two of it. A pool that needs one takes an idle one of another.',
    setting('max_db_connections', config.poolSize),
    '; One server connection for each pool that has clients: a pool with a connection fails no client for a failed login elsewhere.',
    setting('min_pool_size', 1),
    '',
    '; Clients wait for a primary this long; so may a login, which waits in HAProxy meanwhile.',
    setting('query_wait_timeout', seconds(config.patienceMs)),
    setting('server_connect_timeout', Math.ceil(config.patienceMs / 1_000)),
    setting('client_login_timeout', seconds(config.patienceMs)),
    '; Its default of 15 s is how long a new primary would stand idle after one failed login.',
    setting('server_login_retry', 0.05),
    setting('server_check_delay', 30),
    setting('server_check_query', 'select 1'),
    setting('server_lifetime', 3600),
    setting('server_idle_timeout', 600),
    setting('server_reset_query', 'DISCARD ALL'),
    setting('autodb_idle_timeout', 3600),
    '',
    setting('log_connections', 0),
    setting('log_disconnections', 0),
    setting('log_stats', 0),
    '',
  ].join('\n');
}

/** Its own unix socket, which the console uses, needs none. RELOAD reads the files anew. */
function tlsSettings(tls: TlsFiles | null): string[] {
  if (tls === null) return [];
  return [
    setting('client_tls_sslmode', 'require'),
    setting('client_tls_cert_file', tls.certificate),
    setting('client_tls_key_file', tls.key),
    setting('client_tls_protocols', 'secure'),
    '; The authority signs for this cluster alone. The name is that of whoever is primary.',
    setting('server_tls_sslmode', 'verify-ca'),
    setting('server_tls_ca_file', tls.authorities),
    setting('server_tls_protocols', 'secure'),
    '',
  ];
}

/** `"name" "secret"` lines; a double quote is written twice. */
export function renderUserlist(users: readonly PoolUser[]): string {
  return users.map((user) => `${quoted(user.name)} ${quoted(user.secret)}\n`).join('');
}

function quoted(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new Error('a name or secret in the user list holds a line break');
  return `"${text.replaceAll('"', '""')}"`;
}

/** The secret of one user in a user list that `renderUserlist` wrote; null when it is not there. */
export function secretInUserlist(text: string, name: string): string | null {
  for (const line of text.split('\n')) {
    const match = /^"((?:[^"]|"")*)" "((?:[^"]|"")*)"$/.exec(line);
    if (match?.[1]?.replaceAll('""', '"') === name) return (match[2] ?? '').replaceAll('""', '"');
  }
  return null;
}
