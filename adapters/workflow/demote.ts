/**
 * `DemotingOldPrimary`. A hand-over: the target is armed to take the lease, then the old primary is ordered to stop and to release
 * it; from then on the two pass the baton by themselves, and the old primary's answer ends this state. A failover: makes sure
 * that the lease is not held, and has the old host fenced without waiting for it where the lease is free already.
 */
import { type OperationPlan, promoteOrder, releaseOrder } from '../../core/failover/plan-operation.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import type { OrderAnswer } from '../../core/wire/parse-operation-plan.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { fenceHolder, sendFence } from './fence-host.ts';
import { awaitAnswer, idOf, placeOrder } from './order.ts';
import type { WorkflowDeps } from './ports.ts';
import { markStep, readCurrent } from './progress.ts';
import { need, WorkflowError } from './workflow-error.ts';

export interface DemoteInput {
  readonly plan: OperationPlan;
  readonly answers: readonly OrderAnswer[];
  readonly token: string;
}

/** What the end of a failover needs to know of the old host; plain JSON. */
export interface Demoted {
  readonly instanceId: string | null;
  /** The fence that was sent without waiting. */
  readonly fenceCommand: string | null;
  /** The host's own report at that time: a later one shows that it lives, and knows that it lost the lease. */
  readonly incarnation: string | null;
  readonly reportSeq: number | null;
  /** The old host is known to be down or to have let go by itself. */
  readonly settled: boolean;
}

export async function demoteOldPrimary(deps: WorkflowDeps, input: DemoteInput): Promise<void> {
  const store = deps.storeOf(input.plan.cluster);
  if (input.plan.path === 'handover') return await handOver(deps, store, input);
  const [{ lease }, nodes] = await Promise.all([
    readCurrent(store, input.plan.operation),
    store.readNodes(),
    markStep(deps, store, input.plan.operation, 'demoting_old_primary'),
  ]);
  const demoted = await loosen(deps, store, input.plan, lease, need(nodes));
  need(await deps.tasks.succeed(input.token, demoted));
}

async function handOver(deps: WorkflowDeps, store: ClusterStore, input: DemoteInput): Promise<void> {
  const { plan } = input;
  if (plan.target === null) throw new WorkflowError('HandoverBroken', 'a hand-over needs a target');
  const [nodes] = await Promise.all([
    store.readNodes(),
    markStep(deps, store, plan.operation, 'demoting_old_primary'),
  ]);
  const reports = need(nodes);
  const promote = promoteOrder(plan, plan.target, { epoch: plan.epoch, attempt: 1, reports });
  const proxies = input.answers
    .filter(({ order, ok }) => ok && order.verb === 'pause')
    .map(({ order }) => order.node);
  const release = releaseOrder(plan, plan.target, { proxies, armed: [idOf(promote)] }, reports);
  const { operation } = plan;
  const promoteArmed = Promise.withResolvers<void>();
  await Promise.all([
    placeOrder(deps, store, { operation, step: 'promoting_new_primary', order: promote }, async () =>
      promoteArmed.resolve(),
    ),
    placeOrder(deps, store, { operation, step: 'demoting_old_primary', order: release }, async () => {
      // Not before both are there: a token that hangs on half a hand-over could outlive the retry's.
      await promoteArmed.promise;
      await awaitAnswer(deps, store, { operation, order: release, token: input.token });
    }),
  ]);
}

async function loosen(
  deps: WorkflowDeps,
  store: ClusterStore,
  plan: OperationPlan,
  lease: Lease,
  reports: readonly NodeReport[],
): Promise<Demoted> {
  const report = reports.find(({ node }) => node === plan.from) ?? null;
  const host = {
    instanceId: report?.instanceId ?? null,
    fenceCommand: null,
    incarnation: report?.incarnation ?? null,
    reportSeq: report?.seq ?? null,
  };
  if (lease.state === 'held' && lease.epoch === plan.epoch) {
    const { operation, from, epoch } = plan;
    await fenceHolder(deps, store, { operation, node: from, epoch, instanceId: host.instanceId });
    return { ...host, settled: true };
  }
  // Released: by itself, PostgreSQL stopped. Fenced: there was proof. A later epoch: this state ran before.
  if (lease.state !== 'sealed' || lease.epoch !== plan.epoch || host.instanceId === null)
    return { ...host, settled: lease.state !== 'sealed' };
  const fenceCommand = await sendFence(deps, host.instanceId, lease.epoch);
  return { ...host, fenceCommand, settled: false };
}
