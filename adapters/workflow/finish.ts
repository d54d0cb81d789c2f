/**
 * `Stable`: closes an operation that has a new primary, then settles what became of the old host of a failover. Upholds that an
 * operation counts as done only while its target holds the lease, and that a host which neither proved that it is fenced nor
 * has reported since is stopped.
 */
import type { OperationPlan } from '../../core/failover/plan-operation.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Demoted } from './demote.ts';
import { stopAndObserve } from './fence-host.ts';
import type { WorkflowDeps } from './ports.ts';
import { closeOperation, emit, endHistory, readCluster, superseded } from './progress.ts';
import { need, WorkflowError } from './workflow-error.ts';

export interface FinishInput {
  readonly plan: OperationPlan;
  readonly target: NodeId;
  /** Of a failover; of a hand-over it is the old primary's own answer, which needs no settling. */
  readonly demoted: Partial<Demoted>;
}

export interface Finished {
  /** `given-back`: the hand-over failed, and the old primary is primary again. */
  readonly outcome: 'moved' | 'given-back';
  readonly primary: NodeId;
  readonly epoch: number;
  /** The old host: `unsettled` asks for a human. */
  readonly oldHost: 'down' | 'alive' | 'unsettled';
}

/** The fence was sent a while ago: its proof, or a report of the host, is awaited this long before EC2 is asked. */
const proofLimitMs = 5_000;
const instanceLimitMs = 150_000;
const askEveryMs = 500;

export async function finishOperation(deps: WorkflowDeps, input: FinishInput): Promise<Finished> {
  const { plan, target } = input;
  const store = deps.storeOf(plan.cluster);
  const { record, lease } = await readCluster(store);
  const outcome = plan.path === 'handover' && target === plan.from ? 'given-back' : 'moved';
  if (record.operation?.id === plan.operation) {
    if (lease.state !== 'held' || lease.holder !== target || lease.epoch <= plan.epoch)
      throw new WorkflowError(
        'TargetLostLease',
        `${target} does not hold the lease: ${lease.state}, epoch ${lease.epoch}`,
      );
    await close(deps, store, input, outcome);
  } else if (record.lastFailover?.operation === plan.operation) {
    // A retry: the record was closed, the history perhaps not.
    await endHistory(deps, store, {
      operation: plan.operation,
      status: 'succeeded',
      outcome: closingText(input),
    });
  } else if (outcome === 'moved' || record.operation !== null) {
    throw superseded(plan.operation);
  }
  const oldHost =
    plan.path === 'failover' && target !== plan.from ? await settle(deps, store, input) : 'alive';
  return { outcome, primary: target, epoch: lease.epoch, oldHost };
}

async function close(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: FinishInput,
  outcome: Finished['outcome'],
): Promise<void> {
  const { plan, target } = input;
  const moved: Partial<ClusterRecord> = {
    lastFailover: {
      operation: plan.operation,
      reason: plan.reason,
      time: deps.time(),
      from: plan.from,
      to: target,
    },
  };
  await closeOperation(deps, store, {
    operation: plan.operation,
    status: outcome === 'moved' ? 'succeeded' : 'aborted',
    outcome: closingText(input),
    epoch: plan.epoch,
    set: { intendedPrimary: target, ...(outcome === 'moved' ? moved : {}) },
  });
}

function closingText({ plan, target }: FinishInput): string {
  if (plan.path === 'handover' && target === plan.from)
    return `${plan.target} could not be promoted; ${target} is primary again`;
  return `${target} is primary after ${plan.from}`;
}

/** Down for certain, or alive and so aware of its lost lease; else it is stopped. */
async function settle(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: FinishInput,
): Promise<Finished['oldHost']> {
  const { plan, demoted } = input;
  const instanceId = demoted.instanceId ?? null;
  if (demoted.settled || instanceId === null) return demoted.settled ? 'down' : 'unsettled';
  const deadlineMs = deps.now() + proofLimitMs;
  while (deps.now() < deadlineMs) {
    if (await hasProof(deps, plan, instanceId, demoted.fenceCommand ?? null)) return 'down';
    if (await hasReported(store, plan.from, demoted)) return 'alive';
    await deps.sleep(askEveryMs);
  }
  const told = { epoch: plan.epoch, operation: plan.operation };
  await emit(deps, store, {
    ...told,
    kind: 'host_fencing_requested',
    message: `${plan.from} (${instanceId}) neither proved that it is fenced nor reported since: the instance is stopped`,
  });
  const down = await stopAndObserve(deps, instanceId, instanceLimitMs, async () => false);
  if (down)
    await emit(deps, store, {
      ...told,
      kind: 'host_fenced',
      message: `${plan.from} (${instanceId}) is stopped`,
    });
  else
    deps.log('error', 'the old host could not be seen stopped', { instance_id: instanceId, node: plan.from });
  return down ? 'down' : 'unsettled';
}

async function hasProof(
  deps: WorkflowDeps,
  plan: OperationPlan,
  instanceId: string,
  commandId: string | null,
): Promise<boolean> {
  if (commandId === null) return false;
  const outcome = await deps.hosts.fenceOutcome({ instanceId, commandId });
  return outcome.kind === 'ok' && outcome.value.kind === 'fenced' && outcome.value.epoch >= plan.epoch;
}

async function hasReported(store: ClusterStore, node: NodeId, demoted: Partial<Demoted>): Promise<boolean> {
  const reports = need(await store.readNodes());
  const report = reports.find((one) => one.node === node);
  if (report === undefined) return false;
  return report.incarnation !== demoted.incarnation || report.seq > (demoted.reportSeq ?? 0);
}
