/**
 * A client as applications are: one connection that inserts numbered rows in a loop, makes a new connection after an error and goes
 * on. It keeps what was acknowledged, every error, and the longest gap between two acknowledgements.
 */
import pg from 'pg';

export interface ClientAccess {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Between a failed attempt and the next: a tight loop of connections would slow down what is tested. */
const afterErrorMs = 20;

export class Writer {
  readonly name: string;
  readonly acknowledged: number[] = [];
  readonly errors: { readonly message: string; readonly atMs: number }[] = [];
  longestGapMs = 0;
  #access: ClientAccess;
  #running = true;
  #lastMs = performance.now();
  #loop: Promise<void>;

  constructor(name: string, access: ClientAccess, pauseMs = 1) {
    this.name = name;
    this.#access = access;
    this.#loop = this.#write(pauseMs);
  }

  /** Resolves once the writer has `count` more acknowledgements than now. Rejects after `timeoutMs`. */
  async progresses(count: number, timeoutMs: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    const deadline = performance.now() + timeoutMs;
    while (this.acknowledged.length < wanted) {
      if (performance.now() > deadline)
        throw new Error(
          `${this.name} made no progress in ${timeoutMs} ms: ${JSON.stringify(this.errors.slice(-3))}`,
        );
      await sleep(2);
    }
  }

  /** Ends after the row at hand. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }

  async #write(pauseMs: number): Promise<void> {
    let client: pg.Client | null = null;
    for (let row = 1; this.#running; row += 1) {
      try {
        client ??= await connected(this.#access);
        await client.query('insert into written (writer, row) values ($1, $2)', [this.name, row]);
        this.#acknowledge(row);
      } catch (error) {
        this.errors.push({ message: (error as Error).message, atMs: performance.now() });
        client?.end().catch(() => undefined);
        client = null;
        await sleep(afterErrorMs);
      }
      await sleep(pauseMs);
    }
    await client?.end().catch(() => undefined);
  }

  #acknowledge(row: number): void {
    const now = performance.now();
    this.acknowledged.push(row);
    this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastMs);
    this.#lastMs = now;
  }
}

export async function connected(access: ClientAccess): Promise<pg.Client> {
  const client = new pg.Client({ ...access });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
