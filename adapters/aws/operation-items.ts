/**
 * Operations and their actions in DynamoDB: the header of an operation and each of its actions are items of one partition,
 * side by side, so that one query reads an operation whole. Upholds that an action is claimed once and finished only by who claimed it.
 */
import type { Action, ActionResult, Operation, OperationStep } from '../../core/model/operation.ts';
import { actionToItem, parseAction } from '../../core/wire/parse-action.ts';
import { operationStepToItem, operationToItem, parseOperation } from '../../core/wire/parse-operation.ts';
import { createExpression } from './expression.ts';
import type { ItemCalls } from './item-calls.ts';
import { type Answer, type CallOptions, type Conditional, ok } from './store-answer.ts';

export interface OperationAndActions {
  readonly operation: Operation | null;
  readonly actions: readonly Action[];
}

export interface ClaimOptions extends CallOptions {
  /** Also an action that another incarnation of the same node had claimed, before it died. */
  readonly reclaim?: boolean;
}

export interface OperationStore {
  /** Only if there is none of that id. */
  putOperation(operation: Operation, o?: CallOptions): Promise<Conditional<Operation>>;
  updateOperation(id: string, set: Partial<Operation>, o?: CallOptions): Promise<Conditional<Operation>>;
  /** Appends a step, once: refused when the operation has that step already, or is unknown. */
  addOperationStep(id: string, step: OperationStep, o?: CallOptions): Promise<Conditional<Operation>>;
  /** The header and all actions, in one query; actions by their id. */
  readOperation(id: string, o?: CallOptions): Promise<Answer<OperationAndActions>>;
  /** Newest first, by the time of their start. */
  listOperations(limit: number, o?: CallOptions): Promise<Answer<readonly Operation[]>>;
  /** Only if there is none of that id. */
  putAction(action: Action, o?: CallOptions): Promise<Conditional<Action>>;
  /** The answer shows a result that is already there: then nobody else will send the token back. */
  attachTaskToken(
    operation: string,
    action: string,
    token: string,
    o?: CallOptions,
  ): Promise<Conditional<Action>>;
  /** By which Run Command it was ordered too, for whoever looks for its output. */
  noteCommand(
    operation: string,
    action: string,
    commandId: string,
    o?: CallOptions,
  ): Promise<Conditional<Action>>;
  claimAction(
    operation: string,
    action: string,
    incarnation: string,
    o?: ClaimOptions,
  ): Promise<Conditional<Action>>;
  /** Only by its claimant, while it is under way. */
  markPrepared(
    operation: string,
    action: string,
    incarnation: string,
    o?: CallOptions,
  ): Promise<Conditional<Action>>;
  /** Only by its claimant. The answer shows the task token that is to be answered. */
  finishAction(
    operation: string,
    action: string,
    incarnation: string,
    result: ActionResult,
    o?: CallOptions,
  ): Promise<Conditional<Action>>;
}

export function createOperationStore(calls: ItemCalls, cluster: string): OperationStore {
  const pk = `cluster#${cluster}#operations`;
  return { ...headerCalls(calls, pk), ...actionCalls(calls, pk) };
}

function headerCalls(calls: ItemCalls, pk: string) {
  return {
    async putOperation(operation: Operation, o?: CallOptions): Promise<Conditional<Operation>> {
      const item = { ...operationToItem(operation), pk, sk: operation.id };
      return mapOk(
        await calls.put(item, { ConditionExpression: 'attribute_not_exists(pk)' }, o),
        () => operation,
      );
    },
    async updateOperation(
      id: string,
      set: Partial<Operation>,
      o?: CallOptions,
    ): Promise<Conditional<Operation>> {
      const expression = createExpression();
      const input = {
        UpdateExpression: expression.set(operationToItem(set)),
        ConditionExpression: `attribute_exists(${expression.name('pk')})`,
        ...expression.parameters(),
      };
      return mapOk(await calls.update({ pk, sk: id }, input, o), parseOperation);
    },
    async addOperationStep(
      id: string,
      step: OperationStep,
      o?: CallOptions,
    ): Promise<Conditional<Operation>> {
      const expression = createExpression();
      const append = (attribute: string, value: unknown) => {
        const name = expression.name(attribute);
        return `${name} = list_append(${name}, ${expression.value([value])})`;
      };
      const steps = [append('steps', operationStepToItem(step)), append('step_names', step.step)];
      const input = {
        UpdateExpression: expression.set({}, steps),
        ConditionExpression: [
          `attribute_exists(${expression.name('pk')})`,
          `NOT contains(${expression.name('step_names')}, ${expression.value(step.step)})`,
        ].join(' AND '),
        ...expression.parameters(),
      };
      return mapOk(await calls.update({ pk, sk: id }, input, o), parseOperation);
    },
    async readOperation(id: string, o: CallOptions = {}): Promise<Answer<OperationAndActions>> {
      // '$' follows '#': the header, and everything that begins with its id and '#', but no other operation's.
      const input = {
        KeyConditionExpression: 'pk = :pk AND sk BETWEEN :first AND :last',
        ExpressionAttributeValues: { ':pk': pk, ':first': id, ':last': `${id}$` },
      };
      return mapOk(await calls.query(input, o), (items) => {
        const header = items.find((item) => item['sk'] === id);
        const actions = items.filter((item) => item !== header).map(parseAction);
        return { operation: header === undefined ? null : parseOperation(header), actions };
      });
    },
    async listOperations(limit: number, o: CallOptions = {}): Promise<Answer<readonly Operation[]>> {
      const input = {
        KeyConditionExpression: 'pk = :pk',
        FilterExpression: 'attribute_exists(step_names)',
        ExpressionAttributeValues: { ':pk': pk },
      };
      const newest = (a: Operation, b: Operation) =>
        compareText(b.startedAt, a.startedAt) || compareText(b.id, a.id);
      return mapOk(await calls.query(input, o), (items) =>
        items.map(parseOperation).sort(newest).slice(0, limit),
      );
    },
  };
}

