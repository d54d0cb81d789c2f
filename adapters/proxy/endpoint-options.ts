/**
 * What the endpoint of a proxy host is told, and what of it HAProxy, PgBouncer and the canary are told: the defaults, and how the
 * three are wired together by unix sockets in one folder.
 */
import { join } from 'node:path';
import type { RunAs } from '../process.ts';
import type { TlsFiles } from '../tls/tls-folder.ts';
import type { CanaryAccess } from './canary.ts';
import { type HaproxyOptions, upstreamOf } from './haproxy.ts';
import type { CheckPolicy, HaproxyConfig, NodeAddress } from './haproxy-config.ts';
import type { PgbouncerOptions } from './pgbouncer.ts';
import { isVerifier, type PoolUser, usualIgnoredParameters } from './pgbouncer-config.ts';

export interface EndpointOptions {
  readonly programs: { readonly haproxy: string; readonly pgbouncer: string };
  /** For the files and sockets of both programs; made if missing, then entered by `runAs` only. Keep its path under 70 bytes. */
  readonly folder: string;
  readonly logFolder: string;
  readonly runAs: RunAs | null;
  readonly listeners: HaproxyConfig['listeners'];
  /** PgBouncer's own port, for who wants to pass HAProxy by. */
  readonly pgbouncer: { readonly host: string; readonly port: number };
  readonly nodes: readonly NodeAddress[];
  readonly users: readonly PoolUser[];
  /**
   * Who keeps one connection to the primary, to notice at once that it went: by default the first user with a plain secret, in the
   * database `postgres`. Null: nobody, and clients may see an error for it.
   */
  readonly canary?: CanaryUser | null;
  /** Server connections per database and user. */
  readonly poolSize: number;
  readonly maxClients?: number;
  /** How long clients wait for a primary before they get an error; 60 s. */
  readonly patienceMs?: number;
  readonly check?: CheckPolicy;
  readonly authQuery?: { readonly user: string; readonly query: string } | null;
  /** Where TLS is required, once there is a certificate; left out or null: in the clear. */
  readonly tls?: TlsFiles | null;
  /** Called when a pause ended by itself, with the route it opened to: null, for nobody vouched for any. */
  readonly onPauseExpired?: () => void;
  /** Called when the route could not be written to disk: what HAProxy does is not changed by that, and it is tried again. */
  readonly onNotSaved?: (detail: string) => void;
}

export interface CanaryUser {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

const defaultCheck: CheckPolicy = { intervalMs: 500, failures: 3 };
const defaults = { maxClients: 1_000, patienceMs: 60_000 };

/** Who the canary logs in as; null: there is none. */
export function canaryUser(options: EndpointOptions): CanaryUser | null {
  if (options.canary !== undefined) return options.canary;
  const plain = options.users.find(({ secret }) => !isVerifier(secret));
  return plain === undefined ? null : { user: plain.name, password: plain.secret, database: 'postgres' };
}

/** A loopback address that nobody else binds: with the port of the primary's listener it is free wherever that is. */
const upstreamHost = '127.0.0.2';

/** Where HAProxy takes what PgBouncer and the canary have for the primary. */
function upstreamListener({ folder, listeners, tls }: EndpointOptions): { host: string; port: number } {
  if (tls != null) return { host: upstreamHost, port: listeners.primary.port };
  const upstream = upstreamOf(folder);
  return { host: upstream.folder, port: upstream.port };
}

/** How the canary gets to the primary; null: there is none. */
export function canaryAccess(options: EndpointOptions): CanaryAccess | null {
  const user = canaryUser(options);
  if (user === null) return null;
  return { ...user, ...upstreamListener(options), authorities: options.tls?.authorities ?? null };
}

export function haproxyOptions(options: EndpointOptions, nodes: readonly NodeAddress[]): HaproxyOptions {
  return {
    program: options.programs.haproxy,
    folder: options.folder,
    logFile: join(options.logFolder, 'haproxy.log'),
    runAs: options.runAs,
    listeners: options.listeners,
    nodes,
    pgbouncerSocket: join(options.folder, `.s.PGSQL.${options.pgbouncer.port}`),
    tcp: options.tls == null ? null : { pgbouncer: options.pgbouncer, upstream: upstreamListener(options) },
    // Each client counts twice: to PgBouncer, and with PgBouncer to the primary.
    maxConnections: 2 * (options.maxClients ?? defaults.maxClients),
    patienceMs: options.patienceMs ?? defaults.patienceMs,
    check: options.check ?? defaultCheck,
  };
}

export function pgbouncerOptions(options: EndpointOptions): PgbouncerOptions {
  return {
    program: options.programs.pgbouncer,
    folder: options.folder,
    logFile: join(options.logFolder, 'pgbouncer.log'),
    runAs: options.runAs,
    listen: options.pgbouncer,
    upstream: upstreamListener(options),
    tls: options.tls ?? null,
    users: options.users,
    maxClients: options.maxClients ?? defaults.maxClients,
    poolSize: options.poolSize,
    patienceMs: options.patienceMs ?? defaults.patienceMs,
    ignoredStartupParameters: usualIgnoredParameters,
    authQuery: options.authQuery ?? null,
  };
}
