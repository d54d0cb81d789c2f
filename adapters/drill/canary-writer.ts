/**
 * The canary of a drill: a few clients that append rows through the cluster's endpoint on a schedule that does not wait for answers
 * (open loop). What is due while a client waits is sent as soon as it can be, bounded, and its waiting counts; a row is never
 * sent twice. Kept is what the clients saw: the longest time without any acknowledgement, errors, and which rows were acknowledged,
 * so that they can be looked for afterwards.
 */
import { Client } from 'pg';
import type { CanaryFigures } from '../../core/model/drill.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import { monotonicMs, sleepMs } from '../clock.ts';

export interface CanaryOptions {
  /** Where clients go: the endpoint, as a URL. */
  readonly dsn: string;
  /** Marks the rows of this drill. */
  readonly drill: string;
  /** A row is due this often. */
  readonly everyMs: number;
  /** Connections that take turns; left out: 2. */
  readonly clients?: number;
  /** Made if it is not there; left out: `leasehold_canary`. With a schema or without. */
  readonly table?: string;
  /** PEM of who signed the server's certificate; left out: as the URL says. */
  readonly ca?: string;
}

/** What `runDrill` needs of a canary: a test gives another one. */
export interface Canary {
  /** Makes the table and begins to write. Throws what PostgreSQL says when it cannot. */
  start(): Promise<void>;
  /** Figures count from here. */
  mark(): void;
  figures(): Omit<CanaryFigures, 'lost'>;
  /** Ends the clients; each waits for the answer it is owed. */
  stop(): Promise<void>;
  /** How many acknowledged rows are not in the table; the drill's rows are removed from it. */
  countLost(): Promise<number>;
  /** Texts of the first errors, for people. */
  readonly errorTexts: readonly string[];
}

export const defaultCanaryTable = 'leasehold_canary';
const defaultClients = 2;
/** Nobody waits longer for an answer: then it is unknown. */
const answerTimeoutMs = 15_000;
const connectTimeoutMs = 5_000;
const reconnectMs = 50;
/** What is due is made up for, but for no more than this: the canary is no load test. */
const mostLateMs = 2_000;
const mostKeptErrors = 5;
/** Refused before anything was done: read-only, starting up or shutting down, too many clients. */
const refusals = new Set(['25006', '57P03', '53300']);

export class CanaryWriter implements Canary {
  readonly errorTexts: string[] = [];
  readonly #options: CanaryOptions;
  readonly #table: string;
  readonly #acknowledged = new Set<number>();
  #sequence = 0;
  #lastAckMs = 0;
  #longestGapMs = 0;
  #counts = { acknowledged: 0, failed: 0, unknown: 0 };
  #stopped = false;
  #running: Promise<void>[] = [];

  /** Throws InvalidInput for a table that is none. */
  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#table = readTable(options.table ?? defaultCanaryTable);
  }

  async start(): Promise<void> {
    const client = await this.#connect();
    try {
      const { rows } = await client.query<{ found: boolean }>('select to_regclass($1) is not null as found', [
        this.#table,
      ]);
      // `create table if not exists` asks for the right to create even where the table is there.
      if (rows[0]?.found !== true)
        await client.query(
          `create table if not exists ${this.#table} (drill text, sequence int, primary key (drill, sequence))`,
        );
    } finally {
      await endQuietly(client);
    }
    this.mark();
    const clients = this.#options.clients ?? defaultClients;
    this.#running = Array.from({ length: clients }, (_, at) => this.#run(at, clients));
  }

  mark(): void {
    this.#lastAckMs = monotonicMs();
    this.#longestGapMs = 0;
    this.#counts = { acknowledged: 0, failed: 0, unknown: 0 };
  }

  figures(): Omit<CanaryFigures, 'lost'> {
    // A gap that is still open counts for what it has come to.
    const openMs = monotonicMs() - this.#lastAckMs;
    return { ...this.#counts, gapMs: Math.round(Math.max(this.#longestGapMs, openMs)) };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async countLost(): Promise<number> {
    const client = await this.#connect();
    try {
      const { drill } = this.#options;
      const { rows } = await client.query<{ sequence: number }>(
        `select sequence from ${this.#table} where drill = $1`,
        [drill],
      );
      const found = new Set(rows.map(({ sequence }) => sequence));
      const lost = [...this.#acknowledged].filter((sequence) => !found.has(sequence)).length;
      await client.query(`delete from ${this.#table} where drill = $1`, [drill]);
      return lost;
    } finally {
      await endQuietly(client);
    }
  }

  async #run(at: number, clients: number): Promise<void> {
    const everyMs = this.#options.everyMs * clients;
    let dueMs = monotonicMs() + at * this.#options.everyMs;
    let client: Client | null = null;
    while (!this.#stopped) {
      await sleepMs(Math.max(0, dueMs - monotonicMs()));
      client ??= await this.#open();
      // What could not be sent is still due.
      if (client === null) {
        await sleepMs(reconnectMs);
        continue;
      }
      if (!(await this.#append(client))) {
        await endQuietly(client);
        client = null;
      }
      dueMs = Math.max(dueMs + everyMs, monotonicMs() - mostLateMs);
    }
    if (client !== null) await endQuietly(client);
  }

  async #append(client: Client): Promise<boolean> {
    this.#sequence += 1;
    const sequence = this.#sequence;
    try {
      await client.query(`insert into ${this.#table} (drill, sequence) values ($1, $2)`, [
        this.#options.drill,
        sequence,
      ]);
      const nowMs = monotonicMs();
      this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastAckMs);
      this.#lastAckMs = nowMs;
      this.#acknowledged.add(sequence);
      this.#counts.acknowledged += 1;
      return true;
    } catch (error) {
      const refused = refusals.has((error as { code?: string }).code ?? '');
      this.#counts[refused ? 'failed' : 'unknown'] += 1;
      this.#keep(error);
      return false;
    }
  }

  /** Null when there is no connection to be had: an error that a client sees, although no row was sent. */
  async #open(): Promise<Client | null> {
    try {
      return await this.#connect();
    } catch (error) {
      this.#counts.failed += 1;
      this.#keep(error);
      return null;
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client({
      connectionString: this.#options.dsn,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: answerTimeoutMs,
      application_name: 'leasehold-drill',
      ...(this.#options.ca === undefined ? {} : { ssl: { ca: this.#options.ca } }),
    });
    // A connection that breaks between two rows: the next row shows it.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  #keep(error: unknown): void {
    if (this.errorTexts.length < mostKeptErrors)
      this.errorTexts.push(error instanceof Error ? error.message : String(error));
  }
}

/** It becomes part of a statement: a name, perhaps after that of a schema, and nothing else. */
function readTable(table: string): string {
  const name = '[a-z_][a-z0-9_]{0,62}';
  if (!new RegExp(`^(${name}\\.)?${name}$`).test(table))
    throw new InvalidInput('table', table, 'a name of lower-case letters, digits and _, such as ops.canary');
  return table;
}

/** Against a server that is gone, end() may wait for an answer that never comes. */
async function endQuietly(client: Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), sleepMs(200)]);
}
