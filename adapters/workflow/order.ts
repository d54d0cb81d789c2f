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

/**
 * A state of its own: marks the step and orders. Returns what the history shows of it. The agent may answer the token as soon as the
 * step is marked; that Run Command takes a second to accept the command delays nobody.
 */
export async function orderAction(
  deps: WorkflowDeps,
  { cluster, operation, step, order, token }: OrderInput,
): Promise<{ readonly action: string }> {
  const store = deps.storeOf(cluster);
  const marked = markStep(deps, store, operation, step);
  const answerable = async (): Promise<void> => {
    await marked;
    await awaitAnswer(deps, store, { operation, order, token });
  };
  await Promise.all([marked, placeOrder(deps, store, { operation, step, order }, answerable)]);
  return { action: idOf(order) };
}

export function idOf(order: ActionOrder): string {
  return actionId(order.verb, order.node, order.attempt);
}

/** An order as part of an operation. */
export interface Placed {
  readonly operation: string;
  readonly step: Step;
  readonly order: ActionOrder;
}

/** Makes the action known by both ways; harmless when it already was. `armed` follows once agents can find it in DynamoDB. */
export async function placeOrder(
  deps: WorkflowDeps,
  store: ClusterStore,
  { operation, step, order }: Placed,
  armed: () => Promise<void> = async () => undefined,
): Promise<void> {
  const [, commandId] = await Promise.all([
    armAction(store, operation, step, order).then(armed),
    runCommand(deps, operation, order),
  ]);
  if (commandId === null) return;
  const noted = await store.noteCommand(operation, idOf(order), commandId);
  if (noted.kind !== 'ok')
    deps.log('warn', 'the command of an action is missing in the history', {
      action: idOf(order),
      operation,
      error_kind: noted.kind,
    });
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

/** The command's id; null when only DynamoDB tells the agent. */
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
}

/** From here on the agent answers the token; if it has finished before, it is answered now. */
export async function awaitAnswer(deps: WorkflowDeps, store: ClusterStore, waiting: Waiting): Promise<void> {
  const { operation, order, token } = waiting;
  const attached = needOrRefused(await store.attachTaskToken(operation, idOf(order), token));
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
