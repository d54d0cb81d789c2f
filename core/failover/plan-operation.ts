/**
 * Plans one operation from what was read at its beginning: by which path, to whom, which hosts are ordered what and how
 * long each may take. Upholds that nothing is ordered for a target that is unfit, and that a request for a switchover never
 * becomes a failover.
 *
 * | lease                   | asked for          | path     |
 * |-------------------------|--------------------|----------|
 * | held, the holder lives  | any                | handover (with kind `failover` it goes on as a failover when that fails) |
 * | held, the holder silent | failover, or open  | failover |
 * | not held                | failover, or open  | failover |
 * | held silently, not held | switchover         | refused  |
 * | another epoch's         | in a former epoch  | refused  |
 */
import type { ClusterRecord, OperationKind } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';
import type { NodeReport, ProxyReport } from '../model/node-report.ts';
import type { ActionArguments, ActionVerb, OperationRequest } from '../model/operation.ts';
import { chooseSwitchoverTarget } from './choose-candidate.ts';

/** One action that the workflow will order. */
export interface ActionOrder {
  readonly node: NodeId;
  /** Where Run Command reaches the node; null: unknown, the agent finds the action in DynamoDB. */
  readonly instanceId: string | null;
  readonly verb: ActionVerb;
  readonly args: ActionArguments;
  /** The lease's epoch when it was planned. */
  readonly epoch: number;
  /** Distinguishes repeated orders of one verb to one node within an operation. */
  readonly attempt: number;
  /** The operation does not go on without it. */
  readonly required: boolean;
  /** Counted on the host. */
  readonly timeoutMs: number;
  /** How long the state machine waits for the answer. */
  readonly timeoutSeconds: number;
}

export type OperationPath = 'handover' | 'failover';

export interface OperationSettings {
  /** How long the state machine waits for the old primary's stop and release. */
  readonly handoverSeconds: number;
  /** How long it waits for the old host to be fenced. */
  readonly fenceSeconds: number;
  /** So many targets are tried. */
  readonly rounds: number;
  readonly replans: number;
  readonly ttlMs: number;
}

/** What `begin` hands to the other states, as it travels through the state machine (plain JSON). */
export interface OperationPlan {
  readonly cluster: string;
  readonly operation: string;
  readonly kind: OperationKind;
  readonly path: OperationPath;
  readonly reason: string;
  readonly from: NodeId;
  /** Null: chosen later, by the answers of the standbys. */
  readonly target: NodeId | null;
  /** By an operator, for a failover: see `--accept-data-loss`. */
  readonly acceptDataLoss: boolean;
  readonly epoch: number;
  readonly attempt: number;
  readonly catchup: readonly ActionOrder[];
  /** How often a hand-over, or a failover whose new primary was lost, has been planned anew. */
  readonly replans: number;
  readonly settings: OperationSettings;
}

export type PlanRefusal = 'ClusterNotReady' | 'UnknownTarget' | 'TargetNotEligible' | 'NoCandidate';

export type Planned =
  | { readonly kind: 'plan'; readonly plan: OperationPlan }
  | { readonly kind: 'refused'; readonly error: PlanRefusal; readonly message: string };

export interface PlanView {
  readonly request: OperationRequest;
  readonly record: ClusterRecord;
  readonly lease: Lease;
  /** The lease is held, and was watched without a renewal for as long as a member would watch before it seals. */
  readonly silent: boolean;
  readonly reports: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
  readonly operation: string;
  readonly attempt: number;
}

/** A hand-over begins when the target's replay is this close: what is left is replayed while clients wait. */
export const handoverLagBytes = 1024 * 1024;
const handoverMs = 25_000;
/** In a hand-over the target is armed first, and waits for as long as the old primary's stop may take. */
/** Nobody is writable while a plan made anew asks: a standby that does not answer within this is done without. */
const anewAnswerMs = 5_000;
const promoteMs = { handover: 60_000, failover: 30_000 } as const;
const fenceSeconds = 330;
const rounds = 3;
/** A hand-over that breaks takes two: one to fence a primary that still serves, one to ask the standbys after that. */
const replans = 3;
/** So much longer than the host the state machine waits, for the way there and back. */
const answerMarginMs = 1_000;

export function operationId(record: Pick<ClusterRecord, 'uid'>, epoch: number, attempt: number): string {
  return `${record.uid}-e${epoch}-a${attempt}`;
}

/** The name of an execution: the same request never starts twice. */
export function executionName(
  record: Pick<ClusterRecord, 'cluster' | 'uid'>,
  epoch: number,
  attempt: number,
): string {
  return `${record.cluster}-${operationId(record, epoch, attempt)}`;
}

