// A kept connection to the local server, over its Unix socket, with every wait bounded. Keeps three facts apart that look
// alike: nobody answers (`unreachable`), the server answers that it is not ready (`starting-up`), the server answers with an
// error (`query-failed`): only the first may be followed by doubts about the host.

import { Socket } from 'node:net';
import pg from 'pg';
import type { trustingAuthority } from '../tls/trusting-authority.ts';
import type { PostgresHost } from './host.ts';

export type QueryFailure =
  /** No answer: nothing listens, the time is over, or the connection broke. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** SQLSTATE 57P03: starting, shutting down, or not yet consistent; `message` says which. */
  | { readonly kind: 'starting-up'; readonly message: string }
  | { readonly kind: 'query-failed'; readonly sqlstate: string; readonly message: string };

export type Row = Readonly<Record<string, unknown>>;
export type QueryResult = { readonly kind: 'rows'; readonly rows: readonly Row[] } | QueryFailure;

export interface ConnectionOptions {
  readonly database?: string;
  /** The replication protocol, for IDENTIFY_SYSTEM; `true`: as a standby's receiver asks for it, in no database. */
  readonly replication?: 'database' | 'true';
  /** By TCP instead of the socket; `ssl` as `pg` takes it, false: in the clear. */
  readonly tcp?: { readonly host: string; readonly ssl: false | ReturnType<typeof trustingAuthority> };
  readonly applicationName?: string;
  /** The server has ended the connection while nothing was asked: at once when its postmaster dies, for each backend watches that. */
  readonly onEnd?: () => void;
  /** Ends a query whose asker has given up, so that probes of a slow server do not pile up there; 0: never. */
  readonly statementTimeoutMs?: number;
}

const STATEMENT_TIMEOUT_MS = 10_000;

interface OpenConnection {
  readonly client: pg.Client;
  readonly socket: Socket;
  connected: Promise<unknown> | null;
  /** It was made, and nothing is asked on it now. */
  idle: boolean;
}

/** PostgreSQL's "the server is not accepting connections (yet)". */
const CANNOT_CONNECT_NOW = '57P03';
/** admin_shutdown, crash_shutdown: the server ends this connection; a new one tells more. */
const SERVER_ENDS_CONNECTION = new Set(['57P01', '57P02']);

/**
 * One connection, opened when first needed and again after it broke. Queries of one connection run one after another.
 * Sessions commit locally (`synchronous_commit = local`), so that a probe never waits for a standby.
 */
export class LocalConnection {
  readonly #host: PostgresHost;
  readonly #options: ConnectionOptions;
  #open: OpenConnection | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(host: PostgresHost, options: ConnectionOptions = {}) {
    this.#host = host;
    this.#options = options;
  }

  /**
   * Runs one query within `timeoutMs`, waiting, connecting and a second attempt on a fresh connection included (the first may
   * have been to a server that is no more). A query out of time loses its connection: what it does afterwards is unknown.
   */
  query(sql: string, timeoutMs: number, values: readonly unknown[] = []): Promise<QueryResult> {
    const deadlineMs = performance.now() + timeoutMs;
    const result = this.#queue.then(async () => {
      const reused = this.#open !== null;
      const first = await this.#attempt(sql, values, deadlineMs);
      if (first.kind === 'unreachable' && reused && performance.now() < deadlineMs && this.#open === null) {
        return this.#attempt(sql, values, deadlineMs);
      }
      return first;
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** True while `onEnd` would be called if the server died now. */
  hearsEnd(): boolean {
    return this.#open?.idle === true;
  }

  /** Ends the connection at once; a later query opens a new one. */
  close(): void {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    open.client.end().catch(() => undefined);
    // A hung server never answers the farewell.
    setTimeout(() => open.socket.destroy(), 50).unref();
  }

  async #attempt(sql: string, values: readonly unknown[], deadlineMs: number): Promise<QueryResult> {
    const remainingMs = deadlineMs - performance.now();
    if (remainingMs <= 0) return { kind: 'unreachable', reason: 'no time left to ask' };
    this.#open ??= this.#create();
    const open = this.#open;
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<QueryResult>((resolve) => {
      timer = setTimeout(() => {
        this.#abandon(open);
        resolve({ kind: 'unreachable', reason: 'no answer in time' });
      }, remainingMs);
    });
    const answer = ask(open, sql, values).catch((error: unknown) => {
      const failure = classify(error);
      if (failure.broken) this.#abandon(open);
      return failure.result;
    });
    try {
      return await Promise.race([answer, timeUp]);
    } finally {
      clearTimeout(timer);
    }
  }

  #create(): OpenConnection {
    const host = this.#host;
    const socket = new Socket();
    const statementTimeoutMs = this.#options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
    const client = new pg.Client({
      host: this.#options.tcp?.host ?? host.socketDir,
      port: host.port,
      user: host.superuser.name,
      password: host.superuser.password,
      database: this.#options.database ?? 'postgres',
      application_name: this.#options.applicationName ?? 'leasehold',
      options: `-c synchronous_commit=local -c statement_timeout=${statementTimeoutMs}`,
      ...(this.#options.replication === undefined ? {} : { replication: this.#options.replication }),
      // Our own socket: to be able to drop it when a hung server would never let go of it.
      stream: () => socket,
      ssl: this.#options.tcp?.ssl ?? false,
    } as pg.ClientConfig);
    const open: OpenConnection = { client, socket, connected: null, idle: false };
    client.on('error', () => this.#abandon(open));
    client.on('end', () => this.#abandon(open));
    return open;
  }

  #abandon(open: OpenConnection): void {
    open.socket.destroy();
    if (this.#open !== open) return;
    this.#open = null;
    if (open.idle) this.#options.onEnd?.();
  }
}

async function ask(open: OpenConnection, sql: string, values: readonly unknown[]): Promise<QueryResult> {
  open.idle = false;
  open.connected ??= open.client.connect();
  await open.connected;
  const { client } = open;
  // Without values the simple protocol: the only one that a walsender speaks.
  const result =
    values.length === 0 ? await client.query<Row>(sql) : await client.query<Row>(sql, [...values]);
  open.idle = true;
  return { kind: 'rows', rows: result.rows };
}

/** What an error says of the server, and whether the connection it came through can be used again. */
function classify(error: unknown): { readonly result: QueryFailure; readonly broken: boolean } {
  const text =
    error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code) : String(error);
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) {
    return { result: { kind: 'unreachable', reason: text }, broken: true };
  }
  if (error.code === CANNOT_CONNECT_NOW)
    return { result: { kind: 'starting-up', message: text }, broken: true };
  if (SERVER_ENDS_CONNECTION.has(error.code))
    return { result: { kind: 'unreachable', reason: text }, broken: true };
  const broken = error.severity === 'FATAL' || error.severity === 'PANIC';
  return { result: { kind: 'query-failed', sqlstate: error.code, message: text }, broken };
}
