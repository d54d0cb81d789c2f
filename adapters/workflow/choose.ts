/**
 * `ChoosingTarget`: who takes the lease next, and what follows once it has. Upholds that the decider only names a successor of a
 * lease that nobody holds, by compare-and-set on what it has read, and that a promoted node is never passed over: whoever
 * holds the lease in a later epoch is waited for until it has given it back or lost it.
 *
 * | path, round         | lease                                        | outcome                          |
 * |---------------------|----------------------------------------------|----------------------------------|
 * | any                 | held by the node that was named, later epoch | the same order again             |
 * | any                 | held by the old primary                      | LeaseStillHeld                   |
 * | any                 | free, a successor of this operation is named and was not tried | the same order again |
 * | handover            | released cleanly, or given back unpromoted   | first the target, then back to the old primary |
 * | handover            | anything else                                | HandoverBroken: go on as a failover |
 * | failover            | free, lost in a later epoch, or fenced before the standbys were asked | AnswersOutdated: ask the standbys |
 * | failover            | free                                         | the best by the standbys' answers |
 */
import { chooseFailoverTarget } from '../../core/failover/choose-candidate.ts';
import {
  type ActionOrder,
  type OperationPlan,
  promoteOrder,
  reconfigureOrders,
  standbysWereNotAsked,
} from '../../core/failover/plan-operation.ts';
import { sealAfterMs } from '../../core/lease/lease-clock.ts';
import { nameSuccessor } from '../../core/lease/lease-write.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease, NodeId } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import type { Action } from '../../core/model/operation.ts';
import type { OrderAnswer } from '../../core/wire/parse-operation-plan.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { armAction } from './order.ts';
import type { WorkflowDeps } from './ports.ts';
import { positionsOf, repointedNodes, silentNodes } from './positions.ts';
import { emit, readCurrent, superseded } from './progress.ts';
import { need, needOrRefused, WorkflowError } from './workflow-error.ts';

export interface ChooseInput {
  readonly plan: OperationPlan;
  readonly answers: readonly OrderAnswer[];
  /** Tried in this operation, and failed. */
  readonly excluded: readonly NodeId[];
  /** 1 for the first target. */
  readonly round: number;
}

export interface Chosen {
  readonly target: NodeId;
  readonly promote: ActionOrder;
  readonly after: readonly ActionOrder[];
}

interface Scene {
  readonly record: ClusterRecord;
  readonly lease: Lease;
  readonly reports: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
  readonly actions: readonly Action[];
}

interface Decision {
  readonly target: NodeId;
  readonly rule: string;
  readonly reason: string;
  /** The lease has no successor of this operation yet. */
  readonly name: boolean;
}

/** The lease moves while this looks at it: each loss is read anew, this often. */
const nameAttempts = 5;
const lookEveryMs = 100;
/** How long a failed target may take to give the lease back, beyond what its members need to seal it. */
const giveBackMs = 5_000;

export async function chooseTarget(deps: WorkflowDeps, input: ChooseInput): Promise<Chosen> {
  const { plan } = input;
  const store = deps.storeOf(plan.cluster);
  for (let attempt = 0; attempt < nameAttempts; attempt += 1) {
    const scene = await look(deps, store, input);
    const decision = decide(input, scene);
    const promote = orderFor(plan, scene, decision);
    if (!decision.name || (await name(deps, store, input, scene, decision, promote))) {
      return { target: decision.target, promote, after: afterwards(input, scene, promote) };
    }
  }
  throw new WorkflowError('StoreThrottled', 'the lease changed each time a successor was to be named');
}

/** What is known now. A failed target that still holds the lease is waited for: it gives it back, or its members seal it. */
async function look(deps: WorkflowDeps, store: ClusterStore, input: ChooseInput): Promise<Scene> {
  const read = async () => {
    const [head, nodes, proxies, operation] = await Promise.all([
      readCurrent(store, input.plan.operation),
      store.readNodes(),
      store.readProxies(),
      store.readOperation(input.plan.operation),
    ]);
    return { ...head, reports: need(nodes), proxies: need(proxies), actions: need(operation).actions };
  };
  let scene = await read();
  const deadlineMs = deps.now() + sealAfterMs(scene.lease.ttlMs) + giveBackMs;
  while (heldByFailed(scene.lease, input) && deps.now() < deadlineMs) {
    await deps.sleep(lookEveryMs);
    scene = await read();
  }
  return scene;
}

function heldByFailed(lease: Lease, input: ChooseInput): boolean {
  return lease.state === 'held' && lease.epoch > input.plan.epoch && input.excluded.includes(lease.holder);
}