/** The plan of an operation, or why there is none. */
export function planOperation(view: PlanView): Planned {
  const { request, record, lease } = view;
  if (record.systemIdentifier === null || record.epochs.length === 0) {
    return refused('ClusterNotReady', `cluster ${record.cluster} has not been bootstrapped yet`);
  }
  if (request.epoch !== null && request.epoch !== lease.epoch) {
    // It was sent for a primary that is no more: the one there is now is well, or has its own request.
    return refused(
      'ClusterNotReady',
      `it was asked for in epoch ${request.epoch}, and the lease is at epoch ${lease.epoch} by now`,
    );
  }
  const { target } = request;
  if (target !== null && !record.members.includes(target)) {
    const known = record.members.join(', ');
    return refused(
      'UnknownTarget',
      `${target} is not a member of ${record.cluster}; its members are ${known}`,
    );
  }
  if (lease.state === 'held' && !view.silent) return planHandover(view);
  if (request.kind === 'switchover') {
    const how = lease.state === 'held' ? `held by ${lease.holder}, which is silent` : lease.state;
    return refused(
      'ClusterNotReady',
      `the lease is ${how}: there is no primary that could hand over; ask for a failover`,
    );
  }
  return {
    kind: 'plan',
    plan: { ...common(view), kind: 'failover', path: 'failover', target, catchup: failoverCatchup(view) },
  };
}

/** What a plan needs to know of the cluster. */
export type PlanScene = Pick<PlanView, 'record' | 'lease' | 'reports' | 'proxies'>;

/**
 * The same operation, going on as a failover from the lease as it is now: after a hand-over that broke, or when the node that had
 * been promoted was lost in its turn, so that the standbys must be asked again. A primary that still holds the lease may serve: the
 * standbys stay with it until it is fenced, because what it acknowledges without them would be lost.
 */
export function planFailoverAnew(plan: OperationPlan, scene: PlanScene): OperationPlan {
  const { lease } = scene;
  const replans = plan.replans + 1;
  const catchup = lease.state === 'held' ? pauses(scene) : failoverCatchup(scene, anewAnswerMs);
  return {
    ...plan,
    path: 'failover',
    from: lease.neverPromoted ? plan.from : lease.holder,
    target: null,
    epoch: lease.epoch,
    // New orders, not the old ones: their answers are of another time.
    catchup: catchup.map((order) => ({ ...order, attempt: replans + 1 })),
    replans,
  };
}

/** The order to take the lease and promote: the same for a hand-over, a failover and giving back. */
export function promoteOrder(
  plan: Pick<OperationPlan, 'path'>,
  node: NodeId,
  at: { readonly epoch: number; readonly attempt: number; readonly reports: readonly NodeReport[] },
): ActionOrder {
  const promote = order(node, 'acquire-and-promote', {}, at, promoteMs[plan.path]);
  return { ...promote, required: true, attempt: at.attempt };
}

/** The order to the old primary of a hand-over. `armed`: the actions that must have been taken up before it stops. */
export function releaseOrder(
  plan: OperationPlan,
  target: NodeId,
  waits: { readonly proxies: readonly NodeId[]; readonly armed: readonly string[] },
  reports: readonly NodeReport[],
): ActionOrder {
  const args = { node: target, proxies: waits.proxies, armed: waits.armed };
  return {
    ...order(plan.from, 'stop-and-release', args, { epoch: plan.epoch, reports }, handoverMs),
    required: true,
  };
}

export interface AfterView {
  readonly target: NodeId;
  readonly epoch: number;
  readonly attempt: number;
  readonly members: readonly NodeId[];
  /** Not asked: they do not answer, or already follow the target. */
  readonly skip: readonly NodeId[];
  readonly proxies: readonly NodeId[];
  readonly reports: readonly NodeReport[];
  readonly proxyReports: readonly ProxyReport[];
}

/** What is ordered once the target is primary. Agents do all of it by themselves too: none is required. */
export function reconfigureOrders(view: AfterView): readonly ActionOrder[] {
  const followers = view.members.filter((node) => node !== view.target && !view.skip.includes(node));
  return [
    ...followers.map((node) => order(node, 'follow', { node: view.target }, view, 15_000)),
    ...view.proxies.map((node) => proxyOrder(node, 'resume', view.epoch, view.proxyReports, 5_000)),
  ].map((one) => ({ ...one, attempt: view.attempt }));
}

function planHandover(view: PlanView): Planned {
  const { request, record, lease, reports } = view;
  const choice = chooseSwitchoverTarget({ record, lease, reports, requested: request.target });
  if (choice.kind === 'none') {
    if (request.target === null) return refused('NoCandidate', `no standby can take over: ${choice.reason}`);
    return refused('TargetNotEligible', `${request.target} cannot take over: ${choice.reason}`);
  }
  const plan: OperationPlan = {
    ...common(view),
    kind: request.kind ?? 'switchover',
    path: 'handover',
    target: choice.node,
    catchup: handoverCatchup(view, choice.node),
  };
  return { kind: 'plan', plan };
}

