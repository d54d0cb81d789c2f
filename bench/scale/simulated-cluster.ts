/**
 * A cluster's agents without PostgreSQL: the real lease keepers, the real store, and reports and the directory of nodes at their real
 * rhythms, so that the table sees the requests of that many real agents. The first node holds the lease and renews it, the others and the
 * proxy watch; a wake-up is a call here, where real agents send a datagram. Nobody takes over: a missed deadline is counted, and that is all.
 */
import { randomUUID } from 'node:crypto';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { uptimeMs } from '../../adapters/clock.ts';
import type { WakeUp } from '../../adapters/wake-up.ts';
import { LeaseKeeper } from '../../agent/lease-keeper.ts';
import { NodeDirectory, readNodesEveryMs } from '../../agent/node-directory.ts';
import { fenceBudget, type Hold } from '../../core/lease/lease-clock.ts';
import { createLease } from '../../core/lease/lease-write.ts';
import { type ClusterRecord, defaultSpec } from '../../core/model/cluster-record.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import { simulatedNodeReport, simulatedProxyReport } from './simulated-reports.ts';

export interface LeaseTimes {
  readonly heartbeatMs: number;
  readonly ttlMs: number;
}

export interface DeadlineFigures {
  renewals: number;
  /** A renewal was acknowledged so late that `/primary` would have said 503 meanwhile. */
  unready: number;
  /** It was acknowledged after the deadline of the one before it. */
  missed: number;
  /** Loops that stood still: this process had no time for its agents. */
  gaps: number;
}

export interface SimulatedClusterOptions {
  readonly store: ClusterStore;
  readonly name: string;
  readonly times: LeaseTimes;
  /** To be filled at that moment; null: nothing is counted now. */
  readonly figures: () => DeadlineFigures | null;
}

const nodes = ['node1', 'node2', 'node3'] as const;
const [holder] = nodes;
const proxy = 'proxy1';
const firstWriteTimeoutMs = 10_000;

export class SimulatedCluster {
  readonly #options: SimulatedClusterOptions;
  readonly #incarnation = randomUUID();
  readonly #keepers = new Map<string, LeaseKeeper>();
  readonly #timers: NodeJS.Timeout[] = [];
  #hold: Hold | null = null;
  #seq = 0;

  constructor(options: SimulatedClusterOptions) {
    this.#options = options;
  }

  /** `spreadMs`: agents begin somewhere in so long, as those of many hosts do. Throws when the table cannot be written. */
  async start(spreadMs: number): Promise<void> {
    const { store, name, times } = this.#options;
    const created = await store.createRecord(this.#record());
    if (created.kind !== 'ok') throw new Error(`the record of ${name}: ${created.kind}`);
    for (const id of [...nodes, proxy]) this.#keepers.set(id, this.#keeper(id));
    const first = { ttlMs: times.ttlMs, timeline: 1, members: nodes };
    const write = createLease({ node: holder, incarnation: this.#incarnation }, first);
    const written = await this.#keepers.get(holder)?.write(write, firstWriteTimeoutMs);
    if (written?.kind !== 'done') throw new Error(`the lease of ${name}: ${written?.kind}`);
    for (const [id, keeper] of this.#keepers) {
      // A lease that has begun is renewed at once.
      const afterMs = id === holder ? 0 : Math.random() * spreadMs;
      this.#timers.push(setTimeout(() => this.#run(id, keeper), afterMs));
    }
  }

  stop(): void {
    for (const keeper of this.#keepers.values()) keeper.stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** The deadline has passed, and no renewal has made it good. */
  isOverdue(): boolean {
    return this.#hold !== null && uptimeMs() > this.#hold.sentAtMs + this.#hold.ttlMs;
  }

  #run(id: string, keeper: LeaseKeeper): void {
    keeper.start();
    const directory = new NodeDirectory({
      store: this.#options.store,
      wakeUp: silentWakeUp,
      self: id,
      now: uptimeMs,
    });
    this.#repeat(readNodesEveryMs.quiet, () => directory.read(false));
    this.#repeat(reportPaceMs.quiet, () => this.#report(id));
  }

  #keeper(id: string): LeaseKeeper {
    const { store, figures } = this.#options;
    return new LeaseKeeper({
      store,
      writer: { node: id, incarnation: id === holder ? this.#incarnation : randomUUID() },
      now: uptimeMs,
      renewalChange: () => ({}),
      onHold: (hold) => this.#held(hold),
      onBaton: () => {
        for (const [other, keeper] of this.#keepers) if (other !== id) keeper.readNow();
      },
      onChange: () => undefined,
      log: (message) => {
        const counting = figures();
        if (counting !== null && message === 'loop gap') counting.gaps += 1;
      },
    });
  }

  #held(hold: Hold | null): void {
    const before = this.#hold;
    if (hold === null) return;
    this.#hold = hold;
    const counting = this.#options.figures();
    if (counting === null || before === null) return;
    counting.renewals += 1;
    const age = uptimeMs() - before.sentAtMs;
    if (age > before.ttlMs) counting.missed += 1;
    else if (age > fenceBudget(before.ttlMs).unreadyAfterMs) counting.unready += 1;
  }

  async #report(id: string): Promise<void> {
    const { store } = this.#options;
    this.#seq += 1;
    const run = { incarnation: this.#incarnation, seq: this.#seq };
    if (id === proxy) await store.putProxyReport(simulatedProxyReport(id, holder, run), { timeoutMs: 1_000 });
    else await store.putNodeReport(simulatedNodeReport(id, holder, run), { timeoutMs: 2_000 });
  }

  /** At once, then every so often, when the one before has ended. */
  #repeat(everyMs: number, work: () => Promise<unknown>): void {
    let working = false;
    const round = (): void => {
      if (working) return;
      working = true;
      void work()
        .catch(() => undefined)
        .finally(() => {
          working = false;
        });
    };
    round();
    this.#timers.push(setInterval(round, everyMs));
  }

  #record(): ClusterRecord {
    const { name, times } = this.#options;
    return {
      ...{ cluster: name, uid: randomUUID(), version: 1, spec: { ...defaultSpec, ...times } },
      ...{ members: [...nodes], proxies: [proxy], systemIdentifier: null, bootstrap: null },
      ...{ failoverState: 'stable', operation: null, attempt: 0, paused: false, fencedHosts: [] },
      ...{ intendedPrimary: holder, failoverTargetPrimary: null, lastFailover: null },
      epochs: [{ epoch: 1, node: holder, timeline: 1, forkLsn: null, history: [] }],
    };
  }
}

const silentWakeUp: WakeUp = {
  port: 0,
  setPeers: () => undefined,
  wake: () => undefined,
  counts: () => ({ sent: 0, failed: 0, accepted: 0, ignored: 0 }),
  close: () => undefined,
};