function decide(input: ChooseInput, { record, lease, reports }: Scene): Decision {
  const { plan, excluded } = input;
  if (lease.state === 'held') {
    if (lease.epoch === plan.epoch)
      throw new WorkflowError(
        'LeaseStillHeld',
        `${lease.holder} still holds the lease of epoch ${lease.epoch}`,
      );
    return {
      target: lease.holder,
      rule: 'has-the-lease',
      reason: `${lease.holder} holds the lease`,
      name: false,
    };
  }
  if (lease.operation === plan.operation && lease.successor !== null && !excluded.includes(lease.successor)) {
    return { target: lease.successor, rule: 'is-named', reason: `${lease.successor} is named`, name: false };
  }
  if (plan.path === 'handover') return decideHandover(input, lease);
  if (lease.epoch > plan.epoch && !lease.neverPromoted) {
    // It was promoted in the meantime and lost: the standbys may have received more since they were asked.
    throw new WorkflowError('AnswersOutdated', `the lease of epoch ${lease.epoch} was lost in its turn`);
  }
  if (standbysWereNotAsked(plan, { record, lease }))
    throw new WorkflowError(
      'AnswersOutdated',
      `the standbys were left with ${plan.from} until it was fenced`,
    );
  const choice = chooseFailoverTarget({
    record,
    lease,
    reports,
    positions: positionsOf(input.answers),
    excluded,
    requested: plan.target,
    releasedAtLsn: lease.releasedAtLsn,
    acceptDataLoss: plan.acceptDataLoss,
  });
  if (choice.kind === 'none') throw new WorkflowError('NoCandidate', `${choice.rule}: ${choice.reason}`);
  return { target: choice.node, rule: choice.rule, reason: choice.reason, name: true };
}

/** After a clean stop the old primary has all there is, and so has a target that replayed past it. */
function decideHandover(input: ChooseInput, lease: Lease): Decision {
  const { plan, excluded } = input;
  const clean = lease.state === 'released' && lease.releasedAtLsn !== null;
  const unpromoted = lease.epoch === plan.epoch || lease.neverPromoted;
  if (clean && unpromoted) {
    if (plan.target !== null && !excluded.includes(plan.target))
      return {
        target: plan.target,
        rule: 'released-to-nobody',
        reason: `the lease was released cleanly`,
        name: true,
      };
    if (!excluded.includes(plan.from)) {
      const reason = `${excluded.join(', ')} failed without having been promoted: back to ${plan.from}`;
      return { target: plan.from, rule: 'give-back', reason, name: true };
    }
  }
  throw new WorkflowError(
    'HandoverBroken',
    `the lease is ${lease.state} at epoch ${lease.epoch}, tried: ${excluded.join(', ') || 'nobody'}`,
  );
}

/** The epoch that the order names: the lease's, before the target takes it. */
function epochOf(plan: OperationPlan, { lease }: Scene, decision: Decision): number {
  if (decision.name || lease.state !== 'held') return lease.epoch;
  return Math.max(plan.epoch, lease.epoch - 1);
}

/** An order to this node that has not failed is kept: it was armed before. Else it is a new one. */
function orderFor(plan: OperationPlan, scene: Scene, decision: Decision): ActionOrder {
  const { reports } = scene;
  const former = scene.actions.filter(
    ({ node, verb }) => node === decision.target && verb === 'acquire-and-promote',
  );
  const kept = former.findLast(({ result }) => result?.ok !== false);
  if (kept !== undefined) {
    const { epoch } = kept;
    return promoteOrder(plan, decision.target, { epoch, attempt: attemptOf(kept.action), reports });
  }
  const epoch = epochOf(plan, scene, decision);
  return promoteOrder(plan, decision.target, { epoch, attempt: former.length + 1, reports });
}

/** Names the successor and arms it at once; false when the lease has changed since it was read. */
async function name(
  deps: WorkflowDeps,
  store: ClusterStore,
  input: ChooseInput,
  scene: Scene,
  decision: Decision,
  promote: ActionOrder,
): Promise<boolean> {
  const { operation } = input.plan;
  const [named, current] = await Promise.all([
    store.writeLease(nameSuccessor(scene.lease, operation, decision.target)),
    store.updateRecord({ expect: { operation }, set: { failoverTargetPrimary: decision.target } }),
    armAction(store, operation, 'promoting_new_primary', promote),
  ]);
  if (needOrRefused(current) === null) throw superseded(operation);
  if (needOrRefused(named) === null) return false;
  await Promise.all([
    store.updateOperation(operation, { target: decision.target }),
    emit(deps, store, {
      kind: 'operation_step',
      message: `${decision.target} is named as successor: ${decision.reason}`,
      rule: decision.rule,
      operation,
      epoch: scene.lease.epoch,
    }),
    decision.rule === 'data-loss-accepted'
      ? emit(deps, store, {
          kind: 'data_loss_accepted',
          message: `${decision.target} is promoted by an operator's word: ${decision.reason}`,
          operation,
          epoch: scene.lease.epoch,
        })
      : null,
  ]);
  return true;
}

/** The number in `<verb>@<node>#<attempt>`. */
function attemptOf(action: string): number {
  return Number(action.slice(action.lastIndexOf('#') + 1));
}

function afterwards(input: ChooseInput, scene: Scene, promote: ActionOrder): readonly ActionOrder[] {
  const { plan, answers } = input;
  const target = promote.node;
  const dead = plan.path === 'failover' && target !== plan.from ? [plan.from] : [];
  return reconfigureOrders({
    target,
    epoch: promote.epoch,
    attempt: input.round + 1,
    members: scene.record.members,
    skip: [...dead, ...silentNodes(answers), ...repointedNodes(answers, target)],
    proxies: scene.record.proxies,
    reports: scene.reports,
    proxyReports: scene.proxies,
  });
}
