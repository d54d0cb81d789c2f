/**
 * The input of each state of the workflow, parsed: one function a state, all throwing `InvalidInput` with the path of what is
 * wrong.
 */
import { type FailoverState, failoverStates } from '../../core/model/cluster-record.ts';
import {
  pathOf,
  type Reader,
  readBoolean,
  readFields,
  readId,
  readInteger,
  readList,
  readNonEmpty,
  readNullable,
  readOneOf,
  readOptional,
  readString,
} from '../../core/wire/fields.ts';
import { readActionOrder, readOperationPlan, readOrderAnswer } from '../../core/wire/parse-operation-plan.ts';
import type { AbortInput } from './abort.ts';
import type { BeginInput } from './begin.ts';
import type { ChooseInput } from './choose.ts';
import type { Demoted, DemoteInput } from './demote.ts';
import type { FinishInput } from './finish.ts';
import type { OrderInput } from './order.ts';
import type { Step } from './ports.ts';

const steps = failoverStates.filter((step): step is Exclude<FailoverState, 'stable'> => step !== 'stable');

export function parseBeginInput(event: unknown): BeginInput {
  const at = readFields(event, 'input');
  return { request: at['request'], execution: readNonEmpty(at['execution'], 'execution') };
}

export function parseOrderInput(event: unknown): OrderInput {
  const at = readFields(event, 'input');
  return {
    cluster: readId(at['cluster'], 'cluster'),
    operation: readNonEmpty(at['operation'], 'operation'),
    step: readOneOf<Step>(at['step'], 'step', steps),
    order: readActionOrder(at['order'], 'order'),
    token: readNonEmpty(at['token'], 'token'),
  };
}

export function parseDemoteInput(event: unknown): DemoteInput {
  const at = readFields(event, 'input');
  return {
    plan: readOperationPlan(at['plan'], 'plan'),
    answers: readList(at['answers'], 'answers', readOrderAnswer),
    token: readNonEmpty(at['token'], 'token'),
  };
}

export function parseChooseInput(event: unknown): ChooseInput {
  const at = readFields(event, 'input');
  return {
    plan: readOperationPlan(at['plan'], 'plan'),
    answers: readList(at['answers'], 'answers', readOrderAnswer),
    excluded: readList(at['excluded'], 'excluded', readId),
    round: readInteger(at['round'], 'round', 1),
  };
}

export function parseFinishInput(event: unknown): FinishInput {
  const at = readFields(event, 'input');
  return {
    plan: readOperationPlan(at['plan'], 'plan'),
    target: readId(at['target'], 'target'),
    demoted: readDemoted(at['demoted'], 'demoted'),
  };
}

/** After a hand-over this is the old primary's own answer, which has none of these keys. */
const readDemoted: Reader<Partial<Demoted>> = (value, field) => {
  const at = readFields(value, field);
  const text = (key: keyof Demoted) =>
    at[key] === undefined ? {} : { [key]: readNullable(at[key], pathOf(field, key), readNonEmpty) };
  const seq = at['reportSeq'];
  const settled = at['settled'];
  return {
    ...text('instanceId'),
    ...text('fenceCommand'),
    ...text('incarnation'),
    ...(seq === undefined
      ? {}
      : {
          reportSeq: readNullable(seq, pathOf(field, 'reportSeq'), (inner, path) => readInteger(inner, path)),
        }),
    ...(settled === undefined ? {} : { settled: readBoolean(settled, pathOf(field, 'settled')) }),
  };
};

export function parseAbortInput(event: unknown): AbortInput {
  const at = readFields(event, 'input');
  const failure = readFields(at['failure'], 'failure');
  return {
    request: at['request'],
    execution: readNonEmpty(at['execution'], 'execution'),
    plan: readNullable(at['plan'], 'plan', readOperationPlan),
    failure: {
      Error: readOptional(failure['Error'], 'failure.Error', readString, ''),
      Cause: readOptional(failure['Cause'], 'failure.Cause', readString, ''),
    },
    round: readInteger(at['round'], 'round'),
  };
}

/** `{"cluster":"main"}` looks after one cluster; anything else (the schedule's own event) after all. */
export function parseSentinelInput(event: unknown): { readonly cluster: string | null } {
  const at = readFields(event ?? {}, 'input');
  return { cluster: readNullable(at['cluster'], 'cluster', readId) };
}
