/**
 * `Aborting`: the compensation, decided by the lease alone. Before the old primary has released it nothing has changed, and
 * nothing will: its order to stop is taken back first. After that there is only forward. Upholds that every operation ends,
 * and that one which cannot end well says what is in the way.
 *
 * | lease                              | then                                                       |
 * |------------------------------------|------------------------------------------------------------|
 * | held by the old primary            | what was prepared is ordered back, then aborted; an asked-for failover goes on by fencing it |
 * | held by another, a later epoch     | forward: that node is the target                           |
 * | free, hand-over, released cleanly  | forward, while there are rounds left                       |
 * | free, hand-over otherwise          | go on as a failover                                        |
 * | free, failover                     | forward, while there are rounds and candidates left        |
 * | free, failover, lost in its turn   | the standbys are asked again                               |
 * | free, nobody left                  | failed                                                     |
 */
import { type OperationPlan, planFailoverAnew } from '../../core/failover/plan-operation.ts';
import type { Lease } from '../../core/model/lease.ts';
import { type Action, actionId } from '../../core/model/operation.ts';
import { parseOperationRequest } from '../../core/wire/parse-operation-request.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from './ports.ts';
import { closeOperation, readCluster, readCurrent, superseded } from './progress.ts';
import { rollBack } from './roll-back.ts';
import { need, needOrRefused } from './workflow-error.ts';

export interface AbortInput {
  readonly request: unknown;
  readonly execution: string;
  /** Null: begin itself failed, perhaps after it had claimed. */
  readonly plan: OperationPlan | null;
  /** As Step Functions caught it. */
  readonly failure: { readonly Error?: string; readonly Cause?: string };
  /** So many targets have been tried. */
  readonly round: number;
}

export interface Verdict {
  readonly verdict: 'forward' | 'fail-over' | 'aborted' | 'failed';
  readonly reason: string;
  /** With `fail-over`: how the operation goes on. */
  readonly plan: OperationPlan | null;
}

const lookEveryMs = 200;
/** A stop that its host has begun is waited for, beyond the time the host gives itself. */
const stopMarginMs = 5_000;

export async function abortOperation(deps: WorkflowDeps, input: AbortInput): Promise<Verdict> {
  const { plan } = input;
  if (plan === null) return await abortUnplanned(deps, input);
  const store = deps.storeOf(plan.cluster);
  const first = await readCluster(store);
  if (first.record.operation?.id !== plan.operation) {
    if (first.record.operation === null)
      return { verdict: 'aborted', reason: 'the operation is closed already', plan: null };
    throw superseded(plan.operation);
  }
  const stillHeld = isHeldByOld(first.lease, plan);
  const lease = stillHeld ? await takeBackStop(deps, store, plan) : first.lease;
  const { verdict, reason } = judge(input, plan, lease);
  if (verdict === 'forward' || verdict === 'fail-over') {
    const next = verdict === 'fail-over' ? await replan(store, plan) : null;
    const goesOn = next === null ? 'forward' : verdict;
    deps.log('warn', 'the operation goes on', { operation: plan.operation, verdict: goesOn, reason });
    return { verdict: goesOn, reason, plan: next };
  }
  const undone = isHeldByOld(lease, plan) ? await rollBack(deps, store, plan) : null;
  await closeOperation(deps, store, {
    cluster: plan.cluster,
    operation: plan.operation,
    status: verdict,
    outcome: undone === null ? reason : `${reason}; rolled back: ${undone}`,
    epoch: plan.epoch,
    errorClass: errorClass(input),
    rolledBack: undone !== null,
  });
  return { verdict, reason, plan: null };
}

/** Null: meanwhile a node has taken the lease, perhaps one that was given up as failed. It is waited for, and never fenced as an old primary. */
async function replan(store: ClusterStore, plan: OperationPlan): Promise<OperationPlan | null> {
  const [head, nodes, proxies] = await Promise.all([
    readCurrent(store, plan.operation),
    store.readNodes(),
    store.readProxies(),
  ]);
  if (head.lease.state === 'held' && head.lease.epoch > plan.epoch) return null;
  return planFailoverAnew(plan, { ...head, reports: need(nodes), proxies: need(proxies) });
}

type Judgement = Pick<Verdict, 'verdict' | 'reason'>;

