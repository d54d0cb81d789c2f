/**
 * What several states of the workflow do alike: mark the step in the record, which is also the check that the operation is
 * still the current one; write events; close an operation. Upholds that an operation whose place was taken changes nothing
 * any more.
 */
import type { ClusterRecord, FailoverState } from '../../core/model/cluster-record.ts';
import type { Operation, OperationStatus } from '../../core/model/operation.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { EventDraft, WorkflowDeps } from './ports.ts';
import { need, needOrRefused, WorkflowError } from './workflow-error.ts';

/** Writes the step to the record, if the operation is current; throws OperationSuperseded when it is not. */
export async function markStep(
  deps: WorkflowDeps,
  store: ClusterStore,
  operation: string,
  step: FailoverState,
  set: Partial<ClusterRecord> = {},
): Promise<void> {
  const [marked, added] = await Promise.all([
    store.updateRecord({ expect: { operation }, set: { ...set, failoverState: step } }),
    store.addOperationStep(operation, { step, startedAt: deps.time() }),
  ]);
  if (needOrRefused(marked) === null) throw superseded(operation);
  if (added.kind === 'ok') await emit(deps, store, { kind: 'operation_step', message: step, operation });
  else if (added.kind !== 'refused')
    deps.log('warn', 'a step is missing in the history', { operation, step, error_kind: added.kind });
}

export function superseded(operation: string): WorkflowError {
  return new WorkflowError('OperationSuperseded', `operation ${operation} is not the current one any more`);
}

/** An event that cannot be written must not fail what it tells of. */
export async function emit(
  deps: Pick<WorkflowDeps, 'log' | 'newId' | 'time' | 'who'>,
  store: Pick<ClusterStore, 'putEvent'>,
  draft: EventDraft,
): Promise<void> {
  deps.log('info', draft.kind, {
    detail: draft.message,
    operation: draft.operation ?? null,
    rule: draft.rule ?? '',
  });
  const answer = await store.putEvent({
    id: deps.newId(),
    kind: draft.kind,
    time: deps.time(),
    who: deps.who,
    rule: draft.rule ?? '',
    epoch: draft.epoch ?? null,
    operation: draft.operation ?? null,
    message: draft.message,
  });
  if (answer.kind !== 'ok')
    deps.log('warn', 'an event could not be written', { event: draft.kind, error_kind: answer.kind });
}

export interface Closing {
  readonly cluster: string;
  readonly operation: string;
  readonly status: Exclude<OperationStatus, 'running'>;
  readonly outcome: string;
  readonly epoch: number | null;
  /** Why it did not succeed, as an error's name: for the metrics' log line. */
  readonly errorClass?: string;
  /** What it had prepared was ordered back, or the old primary is primary again. */
  readonly rolledBack?: boolean;
  /** What else changes in the record. */
  readonly set?: Partial<ClusterRecord>;
}

const endings = {
  succeeded: 'OperationSucceeded',
  aborted: 'OperationAborted',
  failed: 'OperationFailed',
} as const;

/** Takes the operation out of the record, then completes its history. Throws OperationSuperseded when it is not current. */
export async function closeOperation(
  deps: WorkflowDeps,
  store: ClusterStore,
  closing: Closing,
): Promise<void> {
  const { operation, status, outcome } = closing;
  const closed = await store.updateRecord({
    expect: { operation },
    set: { ...closing.set, operation: null, failoverState: 'stable', failoverTargetPrimary: null },
  });
  if (needOrRefused(closed) === null) throw superseded(operation);
  measureEnd(deps, closing, await endHistory(deps, store, closing));
  await emit(deps, store, {
    kind: `operation_${status}`,
    message: outcome,
    operation,
    epoch: closing.epoch,
  });
}

/** For who has taken the operation out of the record, so that nothing is measured twice. `operation`: as its history has it. */
export function measureEnd(
  deps: WorkflowDeps,
  closing: Omit<Closing, 'outcome' | 'epoch' | 'set'>,
  operation: Operation | null,
): void {
  const { cluster, status, errorClass, rolledBack = false } = closing;
  const seconds =
    operation === null || operation.endedAt === null
      ? null
      : (Date.parse(operation.endedAt) - Date.parse(operation.startedAt)) / 1_000;
  deps.measure(
    cluster,
    {
      [endings[status]]: 1,
      ...(operation === null ? {} : { [operation.kind === 'failover' ? 'Failovers' : 'Switchovers']: 1 }),
      ...(seconds === null ? {} : { OperationSeconds: Math.max(0, seconds) }),
      ...(rolledBack ? { OperationRolledBack: 1 } : {}),
    },
    { operation: closing.operation, ...(errorClass === undefined ? {} : { error_class: errorClass }) },
  );
}

/** The operation's own item, which nothing decides by; null when it could not be written. Repeating it is harmless. */
export async function endHistory(
  deps: WorkflowDeps,
  store: ClusterStore,
  ending: Pick<Closing, 'operation' | 'status' | 'outcome'>,
): Promise<Operation | null> {
  const { operation, status, outcome } = ending;
  const [ended] = await Promise.all([
    store.updateOperation(operation, { status, outcome, endedAt: deps.time() }),
    store.addOperationStep(operation, { step: 'stable', startedAt: deps.time() }),
  ]);
  if (ended.kind === 'ok') return ended.value;
  deps.log('warn', 'an operation was not closed in the history', { operation, error_kind: ended.kind });
  return null;
}

/** The record and lease of a cluster that has both, as of one moment. */
export async function readCluster(store: ClusterStore) {
  const { record, lease } = need(await store.readHead());
  if (record === null) throw new WorkflowError('UnknownCluster', 'there is no such cluster');
  if (lease === null)
    throw new WorkflowError('ClusterNotReady', 'the cluster has no primary yet: it is being bootstrapped');
  return { record, lease };
}

/** As `readCluster`, for a state after the first: the operation must still be the current one. */
export async function readCurrent(store: ClusterStore, operation: string) {
  const head = await readCluster(store);
  if (head.record.operation?.id !== operation) throw superseded(operation);
  return head;
}