function common(view: PlanView): Omit<OperationPlan, 'kind' | 'path' | 'target' | 'catchup'> {
  return {
    cluster: view.record.cluster,
    operation: view.operation,
    reason: view.request.reason,
    from: view.lease.holder,
    acceptDataLoss: view.request.acceptDataLoss,
    epoch: view.lease.epoch,
    attempt: view.attempt,
    replans: 0,
    settings: {
      handoverSeconds: seconds(handoverMs) + 5,
      fenceSeconds,
      rounds,
      replans,
      ttlMs: view.lease.ttlMs,
    },
  };
}

function handoverCatchup(view: PlanView, target: NodeId): readonly ActionOrder[] {
  const { record, lease, reports } = view;
  const at = { epoch: lease.epoch, reports };
  const limitMs = record.spec.catchUpTimeoutMs;
  const maxLagBytes = Math.min(record.spec.maxLagBytes, handoverLagBytes);
  return [
    { ...order(lease.holder, 'checkpoint', {}, at, limitMs), required: true },
    { ...order(target, 'await-catchup', { node: lease.holder, maxLagBytes }, at, limitMs), required: true },
    ...spared(view, target).map((node) => order(node, 'follow', { node: target }, at, 5_000)),
    ...record.proxies.map((node) => proxyOrder(node, 'pause', lease.epoch, view.proxies, 5_000)),
  ];
}

/**
 * The standbys that may leave the primary for the target beforehand, so that nothing waits for them later: all that stream, but
 * of the synchronous names only as many as its quorum can spare.
 */
function spared(view: PlanView, target: NodeId): readonly NodeId[] {
  const { mode, k, names, next } = view.lease.sync;
  const streaming = (node: NodeId) => view.reports.some((report) => report.node === node && report.streaming);
  const others = view.record.members.filter(
    (node) => node !== target && node !== view.lease.holder && streaming(node),
  );
  if (mode === 'off' || k === 0) return others;
  // While the names change both sets count: nobody who is in one of them is moved.
  if (next !== null) return others.filter((node) => !names.includes(node) && !next.names.includes(node));
  const synchronous = others.filter((node) => names.includes(node));
  const staying = synchronous.length + (names.includes(target) && streaming(target) ? 1 : 0);
  const spare = Math.max(0, staying - k);
  const leaving = synchronous.slice(0, spare);
  return others.filter((node) => !names.includes(node) || leaving.includes(node));
}

/** Every standby is asked; the slowest answer delays the failover, so the limit is short. */
function failoverCatchup(scene: PlanScene, mostMs = Number.POSITIVE_INFINITY): readonly ActionOrder[] {
  const { lease, reports } = scene;
  const limitMs = Math.min(Math.max(2_000, lease.ttlMs), mostMs);
  const at = { epoch: lease.epoch, reports };
  return [...standbysOf(scene).map((node) => order(node, 'end-receiver', {}, at, limitMs)), ...pauses(scene)];
}

function pauses({ record, lease, proxies }: PlanScene): readonly ActionOrder[] {
  return record.proxies.map((node) => proxyOrder(node, 'pause', lease.epoch, proxies, 2_000));
}

function standbysOf({ record, lease }: Pick<PlanScene, 'record' | 'lease'>): readonly NodeId[] {
  return record.members.filter((node) => node !== lease.holder || lease.neverPromoted);
}

/** The plan asked no standby how far it is, and there are some: it was made while the old primary still served. */
export function standbysWereNotAsked(
  plan: Pick<OperationPlan, 'catchup'>,
  at: Pick<PlanScene, 'record' | 'lease'>,
): boolean {
  return standbysOf(at).length > 0 && !plan.catchup.some(({ verb }) => verb === 'end-receiver');
}

/** One order to a database node, first of its kind in its operation. */
export function order(
  node: NodeId,
  verb: ActionVerb,
  args: ActionArguments,
  at: { readonly epoch: number; readonly reports: readonly NodeReport[] },
  timeoutMs: number,
): ActionOrder {
  return {
    node,
    instanceId: at.reports.find((report) => report.node === node)?.instanceId ?? null,
    verb,
    args,
    epoch: at.epoch,
    attempt: 1,
    required: false,
    timeoutMs,
    timeoutSeconds: seconds(timeoutMs + answerMarginMs),
  };
}

/** The same to a proxy. */
export function proxyOrder(
  node: NodeId,
  verb: ActionVerb,
  epoch: number,
  reports: readonly ProxyReport[],
  timeoutMs: number,
): ActionOrder {
  const instanceId = reports.find((report) => report.proxy === node)?.instanceId ?? null;
  return { ...order(node, verb, {}, { epoch, reports: [] }, timeoutMs), instanceId };
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000);
}

function refused(error: PlanRefusal, message: string): Planned {
  return { kind: 'refused', error, message };
}
