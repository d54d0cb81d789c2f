/**
 * Three hosts with the production lease keeper on one simulated clock, over a network that delays, loses and partitions, and
 * agents that restart while PostgreSQL runs on under the guard. Around the keeper only the plainest policy: seal when allowed,
 * name oneself, acquire, sometimes release. The store is away now and then, for one or for all, and then the holder lives by the
 * others' promises. Everything random comes from one seed. At each moment the guard's deadlines say which PostgreSQL may accept
 * writes (L3, D1): never two.
 */
import type { ClusterHead, ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { type CallOptions, ok } from '../../adapters/aws/store-answer.ts';
import { LeaseKeeper } from '../../agent/lease-keeper.ts';
import type { LeaseView } from '../../agent/lease-keeper-deps.ts';
import type { FailsafeAnswer, FailsafeAsk } from '../../core/lease/failsafe.ts';
import { type Hold, holdStage, maySeal } from '../../core/lease/lease-clock.ts';
import * as writes from '../../core/lease/lease-write.ts';
import { defaultSpec } from '../../core/model/cluster-record.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { createMemoryStore, createMemoryTable, type MemoryTable } from '../support/memory-store.ts';
import { sampleRecord } from '../support/samples.ts';

/** mulberry32: small, seeded, good enough to choose faults. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const ttlMs = 2000;
const heartbeatMs = 500;
const ids = ['node1', 'node2', 'node3'];
const policyEveryMs = 20;

export class LeaseCluster {
  readonly table: MemoryTable = createMemoryTable();
  readonly hosts: SimulatedHost[];
  readonly random: () => number;
  readonly violations: string[] = [];
  /** Off: every message arrives, quickly, but for what is said to be away below. */
  faults = true;
  /** For whom the store is away, and who hears and says nothing on the peer channel. */
  readonly storeAwayFor = new Set<string>();
  readonly peersAway = new Set<string>();
  /** Record and lease after each of the last writes: what a read that is not consistent may find. */
  readonly heads: ClusterHead[] = [];
  /** How often a read that was not consistent found an old one. */
  staleReads = 0;
  /** How often failsafe mode was entered for longer than a heartbeat. */
  failsafes = 0;
  #outageUntilMs = 0;
  readonly #answers: FailsafeAnswer[] = [];
  readonly #startedMs = Date.now();

  constructor(seed: number) {
    this.random = randomOf(seed);
    const spec = { ...defaultSpec, ttlMs, heartbeatMs };
    this.table.record = { ...sampleRecord, spec, members: ids, operation: null };
    this.hosts = ids.map((id) => new SimulatedHost(this, id));
  }

  chance(probability: number): boolean {
    return this.faults && this.random() < probability;
  }

  between(least: number, most: number): number {
    return least + this.random() * (most - least);
  }

  nowMs(): number {
    return Date.now() - this.#startedMs;
  }

  /** The store is away for everybody: by itself now and then, while there are faults. */
  isStoreAway(id: string): boolean {
    if (this.chance(0.00005)) this.#outageUntilMs = this.nowMs() + this.between(500, 12_000);
    return this.storeAwayFor.has(id) || (this.faults && this.nowMs() < this.#outageUntilMs);
  }

  /** A question to a member, over a network that loses, delays, and sometimes says again what was answered before. */
  async askPeer(from: SimulatedHost, to: string, ask: FailsafeAsk, timeoutMs: number) {
    const leg = (): number => (this.chance(0.1) ? this.between(20, 3_000) : this.between(0.2, 3));
    const [thereMs, backMs, lost] = [leg(), leg(), this.chance(0.03)];
    const member = this.hosts.find(({ id }) => id === to);
    return await new Promise<FailsafeAnswer | null>((resolve) => {
      setTimeout(() => resolve(null), timeoutMs);
      if (this.chance(0.02)) resolve(this.#answers.find((old) => old.member === to) ?? null);
      setTimeout(() => {
        if (member === undefined || this.peersAway.has(to) || this.peersAway.has(from.id)) return;
        const answer = member.answer(ask);
        if (answer.promised) this.#answers.unshift(answer);
        if (this.#answers.length > 10) this.#answers.pop();
        if (!lost) setTimeout(() => resolve(answer), backMs);
      }, thereMs);
    });
  }

  checkWritable(): void {
    const writable = this.hosts.filter((host) => host.isWritable());
    if (writable.length > 1) {
      const who = writable.map(({ id, guarded }) => `${id} (epoch ${guarded?.epoch})`).join(' and ');
      this.violations.push(`at ${this.nowMs()} ms ${who} may write`);
    }
  }

  /** Sealed before the holder's deadline (L4), or acquired while another may still write (L3). */
  landed(kind: writes.LeaseWrite['kind'], lease: Lease): void {
    const writable = this.hosts.filter((host) => host.isWritable());
    const wrong =
      (kind === 'seal' && writable.some(({ id }) => id === lease.holder)) ||
      (kind === 'acquire' && writable.some(({ id }) => id !== lease.holder));
    if (wrong)
      this.violations.push(`at ${this.nowMs()} ms ${kind} while ${writable.map(({ id }) => id)} may write`);
  }

  /** From one of the replicas of the table: often the newest, sometimes one of some writes ago, also long ago. */
  staleHead(): ClusterHead {
    const { record, lease } = this.table;
    const old = this.heads[Math.floor(this.random() ** 2 * this.heads.length)];
    if (!this.chance(0.3) || old === undefined) return { record, lease };
    this.staleReads += 1;
    return old;
  }

  close(): void {
    for (const host of this.hosts) host.stop();
  }
}

/** Newest first. */
const keptHeads = 12;

export class SimulatedHost {
  readonly id: string;
  /** What the guard was told last: it outlives the agent. */
  guarded: Hold | null = null;
  releases = 0;
  readonly #cluster: LeaseCluster;
  readonly #rate: number;
  readonly #offsetMs: number;
  readonly #policy: NodeJS.Timeout;
  #keeper: LeaseKeeper;
  #writer: writes.Writer;
  #incarnations = 0;
  #cutUntilMs = 0;
  #busy = false;

  constructor(cluster: LeaseCluster, id: string) {
    this.#cluster = cluster;
    this.id = id;
    this.#rate = cluster.between(0.99, 1.01);
    this.#offsetMs = cluster.between(0, 1e6);
    this.#writer = { node: id, incarnation: `${id}-0` };
    this.#keeper = this.#startAgent();
    this.#policy = setInterval(() => void this.#act(), policyEveryMs);
  }

  answer(ask: FailsafeAsk): FailsafeAnswer {
    return this.#keeper.answerFailsafe(ask, 'main', false);
  }

  view(): LeaseView {
    return this.#keeper.view();
  }

  stop(): void {
    clearInterval(this.#policy);
    this.#keeper.stop();
  }

  /** /proc/uptime: of a rate and an offset of its own, in steps of 10 ms. */
  now(): number {
    return Math.floor((this.#offsetMs + this.#rate * this.#cluster.nowMs()) / 10) * 10;
  }

  isWritable(): boolean {
    const stage = holdStage(this.guarded, this.now());
    return stage !== 'none' && stage !== 'expired';
  }

  #startAgent(): LeaseKeeper {
    this.#incarnations += 1;
    this.#writer = { node: this.id, incarnation: `${this.id}-${this.#incarnations}` };
    const keeper: LeaseKeeper = new LeaseKeeper({
      store: this.#store(),
      writer: this.#writer,
      now: () => this.now(),
      renewalChange: () => ({}),
      onHold: (hold) => {
        if (this.#keeper !== keeper && this.#keeper !== undefined) return;
        this.guarded = hold;
        this.#cluster.checkWritable();
      },
      failsafe: {
        cluster: 'main',
        ask: (member, ask, timeoutMs) => this.#cluster.askPeer(this, member, ask, timeoutMs),
        onFailsafe: (active) => {
          if (active) this.#cluster.failsafes += 1;
        },
      },
      onBaton: () => this.#wakeOthers(),
      onChange: () => this.#cluster.checkWritable(),
      log: () => undefined,
    });
    keeper.start();
    return keeper;
  }

  restart(): void {
    this.#keeper.stop();
    this.#busy = false;
    this.#keeper = this.#startAgent();
  }

  #wakeOthers(): void {
    for (const host of this.#cluster.hosts) {
      if (host === this || this.#cluster.chance(0.3)) continue;
      setTimeout(() => host.#keeper.readNow(), this.#cluster.between(0, 3));
    }
  }

  async #act(): Promise<void> {
    const cluster = this.#cluster;
    if (cluster.chance(0.0006)) this.restart();
    if (cluster.chance(0.003)) this.#cutUntilMs = cluster.nowMs() + cluster.between(200, 6000);
    if (this.#busy) return;
    this.#busy = true;
    const keeper = this.#keeper;
    try {
      const write = this.#decide(keeper);
      if (write !== null) await keeper.write(write, 300);
    } finally {
      if (keeper === this.#keeper) this.#busy = false;
    }
  }

  #decide(keeper: LeaseKeeper): writes.LeaseWrite | null {
    const { watch, headRead } = keeper.view();
    const { lease } = watch;
    const me = this.#writer;
    if (!headRead) return null;
    if (lease === null)
      return this.id === 'node1' && this.#cluster.table.lease === null ? this.#create() : null;
    if (lease.state === 'held') {
      if (lease.holder !== me.node) return maySeal(watch, me.node, this.now()) ? writes.seal(lease) : null;
      if (lease.incarnation !== me.incarnation) return writes.adopt(lease, me);
      return this.#cluster.chance(0.01) ? this.#release(lease) : null;
    }
    // PostgreSQL is down, as the real agent makes sure before it says so.
    if (lease.holder === this.id) keeper.notWritable();
    if (lease.successor === me.node) return this.#acquire(lease);
    const waitedMs = this.now() - watch.sinceMs;
    const patienceMs = lease.successor === null ? 50 : 1500;
    return waitedMs >= patienceMs && this.#cluster.random() < 0.5
      ? writes.nameSuccessor(lease, `op-${this.id}-${this.#cluster.nowMs()}`, me.node)
      : null;
  }

  #create(): writes.LeaseWrite {
    return writes.createLease(this.#writer, { ttlMs, timeline: 1, members: ids });
  }

  #acquire(lease: Lease): writes.LeaseWrite {
    return writes.acquire(lease, this.#writer, lease.operation ?? '', {
      ttlMs,
      members: ids,
      sync: asynchronous,
    });
  }

  #release(lease: Lease): writes.LeaseWrite {
    this.releases += 1;
    const successor = ids[Math.floor(this.#cluster.random() * ids.length)] ?? null;
    const stopped = {
      operation: `op${this.releases}`,
      successor,
      releasedAtLsn: lsnOf(BigInt(this.releases)),
    };
    return writes.release(lease, this.#writer, stopped);
  }

  /** The store as this host sees it over its network. */
  #store(): ClusterStore {
    const memory = createMemoryStore({ table: this.#cluster.table });
    return {
      ...memory,
      readHead: (o) =>
        this.#overNetwork(
          () => (o?.eventually ? Promise.resolve(ok(this.#cluster.staleHead())) : memory.readHead()),
          o,
        ),
      writeLease: (write, o) =>
        this.#overNetwork(async () => {
          const answer = await memory.writeLease(write);
          if (answer.kind === 'ok') this.#cluster.landed(write.kind, answer.value);
          this.#cluster.heads.unshift({
            record: this.#cluster.table.record,
            lease: this.#cluster.table.lease,
          });
          this.#cluster.heads.splice(keptHeads);
          return answer;
        }, o),
    };
  }

  /** A request that was given up may still land, seconds later. */
  async #overNetwork<T>(call: () => Promise<T>, o: CallOptions = {}): Promise<T> {
    const cluster = this.#cluster;
    const cut = cluster.faults && cluster.nowMs() < this.#cutUntilMs;
    const leg = (): number => {
      if (cluster.chance(cut ? 0.5 : 0.02)) return cluster.between(300, 5000);
      return cluster.chance(0.4) ? cluster.between(20, 280) : cluster.between(0.5, 6);
    };
    const [thereMs, backMs] = [leg(), leg()];
    const requestLost = cluster.isStoreAway(this.id) || cluster.chance(cut ? 0.6 : 0.02);
    const answerLost = cut || cluster.chance(0.02);
    return await new Promise<T>((resolve, reject) => {
      const unreachable = { kind: 'unreachable', message: 'no answer' } as T;
      setTimeout(() => resolve(unreachable), o.timeoutMs ?? 2000);
      if (requestLost) return;
      setTimeout(() => {
        call().then((answer) => {
          if (!answerLost) setTimeout(() => resolve(answer), backMs);
        }, reject);
      }, thereMs);
    });
  }
}
