/**
 * Ports of the workflow for tests of single steps: a store in memory, a clock that `sleep` itself moves on, and fakes that
 * remember what was asked of them.
 */
import { ok } from '../../../adapters/aws/store-answer.ts';
import type { FenceOutcome, WorkflowDeps } from '../../../adapters/workflow/ports.ts';
import type { OperationPlan } from '../../../core/failover/plan-operation.ts';
import { asynchronous } from '../../../core/model/lease.ts';
import { createMemoryStore, createMemoryTable } from '../../support/memory-store.ts';
import { sampleLease, sampleNodeReport, sampleOperation, sampleRecord } from '../../support/samples.ts';

export const unreachable = { kind: 'unreachable', message: 'away' } as const;
export const operation = sampleOperation.id;

export const plan: OperationPlan = {
  cluster: 'main',
  operation,
  kind: 'failover',
  path: 'failover',
  reason: 'test',
  from: 'node1',
  target: null,
  acceptDataLoss: false,
  epoch: 3,
  attempt: 2,
  catchup: [],
  replans: 0,
  settings: { handoverSeconds: 30, fenceSeconds: 330, rounds: 3, replans: 2, ttlMs: 2000 },
};

export function createBench() {
  const table = createMemoryTable();
  table.record = {
    ...sampleRecord,
    cluster: 'main',
    spec: { ...sampleRecord.spec, fencing: { mode: 'stop' } },
    fencedHosts: [],
  };
  table.lease = {
    ...sampleLease,
    state: 'held',
    operation: null,
    successor: null,
    releasedAtLsn: null,
    sync: asynchronous,
  };
  table.operations.set(operation, sampleOperation);
  table.nodes.set('node1', {
    ...sampleNodeReport,
    node: 'node1',
    instanceId: 'i-1',
    incarnation: 'i-1',
    seq: 5,
  });
  const store = createMemoryStore({ table });
  const log: string[] = [];
  const measured: { cluster: string; figures: object; about: object }[] = [];
  const answered: { token: string; outcome: unknown }[] = [];
  let nowMs = 0;
  let lastId = 0;
  const deps: WorkflowDeps = {
    who: 'test',
    storeOf: () => store,
    hosts: {
      runAction: async () => ok('command'),
      fence: async () => ok('fence'),
      fenceOutcome: async () => ok<FenceOutcome>({ kind: 'pending' }),
      stopInstance: async () => ok(undefined),
      instanceState: async () => ok('running'),
      startInstance: async () => ok(undefined),
      securityGroups: async () => ok(['sg-11111111']),
      setSecurityGroups: async () => ok(undefined),
    },
    executions: { status: async () => ok('running' as const), start: async () => ok('started' as const) },
    tasks: {
      succeed: async (token, outcome) => {
        answered.push({ token, outcome });
        return ok('taken' as const);
      },
      fail: async (token, error) => {
        answered.push({ token, outcome: error });
        return ok('taken' as const);
      },
    },
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
    time: () => '2026-11-21T08:00:00.000Z',
    newId: () => {
      lastId += 1;
      return `01JD${String(lastId).padStart(22, '0')}`;
    },
    log: (level, message) => log.push(`${level} ${message}`),
    watching: 'full',
    measure: (cluster, figures, about = {}) => {
      measured.push({ cluster, figures, about });
    },
  };
  return {
    deps,
    table,
    store,
    log,
    measured,
    answered,
    events: () => [...table.events.values()].map(({ kind }) => kind),
  };
}

export type Bench = ReturnType<typeof createBench>;

/** The same ports with some of the hosts' replaced. */
export function withHosts(bench: Bench, hosts: Partial<WorkflowDeps['hosts']>): WorkflowDeps {
  return { ...bench.deps, hosts: { ...bench.deps.hosts, ...hosts } };
}
