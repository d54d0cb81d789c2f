/**
 * Clients that append rows on a schedule that does not wait for answers (open loop): what is due while the one before is under way, or
 * while there is no connection, is sent as soon as it can be, and its waiting counts. An append is never repeated. Each
 * outcome is kept with its times on the monotonic clock, and the server that answered counts as one that accepts writes.
 */
import type { Client } from 'pg';
import { sleepMs } from '../../adapters/clock.ts';
import type { AcceptedWrite, Append, Outcome } from '../history/history.ts';
import { connectInOrder, endQuietly } from './connect-in-order.ts';

export const appendTable = 'chaos_appends';

export interface OpenLoopOptions {
  /** A DSN, or several that are tried in order for one that accepts writes. */
  readonly dsns: readonly string[];
  readonly clients: number;
  /** Time between two appends of one client; clients take turns within it. */
  readonly everyMs: number;
  /** Made if it does not exist. Left out: `appendTable`. */
  readonly table?: string;
  /** What is due while a client waits is sent later, but for no more than so many; the rest is never sent. Left out: all of it. */
  readonly mostDue?: number;
  /** Left out: 5 s. */
  readonly connectTimeoutMs?: number;
}

/** What clients saw from a moment on. */
export interface AppendFigures {
  /** The longest time in which no client at all had an append acknowledged. */
  readonly gapMs: number;
  readonly failed: number;
  readonly unknown: number;
  readonly acknowledged: number;
}

/** Nobody waits longer for an answer; then the outcome is unknown. */
const answerTimeoutMs = 20_000;
const defaultConnectTimeoutMs = 5_000;
const reconnectMs = 50;
const maxKeptErrors = 20;
const holdLookMs = 5;

/** Refused before anything was done: read-only, starting up or shutting down, no server behind the proxy. */
const refusals = new Set(['25006', '57P03', '53300']);
const cancelledWait = /cancel+ing (the )?wait for synchronous replication/i;

const makeTable = (table: string) => `
  create table if not exists ${table} (position bigserial, client int not null, sequence int not null)`;
const appendRow = (table: string) => `
  insert into ${table} (client, sequence) values ($1, $2)
  returning current_setting('cluster_name') as node, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline`;

export class OpenLoopClients {
  readonly appends: Append[] = [];
  readonly accepted: AcceptedWrite[] = [];
  readonly errorTexts: string[] = [];
  readonly #options: OpenLoopOptions;
  readonly #table: string;
  #stopped = false;
  #held = false;
  /** Clients that are in the middle of something. */
  #busy = 0;
  #running: Promise<void>[] = [];

