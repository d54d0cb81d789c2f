/**
 * One run: a whole system, clients that write through one path, a blow, and all that clients and the system show of it until it is
 * whole again. The acknowledged writes are looked for on the node that is primary then.
 */
import { Client } from 'pg';
import { sleepMs } from '../../adapters/clock.ts';
import { checkRows, keyOf } from '../history/check-rows.ts';
import type { Row } from '../history/history.ts';
import { endQuietly } from '../measure/connect-in-order.ts';
import { OpenLoopClients } from '../measure/open-loop-clients.ts';
import type {
  PathName,
  Scenario,
  Strike,
  SystemHistory,
  SystemUnderTest,
} from '../systems/system-under-test.ts';
import { duringMs, type RunFigures, runFigures } from './run-figures.ts';

export interface ClientOptions {
  readonly clients: number;
  /** Writes a second, of all clients together. */
  readonly rate: number;
}

export interface RunOptions extends ClientOptions {
  readonly scenario: Scenario;
  readonly path: PathName;
  /** Made for this run. */
  readonly table: string;
  /** How long what the cluster keeps its state in is away. */
  readonly awayMs: number;
  readonly signal: AbortSignal;
}

export interface MeasuredRun extends RunFigures {
  /** Acknowledged and not on the final primary. */
  readonly lost: number;
  readonly doubled: number;
  /** Other things that the table must not show, in words. */
  readonly violations: readonly string[];
  /** From the blow until the system is whole again. */
  readonly redundantAfterMs: number;
  /** Whether clients wrote again before the blow was taken back. */
  readonly recoveredByItself: boolean;
  readonly primaryBefore: string;
  readonly primaryAfter: string;
  readonly errorTexts: readonly string[];
  /** Null where the system keeps none. */
  readonly history: SystemHistory | null;
}

export const wholeTimeoutMs = 180_000;
/** Clients are connected by then. */
const warmUpMs = 700;
const ordinaryMs = 2_000;
/** Of these there is nothing to take back: one may look at once whether the system is whole. */
const mendsItself: ReadonlySet<Scenario> = new Set(['switchover', 'postgres-killed', 'agent-killed']);
/** Others are not taken back earlier, though clients write: it may take a system so long to notice. */
const leastHeldMs = 3_000;
const recoverTimeoutMs = 120_000;
const lookMs = 50;
export const connectTimeoutMs = 2_000;
const readTimeoutMs = 30_000;

/** Throws what kept it from being measured, the signal's reason when that is aborted; the blow is taken back in any case. */
export async function measureRun(system: SystemUnderTest, options: RunOptions): Promise<MeasuredRun> {
  const { scenario, path, table, signal } = options;
  const dsns = system.paths[path];
  if (dsns === undefined) throw new Error(`${system.name} has no path ${path}`);
  await system.untilWhole(wholeTimeoutMs, signal);
  const clients = new OpenLoopClients({
    dsns,
    clients: options.clients,
    everyMs: (1000 * options.clients) / options.rate,
    table,
    connectTimeoutMs,
  });
  await clients.start();
  try {
    await pause(warmUpMs, signal);
    const fromMs = performance.now();
    await pause(ordinaryMs, signal);
    const primaryBefore = await system.primary();
    const askedMs = performance.now();
    const strike = await system.strike(scenario, signal);
    const struckMs = strike.atMs ?? askedMs;
    const struck = new Date(Date.now() - (performance.now() - struckMs));
    const recoveredByItself = await hold(strike, clients, { ...options, struckMs });
    const redundantAfterMs = Math.round((await wholeForGood(system, signal)) - struckMs);
    await pause(Math.max(ordinaryMs, struckMs + duringMs - performance.now()), signal);
    await clients.stop();
    const toMs = performance.now();
    const primaryAfter = await system.primary();
    const rows = await takeRows(system.nodeDsn(primaryAfter), table);
    const { lost, violations } = checkRows(clients.appends, rows);
    return {
      ...runFigures(clients.appends, { fromMs, struckMs, toMs }),
      lost: lost.length,
      doubled: rows.length - new Set(rows.map(keyOf)).size,
      violations: violations.map(({ rule, message }) => `${rule}: ${message}`),
      redundantAfterMs,
      recoveredByItself,
      primaryBefore,
      primaryAfter,
      errorTexts: clients.errorTexts,
      history: (await system.historySince?.(struck)) ?? null,
    };
  } finally {
    const stopped = clients.stop();
    // Who waits for an answer is told by the end of the system's processes.
    if (!signal.aborted) await stopped;
  }
}

/** Until clients write again, or for as long as the scenario says; then it is taken back. False when clients did not write by then. */
async function hold(
  strike: Strike,
  clients: OpenLoopClients,
  { scenario, awayMs, signal, struckMs }: RunOptions & { readonly struckMs: number },
): Promise<boolean> {
  if (mendsItself.has(scenario)) {
    await strike.undo();
    return true;
  }
  try {
    const leastMs = scenario === 'store-away' ? awayMs : leastHeldMs;
    const mostMs = scenario === 'store-away' ? awayMs : recoverTimeoutMs;
    for (;;) {
      const heldMs = performance.now() - struckMs;
      const writing = isWriting(clients);
      if ((heldMs >= leastMs && writing) || heldMs >= mostMs) return writing;
      await pause(lookMs, signal);
    }
  } finally {
    await strike.undo();
  }
}

/** A system that is whole stays so for this long; one that has not noticed yet would not. */
const staysWholeMs = 3_000;
const wholeLookMs = 500;

/** From when on it is whole for good. Throws what is missing when that takes too long. */
async function wholeForGood(system: SystemUnderTest, signal: AbortSignal): Promise<number> {
  const untilMs = performance.now() + wholeTimeoutMs;
  for (;;) {
    await system.untilWhole(Math.max(0, untilMs - performance.now()), signal);
    const sinceMs = performance.now();
    let whole = true;
    while (whole && performance.now() - sinceMs < staysWholeMs) {
      await pause(wholeLookMs, signal);
      whole = await isWhole(system, signal);
    }
    if (whole) return sinceMs;
    if (performance.now() > untilMs) throw new Error(`${system.name} is whole and is not again and again`);
  }
}

async function isWhole(system: SystemUnderTest, signal: AbortSignal): Promise<boolean> {
  try {
    await system.untilWhole(0, signal);
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

/** Whether the newest acknowledgement is of this moment. */
function isWriting({ appends }: OpenLoopClients): boolean {
  const newest = appends.findLast(({ outcome }) => outcome === 'acknowledged');
  return newest !== undefined && performance.now() - newest.endedMs < 500;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + ms;
  for (;;) {
    signal.throwIfAborted();
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) return;
    await sleepMs(Math.min(leftMs, 200));
  }
}

/** The rows of the run, and the table is gone. */
async function takeRows(dsn: string, table: string): Promise<Row[]> {
  const client = new Client({
    connectionString: dsn,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: readTimeoutMs,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ client: number; sequence: number; position: string }>(
      `select client, sequence, position from ${table}`,
    );
    await client.query(`drop table ${table}`);
    return rows.map((row) => ({ ...row, position: Number(row.position) }));
  } finally {
    await endQuietly(client);
  }
}
