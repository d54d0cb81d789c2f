/**
 * A change of the cluster's record as one conditional UpdateItem: a compare-and-set on its version, on whose operation is
 * under way, or on whose bootstrap it is. Every change raises the version by one.
 */
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import { clusterRecordToItem } from '../../core/wire/parse-cluster-record.ts';
import { createExpression, type Expression } from './expression.ts';
import type { UpdateInput } from './item-calls.ts';

/** What must be found; what is not named is not asked. */
export interface RecordExpectation {
  readonly version?: number;
  /** The id of the operation under way; null: none is. */
  readonly operation?: string | null;
  readonly bootstrapNonce?: string | null;
  readonly systemIdentifierAbsent?: true;
}

export interface RecordChange {
  readonly expect: RecordExpectation;
  /** `version` is not settable: it rises by one. */
  readonly set: Partial<ClusterRecord>;
}

export function recordUpdate(change: RecordChange): UpdateInput {
  const expression = createExpression();
  const { version: _version, ...set } = change.set;
  const version = expression.name('version');
  return {
    UpdateExpression: expression.set(clusterRecordToItem(set), [
      `${version} = ${version} + ${expression.value(1)}`,
    ]),
    ConditionExpression: condition(change.expect, expression),
    ...expression.parameters(),
  };
}

function condition(expected: RecordExpectation, expression: Expression): string {
  const clauses = [`attribute_exists(${expression.name('pk')})`];
  const equals = (path: string, value: unknown) =>
    clauses.push(`${expression.name(path)} = ${expression.value(value)}`);
  if (expected.version !== undefined) equals('version', expected.version);
  if (expected.operation === null) clauses.push(expression.isNull('operation'));
  else if (expected.operation !== undefined) equals('operation.id', expected.operation);
  if (expected.bootstrapNonce === null) clauses.push(expression.isNull('bootstrap'));
  else if (expected.bootstrapNonce !== undefined) equals('bootstrap.nonce', expected.bootstrapNonce);
  if (expected.systemIdentifierAbsent) clauses.push(expression.isNull('system_identifier'));
  return clauses.join(' AND ');
}
