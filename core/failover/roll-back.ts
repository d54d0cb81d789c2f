/**
 * What an aborted hand-over orders back: the standbys that went over to the target beforehand return to the primary that
 * stays, and the proxies that armed themselves, and may have paused, let clients through again. Upholds that an operation
 * which changes nothing leaves nothing changed, on any node (invariant O3). Agents would do all of it by themselves once the
 * operation is closed; as orders it is done before, and the history shows it.
 */
import type { NodeId } from '../model/lease.ts';
import type { NodeReport, ProxyReport } from '../model/node-report.ts';
import type { Action } from '../model/operation.ts';
import { type ActionOrder, type OperationPlan, order, proxyOrder } from './plan-operation.ts';

export interface RollBackScene {
  /** All of the operation, as they are now. */
  readonly actions: readonly Action[];
  readonly reports: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
}

const followBackMs = 5_000;
const resumeMs = 5_000;

/** What this operation has prepared on other hosts; their agents took it up, whether they have answered or not. */
export function preparations(plan: OperationPlan, actions: readonly Action[]): readonly Action[] {
  return actions.filter(
    ({ verb, args }) => (verb === 'follow' && args.node === plan.target) || verb === 'pause',
  );
}

/** The orders that undo `prepared`. Asked again, the same orders: a compensation may be run twice. */
export function rollBackOrders(
  plan: OperationPlan,
  prepared: readonly Action[],
  scene: RollBackScene,
): readonly ActionOrder[] {
  const at = { epoch: plan.epoch, reports: scene.reports };
  const follows = nodesOf(prepared, 'follow').map((node) => ({
    ...order(node, 'follow', { node: plan.from }, at, followBackMs),
    attempt: attemptFor(scene.actions, node, 'follow', plan.from),
  }));
  const resumes = nodesOf(prepared, 'pause').map((node) => ({
    ...proxyOrder(node, 'resume', plan.epoch, scene.proxies, resumeMs),
    attempt: attemptFor(scene.actions, node, 'resume', undefined),
  }));
  return [...follows, ...resumes];
}

function nodesOf(prepared: readonly Action[], verb: Action['verb']): readonly NodeId[] {
  return [...new Set(prepared.filter((one) => one.verb === verb).map(({ node }) => node))];
}

/** Of an order that was given before, its own number; else the next. */
function attemptFor(
  actions: readonly Action[],
  node: NodeId,
  verb: Action['verb'],
  towards: NodeId | undefined,
): number {
  const former = actions.filter((one) => one.node === node && one.verb === verb);
  const given = former.find(({ args }) => args.node === towards);
  if (given === undefined) return former.length + 1;
  return Number(given.action.slice(given.action.lastIndexOf('#') + 1));
}
