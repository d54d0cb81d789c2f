/**
 * `Initiated`: checks a request and claims the operation in the cluster's record. Upholds that at most one operation is the
 * current one: the claim is a compare-and-set on the record's version, made only over nothing, over an operation whose
 * execution is gone, or by a failover over a switchover whose primary has fallen silent.
 */
import { type OperationPlan, operationId, planOperation } from '../../core/failover/plan-operation.ts';
import type { ClusterRecord, CurrentOperation } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import type { OperationRequest } from '../../core/model/operation.ts';
import { parseOperationRequest } from '../../core/wire/parse-operation-request.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { isCarriedOn } from './execution-alive.ts';
import { armAction } from './order.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit, endHistory, measureEnd, readCluster } from './progress.ts';
import { type WatchedHolder, watchHolder } from './watch-holder.ts';
import { need, needOrRefused, WorkflowError } from './workflow-error.ts';

export interface BeginInput {
  /** As an operator typed it. */
  readonly request: unknown;
  /** The execution's ARN, or what an operator's terminal calls itself. */
  readonly execution: string;
}

/** Another one may claim first, and then again: each loss is read anew, this often. */
const claimAttempts = 3;

export async function beginOperation(deps: WorkflowDeps, input: BeginInput): Promise<OperationPlan> {
  const request = parseOperationRequest(input.request);
  const store = deps.storeOf(request.cluster);
  const reading = Promise.all([store.readNodes(), store.readProxies()]);
  const first = await readCluster(store);
  const [nodes, proxies] = await reading;
  const reports = need(nodes);
  const proxyReports = need(proxies);
  let head = await lookAtHolder(deps, store, request, first);
  for (let attempt = 0; attempt < claimAttempts; attempt += 1) {
    const plan = await claim(deps, store, { ...input, request, head, reports, proxyReports });
    if (plan !== null) return plan;
    head = { ...(await readCluster(store)), silent: head.silent };
  }
  throw new WorkflowError('OperationInProgress', 'others change the record at the same time');
}

/** A switchover needs no watching: a primary that does not answer fails its first order, with nothing changed. */
async function lookAtHolder(
  deps: WorkflowDeps,
  store: ClusterStore,
  request: OperationRequest,
  first: { readonly record: ClusterRecord; readonly lease: Lease },
): Promise<WatchedHolder> {
  if (first.lease.state !== 'held' || request.kind === 'switchover') return { ...first, silent: false };
  return await watchHolder(deps, store, first);
}

interface Claim extends BeginInput {
  readonly request: OperationRequest;
  readonly head: WatchedHolder;
  readonly reports: readonly NodeReport[];
  readonly proxyReports: readonly ProxyReport[];
}

/** The plan, claimed and written; null when the record has changed meanwhile. */
async function claim(deps: WorkflowDeps, store: ClusterStore, input: Claim): Promise<OperationPlan | null> {
  const { head } = input;
  const { record, lease } = head;
  const former = record.operation;
  const mine = former !== null && former.executionArn === input.execution;
  if (former !== null && !mine) await mayTakeOver(deps, store, input, former);
  const attempt = mine ? record.attempt : record.attempt + 1;
  const planned = planOperation({
    ...head,
    request: mine ? resumed(input.request, record, former) : input.request,
    reports: input.reports,
    proxies: input.proxyReports,
    operation: mine ? former.id : operationId(record, lease.epoch, attempt),
    attempt,
  });
  if (planned.kind === 'refused') {
    // Claimed by an earlier attempt of this state: the claim must be given back, not only the request refused.
    throw new WorkflowError(mine ? 'HandoverBroken' : planned.error, planned.message);
  }
  const { plan } = planned;
  if (!mine) {
    const claimed = await store.updateRecord({
      expect: { version: record.version, operation: former?.id ?? null },
      set: {
        operation: { id: plan.operation, kind: plan.kind, executionArn: input.execution },
        attempt,
        failoverState: 'initiated',
        failoverTargetPrimary: plan.target,
      },
    });
    if (needOrRefused(claimed) === null) return null;
  }
  await write(deps, store, input, plan, mine ? null : former);
  return plan;
}

/** A retry of this very state: the claim stands, its target too. */
function resumed(
  request: OperationRequest,
  record: ClusterRecord,
  current: CurrentOperation,
): OperationRequest {
  const target = request.target ?? record.failoverTargetPrimary;
  return { ...request, kind: current.kind, target, epoch: null };
}

/** Throws OperationInProgress unless the operation in the record may be taken over. */
async function mayTakeOver(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: Claim,
  former: CurrentOperation,
): Promise<void> {
  const { lease, silent } = input.head;
  const lost = lease.state === 'sealed' || lease.state === 'fenced' || silent;
  // Whoever accepts a loss does not want to wait for the operation that waits for those who have it all.
  if (input.request.acceptDataLoss && lease.state !== 'held') return;
  if (former.kind === 'switchover' && input.request.kind !== 'switchover' && lost) return;
  if (!(await isCarriedOn(deps, store, former))) return;
  throw new WorkflowError('OperationInProgress', `${former.kind} ${former.id} is under way`);
}

async function write(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: Claim,
  plan: OperationPlan,
  former: CurrentOperation | null,
): Promise<void> {
  const startedAt = deps.time();
  const { requestedBy } = input.request;
  const towards = plan.target === null ? '' : ` to ${plan.target}`;
  const [put] = await Promise.all([
    store.putOperation({
      id: plan.operation,
      kind: plan.kind,
      status: 'running',
      reason: plan.reason,
      requestedBy,
      from: plan.from,
      target: plan.target,
      epoch: plan.epoch,
      executionArn: input.execution,
      steps: [{ step: 'initiated', startedAt }],
      startedAt,
      endedAt: null,
      outcome: '',
      acceptDataLoss: plan.acceptDataLoss,
    }),
    // In a failover every call in sequence is time without a primary: the standbys may begin at once.
    ...(plan.path === 'failover'
      ? plan.catchup.map((order) => armAction(store, plan.operation, 'waiting_for_catchup', order))
      : []),
    emit(deps, store, {
      kind: 'operation_started',
      message: `${plan.kind} from ${plan.from}${towards}, by ${plan.path}: ${plan.reason || 'no reason given'}`,
      operation: plan.operation,
      epoch: plan.epoch,
    }),
    former === null ? null : endFormer(deps, store, former, plan),
  ]);
  needOrRefused(put);
}

async function endFormer(
  deps: WorkflowDeps,
  store: ClusterStore,
  former: CurrentOperation,
  { cluster, operation: successor }: OperationPlan,
): Promise<void> {
  const outcome = `operation ${successor} has taken its place`;
  const ended = await endHistory(deps, store, { operation: former.id, status: 'failed', outcome });
  const errorClass = 'OperationSuperseded';
  measureEnd(deps, { cluster, operation: former.id, status: 'failed', errorClass }, ended);
  await emit(deps, store, { kind: 'operation_failed', message: outcome, operation: former.id });
}
