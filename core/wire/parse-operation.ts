/**
 * The header of an operation, read from and written to DynamoDB. Besides the model's fields the item has `step_names`: what
 * the condition "each step once" is tested on.
 */
import { failoverStates } from '../model/cluster-record.ts';
import type { Operation, OperationStatus, OperationStep } from '../model/operation.ts';
import {
  boolean,
  type Item,
  id,
  itemShape,
  listOf,
  nonEmpty,
  nullable,
  oneOf,
  positive,
  text,
  withDefault,
} from './item-shape.ts';
import { operationKinds } from './parse-cluster-record.ts';

const statuses: readonly OperationStatus[] = ['running', 'succeeded', 'aborted', 'failed'];

const stepShape = itemShape<OperationStep>({ step: oneOf(failoverStates), startedAt: nonEmpty });

const operationShape = itemShape<Operation>({
  id: nonEmpty,
  kind: oneOf(operationKinds),
  status: oneOf(statuses),
  reason: text,
  requestedBy: text,
  from: id,
  target: nullable(id),
  epoch: positive,
  executionArn: nullable(nonEmpty),
  steps: listOf(stepShape),
  startedAt: nonEmpty,
  endedAt: nullable(nonEmpty),
  outcome: text,
  acceptDataLoss: withDefault(boolean, false),
});

/** Throws InvalidInput, naming the attribute as `operation.<attribute>`. */
export function parseOperation(item: unknown): Operation {
  return operationShape.read(item, 'operation');
}

/** The attributes of an operation, or of those fields that an update sets. */
export function operationToItem(operation: Partial<Operation>): Item {
  const item = operationShape.writePart(operation);
  if (operation.steps !== undefined) item['step_names'] = operation.steps.map(({ step }) => step);
  return item;
}

export function operationStepToItem(step: OperationStep): Item {
  return stepShape.write(step);
}
