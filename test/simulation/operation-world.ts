/**
 * A whole control plane and a few hosts in one process under a clock that only moves when told to: the real definition on the
 * real interpreter, the real steps of the workflow over the store in memory, and model hosts. After each write to the lease the
 * world checks that no two hosts are writable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { AslEngine } from '../../adapters/asl/engine.ts';
import type { Execution } from '../../adapters/asl/execution.ts';
import { createMemoryStore as createExecutionStore } from '../../adapters/asl/execution-store.ts';
import type { HistoryEvent } from '../../adapters/asl/history.ts';
import { createLambdaInvoker } from '../../adapters/asl/lambda-invoker.ts';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { type Answer, ok } from '../../adapters/aws/store-answer.ts';
import { abortOperation } from '../../adapters/workflow/abort.ts';
import { beginOperation } from '../../adapters/workflow/begin.ts';
import { chooseTarget } from '../../adapters/workflow/choose.ts';
import { demoteOldPrimary } from '../../adapters/workflow/demote.ts';
import { finishOperation } from '../../adapters/workflow/finish.ts';
import { orderAction } from '../../adapters/workflow/order.ts';
import {
  parseAbortInput,
  parseBeginInput,
  parseChooseInput,
  parseDemoteInput,
  parseFinishInput,
  parseOrderInput,
} from '../../adapters/workflow/parse-state-input.ts';
import type { FenceOutcome, WorkflowDeps } from '../../adapters/workflow/ports.ts';
import { type Looks, type SentinelView, watchCluster } from '../../adapters/workflow/sentinel.ts';
import { asynchronous, type SynchronousSet } from '../../core/model/lease.ts';
import type { ActionResult } from '../../core/model/operation.ts';
import { substitutions } from '../../infra/failover-machine.ts';
import { createFakeClock, type FakeClock, machineOf } from '../local/asl-harness.ts';
import {
  createMemoryStore,
  createMemoryTable,
  type Fault,
  type MemoryTable,
} from '../support/memory-store.ts';
import { sampleLease, sampleRecord } from '../support/samples.ts';
import { type HostOptions, ModelHost } from './model-host.ts';

export const ttlMs = 2000;
const definition = readFileSync(join(import.meta.dirname, '../../infra/failover.asl.json'), 'utf8');

export interface WorldOptions {
  readonly hosts?: readonly HostOptions[];
  /** Every function is invoked twice, as Step Functions may. */
  readonly twice?: boolean;
  /** Faults of the store as the functions see it. */
  readonly fault?: (call: keyof ClusterStore) => Fault | null;
  /** Run Command does not reach any host. */
  readonly runCommandAway?: boolean;
  readonly sync?: SynchronousSet;
}

const threeHosts: readonly HostOptions[] = [
  { id: 'a', lsn: 0x6000000n, primary: true },
  { id: 'b', lsn: 0x6000000n },
  { id: 'c', lsn: 0x5ffff00n },
];

export class OperationWorld {
  readonly clock: FakeClock = createFakeClock();
  readonly table: MemoryTable = createMemoryTable();
  readonly store = createMemoryStore({ table: this.table });
  readonly hosts: readonly ModelHost[];
  readonly engine: AslEngine;
  readonly fenceCommands = new Map<string, FenceOutcome>();
  readonly stoppedInstances: string[] = [];
  readonly counted: string[] = [];
  readonly looks: Looks = new Map();
  /** In the order in which states were entered. */
  readonly states: string[] = [];
  readonly failoverStates: string[] = [];
  readonly deps: WorkflowDeps;
  #lastId = 0;
  #onState: (state: string, arn: string) => void = () => undefined;

