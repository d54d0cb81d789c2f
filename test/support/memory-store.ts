/**
 * The cluster store in memory, for unit tests and simulation: the same interface and the same conditions as DynamoDB's (the
 * contract tests run both), over the production `applyLeaseWrite` and the production parsers. Several stores may share one
 * table, each with faults of its own: a request that is lost, or an answer that is.
 */

import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { ClaimOptions } from '../../adapters/aws/operation-items.ts';
import type { RecordChange } from '../../adapters/aws/record-item.ts';
import { type Conditional, ok, type StoreFailure } from '../../adapters/aws/store-answer.ts';
import { applyLeaseWrite, type LeaseWrite } from '../../core/lease/lease-write.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Drill } from '../../core/model/drill.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import type { Action, ActionResult, Operation, OperationStep } from '../../core/model/operation.ts';
import type { Item } from '../../core/wire/item-shape.ts';
import { actionToItem, parseAction } from '../../core/wire/parse-action.ts';
import { clusterRecordToItem, parseClusterRecord } from '../../core/wire/parse-cluster-record.ts';
import { drillToItem, parseDrill } from '../../core/wire/parse-drill.ts';
import { eventToItem, parseEvent } from '../../core/wire/parse-event.ts';
import { leaseToItem, parseLease } from '../../core/wire/parse-lease.ts';
import { nodeReportToItem, parseNodeReport } from '../../core/wire/parse-node-report.ts';
import { operationToItem, parseOperation } from '../../core/wire/parse-operation.ts';
import { parseProxyReport, proxyReportToItem } from '../../core/wire/parse-proxy-report.ts';

/** Items of one cluster by key; shared by the stores of all its hosts. */
export interface MemoryTable {
  record: ClusterRecord | null;
  lease: Lease | null;
  readonly nodes: Map<string, NodeReport>;
  readonly proxies: Map<string, ProxyReport>;
  readonly operations: Map<string, Operation>;
  /** By `<operation>#<action>`. */
  readonly actions: Map<string, Action>;
  readonly events: Map<string, ClusterEvent>;
  readonly drills: Map<string, Drill>;
}

export function createMemoryTable(): MemoryTable {
  return {
    record: null,
    lease: null,
    nodes: new Map(),
    proxies: new Map(),
    operations: new Map(),
    actions: new Map(),
    events: new Map(),
    drills: new Map(),
  };
}

/**
 * `request`: nothing is done. `answer`: it is done, and the caller does not learn so. An Error instead of a failure is thrown: the
 * caller was killed at that moment.
 */
export interface Fault {
  readonly lost: 'request' | 'answer';
  readonly failure: StoreFailure | Error;
}

export interface MemoryStoreOptions {
  readonly table?: MemoryTable;
  /** Asked before each call. */
  readonly fault?: (call: keyof ClusterStore) => Fault | null;
}

const refused = { kind: 'refused' } as const;

export function createMemoryStore(options: MemoryStoreOptions = {}): ClusterStore {
  const table = options.table ?? createMemoryTable();
  const store = {
    ...headCalls(table),
    ...reportCalls(table),
    ...operationCalls(table),
    ...actionCalls(table),
    ...drillCalls(table),
  };
  return options.fault === undefined ? store : withFaults(store, options.fault);
}

function withFaults(store: ClusterStore, fault: (call: keyof ClusterStore) => Fault | null): ClusterStore {
  const wrapped = Object.entries(store).map(([name, call]) => [
    name,
    async (...args: unknown[]) => {
      const found = fault(name as keyof ClusterStore);
      const fail = (failure: StoreFailure | Error): StoreFailure => {
        if (failure instanceof Error) throw failure;
        return failure;
      };
      if (found?.lost === 'request') return fail(found.failure);
      const answer = await (call as (...given: unknown[]) => Promise<unknown>)(...args);
      return found === null ? answer : fail(found.failure);
    },
  ]);
  return Object.fromEntries(wrapped) as ClusterStore;
}

/** Through the wire and back: what the model cannot carry over the wire cannot be kept in memory either. */
function wired<T>(value: T, toItem: (value: T) => Item, parse: (item: unknown) => T): T {
  return parse(structuredClone(toItem(value)));
}

const wiredLease = (lease: Lease) => wired(lease, leaseToItem, parseLease);
const wiredRecord = (record: ClusterRecord) => wired(record, clusterRecordToItem, parseClusterRecord);
const wiredOperation = (operation: Operation) => wired(operation, operationToItem, parseOperation);
const wiredAction = (action: Action) => wired(action, actionToItem, parseAction);

function headCalls(table: MemoryTable) {
  return {
    async readHead() {
      return ok({ record: table.record, lease: table.lease });
    },
    async writeLease(write: LeaseWrite): Promise<Conditional<Lease>> {
      const next = applyLeaseWrite(table.lease, write);
      if (next === null) return refused;
      table.lease = wiredLease(next);
      return ok(table.lease);
    },
    async createRecord(record: ClusterRecord): Promise<Conditional<ClusterRecord>> {
      if (table.record !== null) return refused;
      table.record = wiredRecord(record);
      return ok(table.record);
    },
    async updateRecord(change: RecordChange): Promise<Conditional<ClusterRecord>> {
      const { record } = table;
      if (record === null || !meets(record, change.expect)) return refused;
      table.record = wiredRecord({ ...record, ...change.set, version: record.version + 1 });
      return ok(table.record);
    },
    async putEvent(event: ClusterEvent) {
      table.events.set(event.id, wired(event, eventToItem, parseEvent));
      return ok(undefined);
    },
    async listEvents(limit: number) {
      return ok(byKey(table.events).reverse().slice(0, limit));
    },
  };
}

