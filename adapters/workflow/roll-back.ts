/**
 * The compensation across nodes: before an aborted hand-over is closed, what it prepared on other hosts is ordered back and
 * awaited for a moment. None of it is required: a host that does not answer does it by itself later, and must not keep the
 * operation open. Upholds O3, and that a repetition orders nothing twice.
 */
import type { OperationPlan } from '../../core/failover/plan-operation.ts';
import { preparations, rollBackOrders } from '../../core/failover/roll-back.ts';
import type { Action } from '../../core/model/operation.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { idOf, placeOrder } from './order.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit, markStep } from './progress.ts';
import { need, needOrRefused } from './workflow-error.ts';

/** So long the answers are awaited: a little longer than a host gives itself. */
const answerLimitMs = 6_000;
const lookEveryMs = 200;

/** Null when there was nothing to undo; else what became of it, for the operation's outcome. */
export async function rollBack(
  deps: WorkflowDeps,
  store: ClusterStore,
  plan: OperationPlan,
): Promise<string | null> {
  const { actions } = need(await store.readOperation(plan.operation));
  const begun: Action[] = [];
  for (const action of preparations(plan, actions)) {
    // One that nobody has begun is taken back instead: no agent can claim it any more.
    const taken = needOrRefused(await store.claimAction(plan.operation, action.action, deps.newId()));
    if (taken === null) begun.push(action);
  }
  const [nodes, proxies] = await Promise.all([store.readNodes(), store.readProxies()]);
  const orders = rollBackOrders(plan, begun, { actions, reports: need(nodes), proxies: need(proxies) });
  if (orders.length === 0) return null;
  // Without a target nothing holds a standby at it any more, ordered or not.
  await markStep(deps, store, plan.operation, 'reconfiguring_replicas', { failoverTargetPrimary: null });
  await Promise.all(
    orders.map((order) =>
      placeOrder(deps, store, { operation: plan.operation, step: 'reconfiguring_replicas', order }),
    ),
  );
  const answers = await awaitAnswers(deps, store, plan.operation, orders.map(idOf));
  const message = orders
    .map((order) => {
      const what =
        order.verb === 'follow' ? `${order.node} follows ${plan.from} again` : `${order.node} resumed`;
      const result = answers.get(idOf(order));
      if (result?.ok) return what;
      return `${order.node}, ordered to ${order.verb}, ${result ? `failed (${result.error})` : 'has not answered'}`;
    })
    .join('; ');
  await emit(deps, store, {
    kind: 'operation_rolled_back',
    message,
    operation: plan.operation,
    epoch: plan.epoch,
  });
  return message;
}

async function awaitAnswers(
  deps: WorkflowDeps,
  store: ClusterStore,
  operation: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, NonNullable<Action['result']>>> {
  const deadlineMs = deps.now() + answerLimitMs;
  for (;;) {
    const { actions } = need(await store.readOperation(operation));
    const answered = actions.flatMap(({ action, result }): [string, NonNullable<Action['result']>][] =>
      result !== null && ids.includes(action) ? [[action, result]] : [],
    );
    if (answered.length === ids.length || deps.now() >= deadlineMs) return new Map(answered);
    await deps.sleep(lookEveryMs);
  }
}
