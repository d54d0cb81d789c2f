/**
 * The input of an execution of the state machine. `{"cluster":"main"}`, typed into the Step Functions console, is enough; a
 * key that is misspelt there must not turn a switchover to one node into a failover to another, so it is refused.
 */
import type { OperationRequest } from '../model/operation.ts';
import {
  InvalidInput,
  readBoolean,
  readId,
  readInteger,
  readKnownFields,
  readNullable,
  readOneOf,
  readOptional,
  readString,
} from './fields.ts';
import { operationKinds } from './parse-cluster-record.ts';

const keys = ['cluster', 'kind', 'target', 'reason', 'requestedBy', 'acceptDataLoss', 'epoch'];

/**
 * `kind`, `target` and `epoch` are null when they are left to the workflow; `reason` and `requestedBy` default to '', `acceptDataLoss` to
 * false. Throws InvalidInput naming the key, what it was and what it takes.
 */
export function parseOperationRequest(input: unknown): OperationRequest {
  const fields = readKnownFields(input, '', keys);
  const kind = readNullable(fields['kind'], 'kind', (value, field) =>
    readOneOf(value, field, operationKinds),
  );
  const acceptDataLoss = readOptional(fields['acceptDataLoss'], 'acceptDataLoss', readBoolean, false);
  if (acceptDataLoss && kind !== 'failover')
    throw new InvalidInput('acceptDataLoss', acceptDataLoss, 'true only where kind is "failover"');
  return {
    cluster: readId(fields['cluster'], 'cluster'),
    kind,
    target: readNullable(fields['target'], 'target', readId),
    reason: readOptional(fields['reason'], 'reason', readString, ''),
    requestedBy: readOptional(fields['requestedBy'], 'requestedBy', readString, ''),
    acceptDataLoss,
    epoch: readNullable(fields['epoch'], 'epoch', (value, field) => readInteger(value, field, 1)),
  };
}
