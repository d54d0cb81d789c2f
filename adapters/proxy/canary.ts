/**
 * One connection that is kept to the primary, by the same way as PgBouncer's, and that is lost at the instant at which the primary is.
 * Between that instant and the agents' decision lie seconds, in which PgBouncer would try to log in, fail (a dying or starting server
 * takes a connection and drops it) and from then on turn clients away. The canary's owner holds the clients instead. It decides
 * nothing about who is primary: it tells only that the routed node's PostgreSQL went, and that it takes writes again.
 *
 * States: `silent` (start, or after a loss; tries again every `retryMs`) -> `singing` (connected, and not in recovery) -> `silent`.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { trustingAuthority } from '../tls/trusting-authority.ts';

export interface CanaryAccess {
  /** Where HAProxy takes what is for the primary: the folder of its socket, or an address. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** The file of the authorities that the primary's certificate has to be of; null: in the clear. */
  readonly authorities: string | null;
}

const retryMs = 25;
/** A start-up that is not answered: HAProxy holds the connection, or the server is frozen. Tried anew, for no answer may ever come. */
const attemptTimeoutMs = 2_000;

export class Canary {
  readonly #access: () => CanaryAccess;
  readonly #onLost: () => void;
  readonly #resting: () => boolean;
  readonly #onSinging: () => void;
  #client: pg.Client | null = null;
  #stopped = false;

  /**
   * `access` is asked at each attempt, for logins are rotated.
   *
   * `onSinging`: the primary answers; also when it answers with a refusal that concerns this connection alone (a wrong password, too
   * many connections), for clients must not wait for that. `onLost`: it did, and the connection has just ended. While `resting`
   * nothing is tried: in a planned change each attempt would cost the very servers that change a process.
   */
  constructor(
    access: () => CanaryAccess,
    on: { readonly lost: () => void; readonly singing: () => void; readonly resting: () => boolean },
  ) {
    this.#access = access;
    this.#onLost = on.lost;
    this.#onSinging = on.singing;
    this.#resting = on.resting;
    void this.#keep();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#client !== null) destroy(this.#client);
  }

  async #keep(): Promise<void> {
    while (!this.#stopped) {
      const standing = this.#resting() ? null : await this.#attempt();
      if (standing !== null && !this.#stopped) {
        this.#onSinging();
        await standing.lost;
        if (!this.#stopped) this.#onLost();
      }
      await sleep(retryMs, undefined, { ref: false });
    }
  }

  /** A connection to a server that takes writes, and its end; null when it does not come about. */
  async #attempt(): Promise<{ readonly lost: Promise<void> } | null> {
    const { host, port, user, password, database, authorities } = this.#access();
    const ssl = authorities === null ? {} : { ssl: trustingAuthority(await readFile(authorities, 'utf8')) };
    const client = new pg.Client({
      host,
      port,
      user,
      password,
      database,
      application_name: 'leasehold canary',
      connectionTimeoutMillis: attemptTimeoutMs,
      query_timeout: attemptTimeoutMs,
      ...ssl,
    });
    const lost = new Promise<void>((resolve) => {
      client.once('end', resolve);
      client.on('error', () => resolve());
    });
    this.#client = client;
    try {
      await client.connect();
      const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
      if (rows[0]?.standby === false) return { lost };
    } catch (error) {
      if (isOwnRefusal(error)) this.#onSinging();
    }
    destroy(client);
    return null;
  }
}

/** PostgreSQL answered, with something else than that it stops (57P01), has crashed (57P02) or does not take anybody yet (57P03). */
function isOwnRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return error instanceof pg.DatabaseError && typeof code === 'string' && !code.startsWith('57P');
}

/** A polite end would wait for a server that may be gone. */
function destroy(client: pg.Client): void {
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  stream.destroy();
}