function judge(input: AbortInput, plan: OperationPlan, lease: Lease): Judgement {
  const why = failureText(input);
  const roundsLeft = input.round < plan.settings.rounds;
  const replansLeft = plan.replans < plan.settings.replans;
  if (isHeldByOld(lease, plan)) {
    if (plan.kind === 'failover' && plan.path === 'handover')
      return { verdict: 'fail-over', reason: `${plan.from} could not hand over: ${why}` };
    return { verdict: 'aborted', reason: `${why}; ${plan.from} is still primary` };
  }
  if (lease.state === 'held') {
    if (roundsLeft) return { verdict: 'forward', reason: `${lease.holder} holds the lease: ${why}` };
    return { verdict: 'failed', reason: `${why}; ${lease.holder} holds the lease of epoch ${lease.epoch}` };
  }
  const free = `the lease is ${lease.state}: ${why}`;
  const stale = input.failure.Error === 'HandoverBroken' || input.failure.Error === 'AnswersOutdated';
  const clean = lease.state === 'released' && lease.releasedAtLsn !== null;
  const onThisPath = plan.path === 'failover' ? input.failure.Error !== 'NoCandidate' : clean;
  if (onThisPath && !stale && roundsLeft) return { verdict: 'forward', reason: free };
  if (replansLeft && (stale || plan.path === 'handover')) return { verdict: 'fail-over', reason: free };
  return { verdict: 'failed', reason: `${why}; the lease is ${lease.state} and nobody can take it` };
}

function isHeldByOld(lease: Lease, plan: OperationPlan): boolean {
  return lease.state === 'held' && lease.epoch === plan.epoch;
}

function errorClass({ failure }: AbortInput): string {
  return failure.Error ?? 'unknown';
}

function failureText({ failure }: AbortInput): string {
  const { Error: name = 'unknown', Cause: cause = '' } = failure;
  return cause === '' ? name : `${name}: ${messageIn(cause)}`;
}

/** A Lambda's cause is JSON with a stack, an agent's is its result: both have a message. */
function messageIn(cause: string): string {
  try {
    const parsed: unknown = JSON.parse(cause);
    if (typeof parsed === 'object' && parsed !== null) {
      const { errorMessage, message } = parsed as { errorMessage?: unknown; message?: unknown };
      if (typeof errorMessage === 'string') return errorMessage;
      if (typeof message === 'string') return message;
    }
  } catch {
    // Not JSON: it is the message.
  }
  return cause.slice(0, 500);
}

/**
 * Takes the order to stop back: claims it in the agent's place. Where the agent was first it is waited for, because a stop
 * that has begun ends in a release or in being called off. Returns the lease as it is after that.
 */
async function takeBackStop(deps: WorkflowDeps, store: ClusterStore, plan: OperationPlan): Promise<Lease> {
  const stop = actionId('stop-and-release', plan.from, 1);
  const taken = needOrRefused(await store.claimAction(plan.operation, stop, deps.newId()));
  let { lease } = await readCluster(store);
  if (taken !== null) return lease;
  const begun = await findAction(store, plan, stop);
  const deadlineMs = deps.now() + (begun === undefined ? 0 : begun.timeoutMs + stopMarginMs);
  while (isHeldByOld(lease, plan) && deps.now() < deadlineMs) {
    const stopping = await findAction(store, plan, stop);
    lease = (await readCluster(store)).lease;
    if (stopping === undefined || stopping.result !== null) break;
    await deps.sleep(lookEveryMs);
  }
  return lease;
}

async function findAction(store: ClusterStore, plan: OperationPlan, id: string): Promise<Action | undefined> {
  const { actions } = need(await store.readOperation(plan.operation));
  return actions.find(({ action }) => action === id);
}

/** Begin failed: if it had claimed an operation for this execution, that is given back. */
async function abortUnplanned(deps: WorkflowDeps, input: AbortInput): Promise<Verdict> {
  const { cluster } = parseOperationRequest(input.request);
  const store = deps.storeOf(cluster);
  const { record, lease } = need(await store.readHead());
  const reason = failureText(input);
  if (record?.operation == null || record.operation.executionArn !== input.execution)
    return { verdict: 'aborted', reason: `${reason}; nothing had been claimed`, plan: null };
  const status = lease?.state === 'held' ? 'aborted' : 'failed';
  await closeOperation(deps, store, {
    cluster,
    operation: record.operation.id,
    status,
    outcome: reason,
    epoch: lease?.epoch ?? null,
    errorClass: errorClass(input),
  });
  return { verdict: status, reason, plan: null };
}