function meets(record: ClusterRecord, expected: RecordChange['expect']): boolean {
  const { version, operation, bootstrapNonce, systemIdentifierAbsent } = expected;
  return (
    (version === undefined || record.version === version) &&
    (operation === undefined || (record.operation?.id ?? null) === operation) &&
    (bootstrapNonce === undefined || (record.bootstrap?.nonce ?? null) === bootstrapNonce) &&
    (systemIdentifierAbsent === undefined || record.systemIdentifier === null)
  );
}

function reportCalls(table: MemoryTable) {
  return {
    async putNodeReport(report: NodeReport): Promise<Conditional<void>> {
      const known = table.nodes.get(report.node);
      if (known !== undefined && known.instanceId !== report.instanceId) return refused;
      table.nodes.set(report.node, wired(report, nodeReportToItem, parseNodeReport));
      return ok(undefined);
    },
    async putProxyReport(report: ProxyReport): Promise<Conditional<void>> {
      const known = table.proxies.get(report.proxy);
      if (known !== undefined && known.instanceId !== report.instanceId) return refused;
      table.proxies.set(report.proxy, wired(report, proxyReportToItem, parseProxyReport));
      return ok(undefined);
    },
    async removeReport(report: NodeReport | ProxyReport): Promise<Conditional<void>> {
      const [reports, key] = 'node' in report ? [table.nodes, report.node] : [table.proxies, report.proxy];
      const known = reports.get(key);
      const same =
        known?.instanceId === report.instanceId &&
        known.incarnation === report.incarnation &&
        known.seq === report.seq;
      if (!same) return refused;
      reports.delete(key);
      return ok(undefined);
    },
    async readNodes() {
      return ok(byKey(table.nodes));
    },
    async readProxies() {
      return ok(byKey(table.proxies));
    },
  };
}

function operationCalls(table: MemoryTable) {
  const change = (id: string, set: (found: Operation) => Operation | null): Conditional<Operation> => {
    const found = table.operations.get(id);
    const next = found === undefined ? null : set(found);
    if (next === null) return refused;
    const kept = wiredOperation(next);
    table.operations.set(id, kept);
    return ok(kept);
  };
  return {
    async putOperation(operation: Operation): Promise<Conditional<Operation>> {
      if (table.operations.has(operation.id)) return refused;
      table.operations.set(operation.id, wiredOperation(operation));
      return ok(operation);
    },
    async updateOperation(id: string, set: Partial<Operation>) {
      return change(id, (found) => ({ ...found, ...set }));
    },
    async addOperationStep(id: string, step: OperationStep) {
      return change(id, (found) =>
        found.steps.some((known) => known.step === step.step)
          ? null
          : { ...found, steps: [...found.steps, step] },
      );
    },
    async readOperation(id: string) {
      const actions = byKey(table.actions).filter(({ operation }) => operation === id);
      return ok({ operation: table.operations.get(id) ?? null, actions });
    },
    async listOperations(limit: number) {
      const newest = (a: Operation, b: Operation) =>
        compareText(b.startedAt, a.startedAt) || compareText(b.id, a.id);
      return ok([...table.operations.values()].sort(newest).slice(0, limit));
    },
  };
}

function drillCalls(table: MemoryTable) {
  return {
    async putDrill(drill: Drill) {
      table.drills.set(drill.id, wired(drill, drillToItem, parseDrill));
      return ok(undefined);
    },
    async listDrills(limit: number) {
      return ok(byKey(table.drills).reverse().slice(0, limit));
    },
  };
}

function actionCalls(table: MemoryTable) {
  const change = (
    operation: string,
    action: string,
    set: (found: Action) => Partial<Action> | null,
  ): Conditional<Action> => {
    const key = `${operation}#${action}`;
    const found = table.actions.get(key);
    const part = found === undefined ? null : set(found);
    if (found === undefined || part === null) return refused;
    const kept = wiredAction({ ...found, ...part });
    table.actions.set(key, kept);
    return ok(kept);
  };
  return {
    async putAction(action: Action): Promise<Conditional<Action>> {
      const key = `${action.operation}#${action.action}`;
      if (table.actions.has(key)) return refused;
      table.actions.set(key, wiredAction(action));
      return ok(action);
    },
    async attachTaskToken(operation: string, action: string, taskToken: string) {
      return change(operation, action, () => ({ taskToken }));
    },
    async noteCommand(operation: string, action: string, commandId: string) {
      return change(operation, action, () => ({ commandId }));
    },
    async claimAction(operation: string, action: string, incarnation: string, o: ClaimOptions = {}) {
      return change(operation, action, ({ status, claimedBy }) => {
        const abandoned = o.reclaim && status === 'claimed' && claimedBy !== incarnation;
        const anew = o.reclaim ? { prepared: false } : {};
        return status === 'ordered' || abandoned
          ? { status: 'claimed', claimedBy: incarnation, ...anew }
          : null;
      });
    },
    async markPrepared(operation: string, action: string, incarnation: string) {
      return change(operation, action, ({ status, claimedBy }) =>
        status === 'claimed' && claimedBy === incarnation ? { prepared: true } : null,
      );
    },
    async finishAction(operation: string, action: string, incarnation: string, result: ActionResult) {
      return change(operation, action, ({ status, claimedBy }) =>
        status === 'claimed' && claimedBy === incarnation
          ? { status: result.ok ? 'succeeded' : 'failed', result }
          : null,
      );
    },
  };
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function byKey<T>(map: ReadonlyMap<string, T>): T[] {
  return [...map].sort(([a], [b]) => compareText(a, b)).map(([, value]) => value);
}
