/**
 * The input of an execution of the state machine. `{"cluster":"main"}`, typed into the Step Functions console, is enough; a
 * key that is misspelt there must not turn a switchover to one node into a failover to another, so it is refused.
 */
import type { OperationRequest } from '../model/operation.ts';
import { readId, readKnownFields, readNullable, readOneOf, readOptional, readString } from './fields.ts';
import { operationKinds } from './parse-cluster-record.ts';

/**
 * `kind` and `target` are null when they are left to the workflow; `reason` and `requestedBy` default to ''. Throws
 * InvalidInput naming the key, what it was and what it takes.
 */
export function parseOperationRequest(input: unknown): OperationRequest {
  const fields = readKnownFields(input, '', ['cluster', 'kind', 'target', 'reason', 'requestedBy']);
  return {
    cluster: readId(fields['cluster'], 'cluster'),
    kind: readNullable(fields['kind'], 'kind', (value, field) => readOneOf(value, field, operationKinds)),
    target: readNullable(fields['target'], 'target', readId),
    reason: readOptional(fields['reason'], 'reason', readString, ''),
    requestedBy: readOptional(fields['requestedBy'], 'requestedBy', readString, ''),
  };
}