  constructor(options: OpenLoopOptions) {
    this.#options = options;
    this.#table = options.table ?? appendTable;
    if (!/^[a-z_][a-z0-9_]*$/.test(this.#table)) throw new Error(`not a table name: ${this.#table}`);
  }

  /** Makes the table and starts the clients. */
  async start(): Promise<void> {
    const client = await this.#connect();
    await client.query(makeTable(this.#table));
    await client.end();
    this.#running = Array.from({ length: this.#options.clients }, (_, at) => this.#run(at + 1));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** Holds the clients back once each append under way has ended; resolves then. Throws when one does not end. */
  async drain(): Promise<void> {
    this.#held = true;
    const untilMs =
      performance.now() + answerTimeoutMs + this.#options.dsns.length * this.#connectTimeoutMs();
    while (this.#busy > 0) {
      if (performance.now() > untilMs) throw new Error('an append does not end');
      await sleepMs(holdLookMs);
    }
  }

  /** After `drain`. What was due meanwhile is not made up for. */
  resume(): void {
    this.#held = false;
  }

  /** Of what ended since then. A gap that is still open counts for what it has come to. */
  figures(sinceMs: number): AppendFigures {
    const ended = this.appends.filter(({ endedMs }) => endedMs >= sinceMs);
    const count = (wanted: Outcome) => ended.filter(({ outcome }) => outcome === wanted).length;
    let last = sinceMs;
    let gapMs = 0;
    for (const { endedMs, outcome } of ended) {
      if (outcome !== 'acknowledged') continue;
      gapMs = Math.max(gapMs, endedMs - last);
      last = endedMs;
    }
    return {
      gapMs: Math.round(Math.max(gapMs, performance.now() - last)),
      failed: count('failed'),
      unknown: count('unknown'),
      acknowledged: count('acknowledged'),
    };
  }

  async #run(client: number): Promise<void> {
    const { everyMs, clients, mostDue = Number.POSITIVE_INFINITY } = this.#options;
    const state: ClientState = { client, connection: null, sequence: 0 };
    let dueMs = performance.now() + ((client - 1) / clients) * everyMs;
    while (!this.#stopped) {
      await sleepMs(Math.max(0, dueMs - performance.now()));
      if (this.#held) {
        dueMs = performance.now() + everyMs;
        continue;
      }
      this.#busy += 1;
      const outcome = await this.#step(state, dueMs);
      this.#busy -= 1;
      // What could not be sent is still due.
      if (outcome !== 'not-sent') dueMs += everyMs;
      dueMs = Math.max(dueMs, performance.now() - mostDue * everyMs);
      if (outcome !== 'acknowledged') await sleepMs(reconnectMs);
    }
    if (state.connection !== null) await endQuietly(state.connection.client);
  }

  /** One append, over a new connection where there is none. */
  async #step(state: ClientState, dueMs: number): Promise<Outcome | 'not-sent'> {
    state.connection ??= await this.#open();
    if (state.connection === null) return 'not-sent';
    state.sequence += 1;
    const { client, sequence } = state;
    const outcome = await this.#append(state.connection, { client, sequence, dueMs });
    if (outcome === 'acknowledged') return outcome;
    await endQuietly(state.connection.client);
    state.connection = null;
    return outcome;
  }

  /** Null when there is no connection to be had: nothing was sent, so no append has failed, but the client saw an error. */
  async #open(): Promise<Connection | null> {
    try {
      const client = await this.#connect();
      const connection: Connection = { client, warned: false };
      client.on('notice', ({ message = '' }) => {
        if (cancelledWait.test(message)) connection.warned = true;
      });
      return connection;
    } catch (error) {
      const now = performance.now();
      this.#keepError(error);
      // Sequence 0 is never sent: a connection that was refused has no append of its own.
      this.appends.push({ client: 0, sequence: 0, dueMs: now, sentMs: now, endedMs: now, outcome: 'failed' });
      return null;
    }
  }

  async #append(
    connection: Connection,
    { client, sequence, dueMs }: { client: number; sequence: number; dueMs: number },
  ): Promise<Outcome> {
    const sentMs = performance.now();
    let outcome: Outcome = 'unknown';
    let server: { node: string; timeline: string } | undefined;
    connection.warned = false;
    try {
      const { rows } = await connection.client.query<{ node: string; timeline: string }>(
        appendRow(this.#table),
        [client, sequence],
      );
      server = rows[0];
      outcome = connection.warned ? 'unknown' : 'acknowledged';
    } catch (error) {
      this.#keepError(error);
      if (refusals.has((error as { code?: string }).code ?? '')) outcome = 'failed';
    }
    const endedMs = performance.now();
    this.appends.push({ client, sequence, dueMs, sentMs, endedMs, outcome });
    if (server !== undefined) {
      const timeline = Number.parseInt(server.timeline, 16);
      this.accepted.push({ node: server.node, timeline, sentMs, answeredMs: endedMs });
    }
    return outcome;
  }

  #connect(): Promise<Client> {
    return connectInOrder(this.#options.dsns, {
      connectTimeoutMs: this.#connectTimeoutMs(),
      answerTimeoutMs,
    });
  }

  #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? defaultConnectTimeoutMs;
  }

  #keepError(error: unknown): void {
    if (this.errorTexts.length < maxKeptErrors) {
      this.errorTexts.push(error instanceof Error ? error.message : String(error));
    }
  }
}

interface ClientState {
  readonly client: number;
  connection: Connection | null;
  sequence: number;
}

interface Connection {
  readonly client: Client;
  /** PostgreSQL said that it did not wait for a standby. */
  warned: boolean;
}
