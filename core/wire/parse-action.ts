/**
 * An action of an operation, read from and written to DynamoDB. What a verb is told comes over a network and makes a host
 * stop or promote its PostgreSQL: an argument that this version does not know is refused, never ignored.
 */
import { failoverStates } from '../model/cluster-record.ts';
import {
  type Action,
  type ActionArguments,
  type ActionResult,
  type ActionStatus,
  actionVerbs,
} from '../model/operation.ts';
import { readKnownFields } from './fields.ts';
import {
  boolean,
  type Codec,
  count,
  type Item,
  id,
  itemShape,
  listOf,
  nonEmpty,
  nullable,
  number,
  oneOf,
  optional,
  positive,
  text,
} from './item-shape.ts';

const statuses: readonly ActionStatus[] = ['ordered', 'claimed', 'succeeded', 'failed'];

const argumentsShape = itemShape<ActionArguments>({
  node: optional(id),
  maxLagBytes: optional(count),
  proxies: optional(listOf(id)),
  armed: optional(listOf(nonEmpty)),
});

const knownArguments: Codec<ActionArguments> = {
  read: (value, field) =>
    argumentsShape.read(readKnownFields(value, field, ['node', 'max_lag_bytes', 'proxies', 'armed']), field),
  write: (value) => argumentsShape.write(value),
};

const resultShape = itemShape<ActionResult>({
  ok: boolean,
  error: text,
  message: text,
  ms: number,
  timeline: optional(positive),
  receivedLsn: optional(text),
  replayedLsn: optional(text),
  releasedAtLsn: optional(text),
  forkLsn: optional(text),
  epoch: optional(positive),
  neverPromoted: optional(boolean),
});

const actionShape = itemShape<Action>({
  operation: nonEmpty,
  action: nonEmpty,
  step: oneOf(failoverStates),
  node: id,
  verb: oneOf(actionVerbs),
  epoch: positive,
  args: knownArguments,
  timeoutMs: positive,
  status: oneOf(statuses),
  claimedBy: nullable(nonEmpty),
  prepared: optional(boolean),
  taskToken: nullable(nonEmpty),
  commandId: nullable(nonEmpty),
  result: nullable(resultShape),
});

/** Throws InvalidInput, naming the attribute as `action.<attribute>`. */
export function parseAction(item: unknown): Action {
  return actionShape.read(item, 'action');
}

/** The attributes of an action, or of those fields that an update sets. */
export function actionToItem(action: Partial<Action>): Item {
  return actionShape.writePart(action);
}
