/**
 * All that watches a cluster while faults strike: appending clients, probes of every node, the lease's watch. `judge` draws a line:
 * the clients are held, the final primary's table is read, and everything since the line before is checked.
 */
import { sleepMs } from '../../adapters/clock.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { endQuietly } from '../measure/connect-in-order.ts';
import { type AppendFigures, appendTable, OpenLoopClients } from '../measure/open-loop-clients.ts';
import { checkLosses, type SynchronousMode } from './check-losses.ts';
import { checkRows, keyOf } from './check-rows.ts';
import { checkEpochs, checkTenures, type Excuse, type Tenure, tenuresOf } from './check-tenures.ts';
import type { AcceptedWrite, Row, Violation } from './history.ts';
import { LeaseWatch, type SeenEvent } from './lease-watch.ts';
import { directClient, WriteProbes } from './write-probes.ts';

export interface Judgement extends AppendFigures {
  readonly lost: number;
  /** Who accepted writes since the last line, in the order in which they began. */
  readonly tenures: readonly Tenure[];
  /** Oldest first. */
  readonly events: readonly SeenEvent[];
  readonly violations: readonly Violation[];
}

export interface ObservationOptions {
  readonly cluster: ClusterHandle;
  readonly mode: SynchronousMode;
  readonly clients: number;
  readonly everyMs: number;
}

/** What is allowed for what was done since the last line. */
export interface Leniency {
  readonly excuses?: readonly Excuse[];
  /** Two faults may have struck at once. */
  readonly double?: boolean;
}

const readTimeoutMs = 30_000;
const readAttempts = 5;
const readAgainMs = 2_000;
/** A client that had to wait long goes on about as it does otherwise. */
const mostDue = 20;

export class Observation {
  readonly appends: OpenLoopClients;
  readonly probes: WriteProbes;
  readonly lease: LeaseWatch;
  readonly #options: ObservationOptions;
  /** Lost before the last line, and judged there. */
  readonly #settled = new Set<string>();
  #line = { appended: 0, probed: 0, epochs: 0, sinceMs: 0 };

  constructor(options: ObservationOptions) {
    const { cluster, clients, everyMs } = options;
    this.#options = options;
    this.appends = new OpenLoopClients({
      dsns: [cluster.endpoints().dsn.endpoint],
      clients,
      everyMs,
      mostDue,
    });
    this.probes = new WriteProbes(cluster);
    this.lease = new LeaseWatch(cluster);
  }

  async start(): Promise<void> {
    await this.lease.start();
    this.#line = { ...this.#line, epochs: this.lease.epochs.length };
    await this.appends.start();
    await this.probes.start();
    await this.lease.newEvents();
    this.mark();
  }

  /** Figures count from here; what is judged does not change. */
  mark(): void {
    this.#line = { ...this.#line, sinceMs: performance.now() };
  }

  /** What was accepted since the last line, by clients and probes. */
  accepted(): AcceptedWrite[] {
    return [
      ...this.appends.accepted.slice(this.#line.appended),
      ...this.probes.accepted.slice(this.#line.probed),
    ];
  }

  /**
   * On a whole cluster. Holds the clients for as long as it takes to read the table. Throws when the primary or DynamoDB does
   * not answer.
   */
  async judge({ excuses = [], double = false }: Leniency = {}): Promise<Judgement> {
    const figures = this.appends.figures(this.#line.sinceMs);
    await this.appends.drain();
    try {
      const rows = await this.#rows();
      const events = await this.lease.newEvents();
      const { lost, violations } = checkRows(this.appends.appends, rows);
      const fresh = lost.filter((append) => !this.#settled.has(keyOf(append)));
      for (const append of fresh) this.#settled.add(keyOf(append));
      const accepted = this.accepted();
      const judgement: Judgement = {
        ...figures,
        lost: fresh.length,
        tenures: tenuresOf(accepted),
        events,
        violations: [
          ...violations,
          ...checkLosses(fresh, {
            mode: this.#options.mode,
            double,
            discardsReported: events.filter(({ kind }) => kind === 'wal_discarded').length,
            handOvers: this.lease.epochs.length - this.#line.epochs,
          }),
          ...checkTenures(accepted, excuses),
          ...checkEpochs(this.lease.epochs),
          ...(await this.#recordedEpochs()),
        ],
      };
      this.#line = {
        appended: this.appends.accepted.length,
        probed: this.probes.accepted.length,
        // Events of the next line may speak of the hand-over into the present epoch.
        epochs: this.lease.epochs.length,
        sinceMs: performance.now(),
      };
      return judgement;
    } finally {
      this.appends.resume();
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.appends.stop(), this.probes.stop(), this.lease.stop()]);
  }

  /** A primary that was whole a moment ago may have gone since: another attempt asks who is primary then. */
  async #rows(): Promise<Row[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#rowsOfPrimary();
      } catch (error) {
        if (attempt === readAttempts) throw error;
        await sleepMs(readAgainMs);
      }
    }
  }

  async #rowsOfPrimary(): Promise<Row[]> {
    const { cluster } = this.#options;
    const client = directClient(cluster, await cluster.primary(), { query_timeout: readTimeoutMs });
    await client.connect();
    try {
      const { rows } = await client.query<{ client: number; sequence: number; position: string }>(
        `select client, sequence, position from ${appendTable}`,
      );
      return rows.map((row) => ({ ...row, position: Number(row.position) }));
    } finally {
      await endQuietly(client);
    }
  }

  /** The record's own list: each epoch once, rising, and the newest is the lease's. */
  async #recordedEpochs(): Promise<Violation[]> {
    const head = await this.#options.cluster.store().readHead();
    if (head.kind !== 'ok') throw new Error(`DynamoDB: ${head.kind}: ${head.message}`);
    const { record, lease } = head.value;
    if (record === null || lease === null) throw new Error('the cluster has no record or no lease');
    const seen = record.epochs.map(({ epoch, node }) => ({ epoch, holder: node }));
    const own = epochRecord(record, lease.epoch);
    const current = own === null ? [] : [{ epoch: lease.epoch, holder: lease.holder }];
    return checkEpochs([...seen, ...current]);
  }
}