  constructor(options: WorldOptions = {}) {
    const hosts = options.hosts ?? threeHosts;
    this.hosts = hosts.map((one) => new ModelHost(this, one));
    this.#fillTable(hosts, options);
    this.deps = this.#makeDeps(options);
    this.engine = new AslEngine({
      store: createExecutionStore(),
      clock: this.clock,
      random: () => 0.5,
      invokeTask: createLambdaInvoker(this.#functions(options.twice ?? false)),
      onEvent: (arn, event) => this.#seeEvent(arn, event),
    });
    for (const host of this.hosts) host.live();
  }

  host(id: string): ModelHost {
    const found = this.hosts.find((one) => one.id === id);
    if (found === undefined) throw new Error(`there is no host ${id}`);
    return found;
  }

  get record() {
    if (this.table.record === null) throw new Error('the simulated cluster has a record');
    return this.table.record;
  }

  get lease() {
    if (this.table.lease === null) throw new Error('the simulated cluster has a lease');
    return this.table.lease;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.setTimeout(() => resolve(), ms);
    });
  }

  /** Calls back at each state entered: to kill something at that very moment. */
  onState(call: (state: string, arn: string) => void): void {
    this.#onState = call;
  }

  start(request: unknown, name = 'one'): string {
    const started = this.engine.start(this.#machine(), name, JSON.stringify(request));
    if (started.kind === 'limit-exceeded') throw new Error(started.kind);
    return started.execution.arn;
  }

  /** Moves the time until the execution has ended. */
  async finish(arn: string, limitMs = 1_800_000): Promise<Execution> {
    const stepMs = 50;
    for (let passedMs = 0; passedMs < limitMs; passedMs += stepMs) {
      const execution = this.engine.describe(arn);
      if (execution === undefined) throw new Error(`there is no execution ${arn}`);
      if (execution.status !== 'RUNNING') return execution;
      await this.clock.advance(stepMs);
    }
    throw new Error(`the execution has not ended: ... ${this.states.slice(-30).join(' ')}`);
  }

  async run(request: unknown, name = 'one'): Promise<Execution> {
    return await this.finish(this.start(request, name));
  }

  async sentinel(): Promise<SentinelView> {
    const [view] = await Promise.all([watchCluster(this.deps, 'main', this.looks), this.clock.advance(100)]);
    return view;
  }

  /** At most one host accepts writes (spec: at most one primary). */
  check(): void {
    const primaries = this.hosts.filter(({ postgres, isolated }) => postgres === 'primary' && !isolated);
    if (primaries.length > 1) throw new Error(`two primaries: ${primaries.map(({ id }) => id).join(', ')}`);
    const current = this.record.failoverState;
    if (this.failoverStates.at(-1) !== current) this.failoverStates.push(current);
  }

  async answer(token: string, result: ActionResult): Promise<Answer<'taken' | 'gone'>> {
    const failure = { error: result.error, cause: JSON.stringify(result), heartbeat: false };
    const verdict = this.engine.answer(
      token,
      result.ok
        ? { kind: 'succeeded', result: JSON.parse(JSON.stringify(result)) }
        : { kind: 'failed', failure },
    );
    return ok(verdict === 'accepted' ? 'taken' : 'gone');
  }

  #machine() {
    return machineOf(
      Object.entries(substitutions).reduce(
        (text, [key, name]) => text.replaceAll(`\${${key}}`, name),
        definition,
      ),
    );
  }

  #fillTable(hosts: readonly HostOptions[], options: WorldOptions): void {
    const primary = hosts.find((one) => one.primary)?.id ?? 'a';
    const members = hosts.map(({ id }) => id);
    this.table.record = {
      ...sampleRecord,
      spec: { ...sampleRecord.spec, fencing: { mode: 'stop' } },
      fencedHosts: [],
      cluster: 'main',
      members,
      proxies: [],
      bootstrap: null,
      failoverState: 'stable',
      operation: null,
      attempt: 0,
      intendedPrimary: primary,
      failoverTargetPrimary: null,
      lastFailover: null,
      epochs: [{ epoch: 1, node: primary, timeline: 1, forkLsn: null, history: [] }],
    };
    this.table.lease = {
      ...sampleLease,
      holder: primary,
      incarnation: `inc-${primary}`,
      epoch: 1,
      seq: 1,
      ttlMs,
      state: 'held',
      operation: null,
      successor: null,
      timeline: 1,
      releasedAtLsn: null,
      members,
      sync: options.sync ?? asynchronous,
    };
    for (const host of this.hosts) void host.report();
  }

  #makeDeps(options: WorldOptions): WorkflowDeps {
    const away = { kind: 'unreachable', message: 'away' } as const;
    const store = createMemoryStore({
      table: this.table,
      ...(options.fault ? { fault: options.fault } : {}),
    });
    const byInstance = (instanceId: string) => this.hosts.find((one) => one.instanceId === instanceId);
    return {
      who: 'workflow',
      storeOf: () => store,
      hosts: {
        runAction: async () => (options.runCommandAway ? away : ok('command')),
        fence: async ({ instanceId, epoch }) => {
          if (options.runCommandAway) return away;
          const host = byInstance(instanceId);
          this.#lastId += 1;
          const commandId = `fence-${this.#lastId}`;
          const reached =
            host !== undefined && !host.isolated && !this.stoppedInstances.includes(instanceId) && host.alive;
          if (reached) {
            host.fencedEpoch = Math.max(host.fencedEpoch, epoch);
            if (host.epoch <= epoch && host.postgres === 'primary') host.postgres = 'stopped';
          }
          this.fenceCommands.set(commandId, reached ? { kind: 'fenced', epoch } : { kind: 'pending' });
          return ok(commandId);
        },
        fenceOutcome: async ({ commandId }) =>
          ok(this.fenceCommands.get(commandId) ?? { kind: 'pending' as const }),
        stopInstance: async (instanceId) => {
          byInstance(instanceId)?.die();
          this.stoppedInstances.push(instanceId);
          return ok(undefined);
        },
        instanceState: async (instanceId) =>
          ok(this.stoppedInstances.includes(instanceId) ? 'stopped' : 'running'),
        startInstance: async () => away,
        securityGroups: async () => away,
        setSecurityGroups: async () => away,
      },
      executions: {
        status: async (arn) => {
          const found = this.engine.describe(arn);
          if (found === undefined) return ok('absent' as const);
          return ok(found.status === 'RUNNING' ? ('running' as const) : ('ended' as const));
        },
        start: async ({ name, input }) => {
          const started = this.engine.start(this.#machine(), name, input);
          return ok(started.kind === 'started' ? ('started' as const) : ('exists' as const));
        },
      },
      tasks: {
        succeed: async (token, output) => {
          const result = JSON.parse(JSON.stringify(output));
          return ok(
            this.engine.answer(token, { kind: 'succeeded', result }) === 'accepted' ? 'taken' : 'gone',
          );
        },
        fail: (token, error, result) => this.answer(token, { ...result, ok: false, error }),
      },
      now: () => this.clock.now(),
      sleep: (ms) => this.sleep(ms),
      time: () => new Date(this.clock.now()).toISOString(),
      newId: () => {
        this.#lastId += 1;
        return `id-${String(this.#lastId).padStart(10, '0')}`;
      },
      log: () => undefined,
      measure: (_cluster, figures) => this.counted.push(...Object.keys(figures)),
      watching: 'essential',
    };
  }

  #functions(twice: boolean) {
    const steps: Readonly<Record<string, (event: unknown) => Promise<unknown>>> = {
      begin: (event) => beginOperation(this.deps, parseBeginInput(event)),
      order: (event) => orderAction(this.deps, parseOrderInput(event)),
      demote: (event) => demoteOldPrimary(this.deps, parseDemoteInput(event)),
      choose: (event) => chooseTarget(this.deps, parseChooseInput(event)),
      finish: (event) => finishOperation(this.deps, parseFinishInput(event)),
      abort: (event) => abortOperation(this.deps, parseAbortInput(event)),
    };
    return Object.fromEntries(
      Object.entries(steps).map(([name, step]) => [
        name,
        async (event: unknown) => {
          const first = await step(event);
          this.check();
          return twice ? await step(event) : first;
        },
      ]),
    );
  }

  #seeEvent(arn: string, event: HistoryEvent): void {
    if (!event.type.endsWith('StateEntered')) return;
    const details = Object.values(event).find(
      (value): value is { name: string } => typeof value === 'object' && value !== null && 'name' in value,
    );
    if (details === undefined) return;
    this.states.push(details.name);
    this.#onState(details.name, arn);
  }
}

/** The cluster is at rest: nobody works, one node holds the lease and is primary, and it is the one that is meant. */
export function expectAtRest(world: OperationWorld, primary: string, epoch: number): void {
  expect(world.record).toMatchObject({
    operation: null,
    failoverState: 'stable',
    failoverTargetPrimary: null,
  });
  expect(world.lease).toMatchObject({ state: 'held', holder: primary, epoch });
  expect(world.hosts.filter(({ postgres }) => postgres === 'primary').map(({ id }) => id)).toEqual([primary]);
}
