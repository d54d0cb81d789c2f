/**
 * A lease write as one conditional UpdateItem. Says in DynamoDB's words exactly what `applyLeaseWrite` says in memory; the
 * contract tests run both side by side.
 */
import type { LeaseExpectation, LeaseWrite } from '../../core/lease/lease-write.ts';
import { leaseToItem } from '../../core/wire/parse-lease.ts';
import { createExpression, type Expression } from './expression.ts';
import type { UpdateInput } from './item-calls.ts';

export function leaseUpdate(write: LeaseWrite): UpdateInput {
  const expression = createExpression();
  const seq = expression.name('seq');
  const creates = write.expect === 'absent';
  const next = creates ? expression.value(1) : `${seq} + ${expression.value(1)}`;
  return {
    UpdateExpression: expression.set(leaseToItem(write.set), [`${seq} = ${next}`]),
    ConditionExpression:
      write.expect === 'absent'
        ? `attribute_not_exists(${expression.name('pk')})`
        : condition(write.expect, expression),
    ...expression.parameters(),
  };
}

function condition(expected: LeaseExpectation, expression: Expression): string {
  const { states, ...exact } = expected;
  const state = `${expression.name('state')} IN (${states.map((one) => expression.value(one)).join(', ')})`;
  const equal = Object.entries(exact)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${expression.name(name)} = ${expression.value(value)}`);
  return [state, ...equal].join(' AND ');
}