function actionCalls(calls: ItemCalls, pk: string) {
  const keyOf = (operation: string, action: string) => ({ pk, sk: `${operation}#${action}` });
  /** Of an action that exists, whatever its status. */
  const change = async (
    operation: string,
    action: string,
    set: Partial<Action>,
    o?: CallOptions,
  ): Promise<Conditional<Action>> => {
    const expression = createExpression();
    const input = {
      UpdateExpression: expression.set(actionToItem(set)),
      ConditionExpression: `attribute_exists(${expression.name('pk')})`,
      ...expression.parameters(),
    };
    return mapOk(await calls.update(keyOf(operation, action), input, o), parseAction);
  };
  return {
    async putAction(action: Action, o?: CallOptions): Promise<Conditional<Action>> {
      const item = { ...actionToItem(action), ...keyOf(action.operation, action.action) };
      return mapOk(
        await calls.put(item, { ConditionExpression: 'attribute_not_exists(pk)' }, o),
        () => action,
      );
    },
    attachTaskToken: (operation: string, action: string, taskToken: string, o?: CallOptions) =>
      change(operation, action, { taskToken }, o),
    noteCommand: (operation: string, action: string, commandId: string, o?: CallOptions) =>
      change(operation, action, { commandId }, o),
    async claimAction(
      operation: string,
      action: string,
      incarnation: string,
      o: ClaimOptions = {},
    ): Promise<Conditional<Action>> {
      const expression = createExpression();
      // What a former agent had proven is not known to be so any more.
      const anew = o.reclaim ? { prepared: false } : {};
      const claim = { status: 'claimed', claimedBy: incarnation, ...anew } as const;
      const is = (status: Action['status']) => `${expression.name('status')} = ${expression.value(status)}`;
      const byAnother = () => `${expression.name('claimed_by')} <> ${expression.value(incarnation)}`;
      const input = {
        UpdateExpression: expression.set(actionToItem(claim)),
        ConditionExpression: o.reclaim
          ? `${is('ordered')} OR (${is('claimed')} AND ${byAnother()})`
          : is('ordered'),
        ...expression.parameters(),
      };
      return mapOk(await calls.update(keyOf(operation, action), input, o), parseAction);
    },
    async markPrepared(
      operation: string,
      action: string,
      incarnation: string,
      o?: CallOptions,
    ): Promise<Conditional<Action>> {
      const expression = createExpression();
      const input = {
        UpdateExpression: expression.set(actionToItem({ prepared: true })),
        ConditionExpression: claimedBy(expression, incarnation),
        ...expression.parameters(),
      };
      return mapOk(await calls.update(keyOf(operation, action), input, o), parseAction);
    },
    async finishAction(
      operation: string,
      action: string,
      incarnation: string,
      result: ActionResult,
      o?: CallOptions,
    ): Promise<Conditional<Action>> {
      const expression = createExpression();
      const status = result.ok ? 'succeeded' : 'failed';
      const input = {
        UpdateExpression: expression.set(actionToItem({ status, result })),
        ConditionExpression: claimedBy(expression, incarnation),
        ...expression.parameters(),
      };
      return mapOk(await calls.update(keyOf(operation, action), input, o), parseAction);
    },
  };
}

function claimedBy(expression: ReturnType<typeof createExpression>, incarnation: string): string {
  return [
    `${expression.name('status')} = ${expression.value('claimed')}`,
    `${expression.name('claimed_by')} = ${expression.value(incarnation)}`,
  ].join(' AND ');
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Turns the value of an answer; other answers stay as they are. */
export function mapOk<T, U>(answer: Answer<T>, turn: (value: T) => U): Answer<U>;
export function mapOk<T, U>(answer: Conditional<T>, turn: (value: T) => U): Conditional<U>;
export function mapOk<T, U>(answer: Conditional<T>, turn: (value: T) => U): Conditional<U> {
  return answer.kind === 'ok' ? ok(turn(answer.value)) : answer;
}
