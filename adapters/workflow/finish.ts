/**
 * `Stable`: closes an operation that has a new primary, then settles what became of the old host of a failover. Upholds that an
 * operation counts as done only while its target holds the lease, and that a host which neither proved that it is fenced nor
 * has reported since is stopped, or isolated.
 */
import {
  type FenceEvidence,
  type FenceVerdict,
  judgeFence,
  noFenceEvidence,
} from '../../core/failover/fence-proof.ts';
import type { OperationPlan } from '../../core/failover/plan-operation.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Demoted } from './demote.ts';
import { askFence, observeStop } from './fence-host.ts';
import { fenceInstance } from './fence-instance.ts';
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
  /** The old host: `isolated` is left for whoever wants to look at it, `unsettled` asks for a human. */
  readonly oldHost: 'down' | 'alive' | 'isolated' | 'unsettled';
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
    cluster: plan.cluster,
    operation: plan.operation,
    status: outcome === 'moved' ? 'succeeded' : 'aborted',
    outcome: closingText(input),
    epoch: plan.epoch,
    ...(outcome === 'moved' ? {} : { errorClass: 'GivenBack', rolledBack: true }),
    set: { intendedPrimary: target, ...(outcome === 'moved' ? moved : {}) },
  });
}

function closingText({ plan, target }: FinishInput): string {
  if (plan.path === 'handover' && target === plan.from)
    return `${plan.target} could not be promoted; ${target} is primary again`;
  return `${target} is primary after ${plan.from}`;
}

/** Down for certain, or alive and so aware of its lost lease; else EC2 stops or isolates it. */
async function settle(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: FinishInput,
): Promise<Finished['oldHost']> {
  const { plan, demoted } = input;
  const instanceId = demoted.instanceId ?? null;
  if (demoted.settled || instanceId === null) return demoted.settled ? 'down' : 'unsettled';
  const deadlineMs = deps.now() + proofLimitMs;
  let verdict = await lookAtOldHost(deps, store, input, instanceId);
  while (verdict.proof === 'none' && deps.now() < deadlineMs) {
    await deps.sleep(askEveryMs);
    verdict = await lookAtOldHost(deps, store, input, instanceId);
  }
  const told = { epoch: plan.epoch, operation: plan.operation };
  if (verdict.proof !== 'none') {
    deps.log('info', 'the old host is settled', { ...told, node: plan.from, rule: verdict.rule });
    return verdict.proof === 'down' ? 'down' : 'alive';
  }
  const { record } = await readCluster(store);
  const choice = record.spec.fencing;
  const fenced = await fenceInstance(deps, store, {
    ...told,
    node: plan.from,
    instanceId,
    choice,
    because: verdict,
  });
  if (fenced === 'isolated') return 'isolated';
  if (fenced === 'newer') return 'alive';
  const stopped =
    choice.mode === 'isolate' ? verdict : await observeStop(deps, instanceId, plan.epoch, instanceLimitMs);
  if (stopped.proof === 'down')
    await emit(deps, store, {
      ...told,
      kind: 'host_fenced',
      message: `${plan.from} (${instanceId}): ${stopped.reason}`,
      rule: stopped.rule,
    });
  else
    deps.log('error', 'the old host could not be fenced through EC2', {
      instance_id: instanceId,
      node: plan.from,
    });
  return stopped.proof === 'down' ? 'down' : 'unsettled';
}

/** The lease is another's by now, so that a sign of life is enough: `leaseMoved` is left out, for it says nothing of the host. */
async function lookAtOldHost(
  deps: WorkflowDeps,
  store: ClusterStore,
  { plan, demoted }: FinishInput,
  instanceId: string,
): Promise<FenceVerdict> {
  const commandId = demoted.fenceCommand ?? null;
  const [command, nodes] = await Promise.all([
    commandId === null ? null : askFence(deps, { instanceId, commandId }),
    store.readNodes(),
  ]);
  const report = need(nodes).find(({ node }) => node === plan.from);
  return judgeFence({
    epoch: plan.epoch,
    ...noFenceEvidence,
    ...(command === null ? {} : { command }),
    reported: reportedSince(report, demoted),
    foundStopped: report?.postgres === 'stopped',
  });
}

function reportedSince(report: NodeReport | undefined, demoted: Partial<Demoted>): FenceEvidence['reported'] {
  if (report === undefined) return 'nothing';
  if (report.incarnation !== demoted.incarnation) return 'as-another-incarnation';
  return report.seq > (demoted.reportSeq ?? 0) ? 'again' : 'nothing';
}
