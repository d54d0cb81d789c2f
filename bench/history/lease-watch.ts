/**
 * Watches lease and record while faults strike: every change of holder and epoch in order, how often the lease changed hands, and
 * how many discarded logs were reported. What cannot be read while DynamoDB is away is read when it is back.
 */
import { sleepMs } from '../../adapters/clock.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import { epochRecord, type FailoverState } from '../../core/model/cluster-record.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import type { SeenEpoch } from './history.ts';

export interface SeenState {
  readonly state: FailoverState;
  readonly atMs: number;
}

export type SeenEvent = Pick<ClusterEvent, 'time' | 'who' | 'kind' | 'rule' | 'message'>;

const everyMs = 50;
const callTimeoutMs = 1_000;
const maxEvents = 1_000;

export class LeaseWatch {
  readonly epochs: SeenEpoch[] = [];
  /** Each change of the record's state. */
  readonly states: SeenState[] = [];
  readonly #cluster: ClusterHandle;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  readonly #knownEvents = new Set<string>();

  constructor(cluster: ClusterHandle) {
    this.#cluster = cluster;
  }

  /** Resolves after a first look. */
  async start(): Promise<void> {
    await this.#look();
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Events since the last call, oldest first. Throws when DynamoDB does not answer. */
  async newEvents(): Promise<SeenEvent[]> {
    const answer = await this.#cluster.store().listEvents(maxEvents);
    if (answer.kind !== 'ok') throw new Error(`events: ${answer.kind}: ${answer.message}`);
    const fresh = answer.value.filter(({ id }) => !this.#knownEvents.has(id)).reverse();
    for (const { id } of fresh) this.#knownEvents.add(id);
    return fresh.map(({ time, who, kind, rule, message }) => ({ time, who, kind, rule, message }));
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#look();
      await sleepMs(everyMs);
    }
  }

  async #look(): Promise<void> {
    const head = await this.#cluster.store().readHead({ timeoutMs: callTimeoutMs });
    if (head.kind !== 'ok') return;
    const { lease, record } = head.value;
    const last = this.epochs.at(-1);
    if (lease !== null && (last?.epoch !== lease.epoch || last.holder !== lease.holder)) {
      // The record may know epochs that came and went between two looks.
      for (let epoch = (last?.epoch ?? lease.epoch) + 1; epoch < lease.epoch; epoch += 1) {
        const known = record === null ? null : epochRecord(record, epoch);
        if (known !== null) this.epochs.push({ epoch, holder: known.node });
      }
      this.epochs.push({ epoch: lease.epoch, holder: lease.holder });
    }
    if (record !== null && this.states.at(-1)?.state !== record.failoverState) {
      this.states.push({ state: record.failoverState, atMs: performance.now() });
    }
  }
}
