/**
 * Orders one action from one host: writes it where the agent finds it, asks Run Command to hurry, and hangs the task's token
 * on it for the agent to answer. Upholds that every way may be taken twice (a retry, an action that was armed before): the
 * action exists once, and a result that is already there is answered here, by the last token.
 */
import type { ActionOrder } from '../../core/failover/plan-operation.ts';
import { type Action, actionId } from '../../core/model/operation.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Step, WorkflowDeps } from './ports.ts';
import { markStep } from './progress.ts';
import { need, needOrRefused, WorkflowError } from './workflow-error.ts';

export interface OrderInput {
  readonly cluster: string;
  readonly operation: string;
  readonly step: Step;
  readonly order: ActionOrder;
  /** The token of the task that waits. */
  readonly token: string;
}

/** A state of its own: marks the step and orders. Returns what the history shows of it. */
export async function orderAction(
  deps: WorkflowDeps,
  input: OrderInput,
): Promise<{ readonly action: string }> {
  const store = deps.storeOf(input.cluster);
  const [commandId] = await Promise.all([
    placeOrder(deps, store, input.operation, input.step, input.order),
    markStep(deps, store, input.operation, input.step),
  ]);
  await awaitAnswer(deps, store, { ...input, commandId });
  return { action: idOf(input.order) };
}

export function idOf(order: ActionOrder): string {
  return actionId(order.verb, order.node, order.attempt);
}

/**
 * Makes the action known by both ways; harmless when it already was. The value is the command's id, null when only DynamoDB
 * tells the agent.
 */
export async function placeOrder(
  deps: WorkflowDeps,
  store: ClusterStore,
  operation: string,
  step: Step,
  order: ActionOrder,
): Promise<string | null> {
  const [, commandId] = await Promise.all([
    armAction(store, operation, step, order),
    runCommand(deps, operation, order),
  ]);
  return commandId;
}

/** Only the item in DynamoDB: agents find it within 100 ms. */
export async function armAction(
  store: ClusterStore,
  operation: string,
  step: Step,
  order: ActionOrder,
): Promise<void> {
  const action: Action = {
    operation,
    action: idOf(order),
    step,
    node: order.node,
    verb: order.verb,
    epoch: order.epoch,
    args: order.args,
    timeoutMs: order.timeoutMs,
    status: 'ordered',
    claimedBy: null,
    taskToken: null,
    commandId: null,
    result: null,
  };
  needOrRefused(await store.putAction(action));
}

async function runCommand(deps: WorkflowDeps, operation: string, order: ActionOrder): Promise<string | null> {
  if (order.instanceId === null) return null;
  const sent = await deps.hosts.runAction({ instanceId: order.instanceId, operation, action: idOf(order) });
  if (sent.kind === 'ok') return sent.value;
  // Agents read their actions from DynamoDB too: without Run Command it is only later.
  deps.log('warn', 'run command did not take an action', {
    action: idOf(order),
    operation,
    error_kind: sent.kind,
    detail: sent.message,
  });
  return null;
}

export interface Waiting {
  readonly operation: string;
  readonly order: ActionOrder;
  readonly token: string;
  readonly commandId: string | null;
}

/** From here on the agent answers the token; if it has finished before, it is answered now. */
export async function awaitAnswer(deps: WorkflowDeps, store: ClusterStore, waiting: Waiting): Promise<void> {
  const { operation, order, token, commandId } = waiting;
  const attached = needOrRefused(await store.attachTaskToken(operation, idOf(order), token, commandId));
  if (attached === null)
    throw new WorkflowError('ActionFailed', `action ${idOf(order)} of operation ${operation} has vanished`);
  const { result } = attached.value;
  if (result === null) return;
  need(
    result.ok
      ? await deps.tasks.succeed(token, result)
      : await deps.tasks.fail(token, result.error || 'ActionFailed', result),
  );
}
