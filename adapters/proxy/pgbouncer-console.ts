/**
 * PgBouncer's admin console, over its unix socket: one connection for commands and one that stands ready for PAUSE, which answers
 * only when the last transaction has ended and so would block everything behind it. Operating errors are values; a connection that
 * was lost is made again at the next command.
 */
import pg from 'pg';

export interface ConsoleAccess {
  readonly socketFolder: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

export type ConsoleAnswer =
  | { readonly kind: 'answered'; readonly rows: readonly Readonly<Record<string, string>>[] }
  /** PgBouncer answered with an error. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string };

/** What SHOW POOLS says, summed over the pools of databases and users. */
export interface PoolCounts {
  readonly clientsActive: number;
  readonly clientsWaiting: number;
  readonly serversActive: number;
  readonly serversIdle: number;
  /** Being tested or reset: neither free nor in a transaction. */
  readonly serversBusy: number;
  readonly serversLoggingIn: number;
  readonly longestWaitMs: number;
}

/** One kept connection to the console. */
export class ConsoleLine {
  readonly #access: ConsoleAccess;
  readonly #timeoutMs: number;
  #client: Promise<pg.Client> | null = null;

  /** `timeoutMs` bounds the making of a connection and, unless told otherwise, each command. */
  constructor(access: ConsoleAccess, timeoutMs: number) {
    this.#access = access;
    this.#timeoutMs = timeoutMs;
  }

  /** Makes the connection if there is none. */
  async prepare(): Promise<ConsoleAnswer> {
    try {
      await this.#connected();
      return { kind: 'answered', rows: [] };
    } catch (error) {
      return { kind: 'unreachable', detail: (error as Error).message };
    }
  }

  /** Sends one command. After `timeoutMs` without an answer the connection is dropped, and what became of the command is unknown. */
  async run(command: string, timeoutMs: number = this.#timeoutMs): Promise<ConsoleAnswer> {
    let client: pg.Client;
    try {
      client = await this.#connected();
    } catch (error) {
      return { kind: 'unreachable', detail: (error as Error).message };
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<ConsoleAnswer>((resolve) => {
      timer = setTimeout(() => {
        this.drop();
        resolve({ kind: 'unreachable', detail: `no answer to ${command} within ${timeoutMs} ms` });
      }, timeoutMs);
    });
    const answer = client.query<Record<string, string>>(command).then(
      (result): ConsoleAnswer => ({ kind: 'answered', rows: result.rows ?? [] }),
      (error: Error & { code?: string; severity?: string }): ConsoleAnswer => {
        // PgBouncer's console answers errors with a severity; anything else is the connection's end.
        if (error.severity !== undefined) return { kind: 'refused', detail: error.message };
        this.drop();
        return { kind: 'unreachable', detail: error.message };
      },
    );
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the connection at once; the next command makes a new one. */
  drop(): void {
    const client = this.#client;
    this.#client = null;
    client?.then(destroy, () => {});
  }

  #connected(): Promise<pg.Client> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async #connect(): Promise<pg.Client> {
    const { socketFolder, port, user, password } = this.#access;
    const client = new pg.Client({
      host: socketFolder,
      port,
      user,
      password,
      database: 'pgbouncer',
      connectionTimeoutMillis: this.#timeoutMs,
    });
    const forget = () => {
      this.#client = null;
    };
    client.on('error', forget);
    client.on('end', forget);
    try {
      await client.connect();
    } catch (error) {
      forget();
      throw error;
    }
    return client;
  }
}

/** A polite end would wait for an answer that a paused console does not give. */
function destroy(client: pg.Client): void {
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  stream.destroy();
}

/** Sums the rows of SHOW POOLS; the console's own pool is left out. */
export function countPools(rows: readonly Readonly<Record<string, string>>[]): PoolCounts {
  const total = (column: string) =>
    rows
      .filter((row) => row.database !== 'pgbouncer')
      .reduce((sum, row) => sum + Number(row[column] ?? 0), 0);
  const waits = rows.map((row) => Number(row.maxwait ?? 0) * 1_000 + Number(row.maxwait_us ?? 0) / 1_000);
  return {
    clientsActive: total('cl_active'),
    clientsWaiting: total('cl_waiting'),
    serversActive: total('sv_active'),
    serversIdle: total('sv_idle'),
    serversBusy: total('sv_used') + total('sv_tested'),
    serversLoggingIn: total('sv_login'),
    longestWaitMs: Math.max(0, ...waits),
  };
}
