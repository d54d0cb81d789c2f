/**
 * Clients that write all the time, and what they saw: each has a connection of its own and inserts ids that nobody has used
 * before. An id counts as acknowledged only when PostgreSQL said so. A statement is never repeated: after an error the client
 * connects anew and goes on with a new id, and every failed statement and every failed connection counts as an error.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

export interface WriterOptions {
  readonly dsn: string;
  readonly clients: number;
  /** Made if it does not exist. */
  readonly table: string;
  /** Pause of a client between two statements. */
  readonly pauseMs?: number;
  /** Pause before a client connects anew. */
  readonly reconnectMs?: number;
}

/** What the clients saw from `mark` on. */
export interface WriterFigures {
  /** The longest time in which no client at all had a write acknowledged. */
  readonly gapMs: number;
  readonly errors: number;
  readonly acked: number;
}

/** Nobody has to wait longer than this for an answer; then it counts as an error. */
const statementTimeoutMs = 30_000;
const connectTimeoutMs = 10_000;
/** Distances between the ids of two clients: none ever reaches the next. */
const idsPerClient = 1_000_000_000;
/** Error texts kept for the report. */
const maxKeptErrors = 20;

export class ContinuousWriter {
  readonly #options: WriterOptions;
  /** In the order of their acknowledgement. */
  readonly #acked: number[] = [];
  readonly #errors: string[] = [];
  #errorCount = 0;
  #lastAckMs = 0;
  #longestGapMs = 0;
  #marked = { acked: 0, errors: 0 };
  #stopped = false;
  #running: Promise<void>[] = [];

  constructor(options: WriterOptions) {
    if (!/^[a-z_][a-z0-9_]*$/.test(options.table)) throw new Error(`not a table name: ${options.table}`);
    this.#options = options;
  }

  /** Makes the table and starts the clients. */
  async start(): Promise<void> {
    const client = this.#client();
    await client.connect();
    try {
      await client.query(
        `create table if not exists ${this.#options.table} (id bigint primary key, written_at timestamptz default now())`,
      );
    } finally {
      await client.end();
    }
    this.mark();
    this.#running = Array.from({ length: this.#options.clients }, (_, at) => this.#write(at));
  }

  /** Figures count from here. */
  mark(): void {
    this.#lastAckMs = performance.now();
    this.#longestGapMs = 0;
    this.#marked = { acked: this.#acked.length, errors: this.#errorCount };
  }

  /** Since `mark`. A gap that is not over yet counts for what it has come to. */
  figures(): WriterFigures {
    const open = performance.now() - this.#lastAckMs;
    return {
      gapMs: Math.round(Math.max(this.#longestGapMs, open)),
      errors: this.#errorCount - this.#marked.errors,
      acked: this.#acked.length - this.#marked.acked,
    };
  }

  /** How many writes were acknowledged so far: a position for `acknowledged`. */
  count(): number {
    return this.#acked.length;
  }

  /** The ids that were acknowledged between two positions. */
  acknowledged(from = 0, to = this.#acked.length): number[] {
    return this.#acked.slice(from, to);
  }

  /** Texts of the first errors, for a person. */
  errorTexts(): readonly string[] {
    return this.#errors;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #write(at: number): Promise<void> {
    const { table, pauseMs = 2, reconnectMs = 20 } = this.#options;
    let id = (at + 1) * idsPerClient;
    while (!this.#stopped) {
      const client = this.#client();
      try {
        await client.connect();
        while (!this.#stopped) {
          id += 1;
          await client.query(`insert into ${table} (id) values ($1)`, [id]);
          this.#acknowledge(id);
          await sleep(pauseMs);
        }
      } catch (error) {
        this.#fail(error);
        await sleep(reconnectMs);
      } finally {
        await endQuietly(client);
      }
    }
  }

  #client(): Client {
    const client = new Client({
      connectionString: this.#options.dsn,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: statementTimeoutMs,
    });
    // A connection that breaks between two statements: the next statement fails, and is counted.
    client.on('error', () => undefined);
    return client;
  }

  #acknowledge(id: number): void {
    const now = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAckMs);
    this.#lastAckMs = now;
    this.#acked.push(id);
  }

  #fail(error: unknown): void {
    this.#errorCount += 1;
    if (this.#errors.length < maxKeptErrors) {
      this.#errors.push(error instanceof Error ? error.message : String(error));
    }
  }
}

/** Those of `acked` that are not in the table, read over `dsn`: a direct connection to the primary. */
export async function lostWrites(dsn: string, table: string, acked: readonly number[]): Promise<number[]> {
  const client = new Client({ connectionString: dsn, connectionTimeoutMillis: connectTimeoutMs });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>(`select id from ${table}`);
    const found = new Set(rows.map(({ id }) => Number(id)));
    return acked.filter((id) => !found.has(id));
  } finally {
    await client.end();
  }
}

async function endQuietly(client: Client): Promise<void> {
  // Against a server that is gone, end() may wait for an answer that never comes.
  await Promise.race([client.end().catch(() => undefined), sleep(200)]);
}
