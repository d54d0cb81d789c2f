/**
 * What travels between the states of the state machine, read back strictly: the plan of an operation, its orders and their
 * answers. An operator can start, edit or redrive an execution by hand, so this comes from outside like everything else.
 */
import type {
  ActionOrder,
  OperationPath,
  OperationPlan,
  OperationSettings,
} from '../failover/plan-operation.ts';
import { type ActionArguments, actionVerbs } from '../model/operation.ts';
import {
  pathOf,
  type Reader,
  readBoolean,
  readFields,
  readId,
  readInteger,
  readKnownFields,
  readList,
  readNonEmpty,
  readNullable,
  readOneOf,
  readOptional,
  readString,
} from './fields.ts';
import { operationKinds } from './parse-cluster-record.ts';

const paths: readonly OperationPath[] = ['handover', 'failover'];
/** Beyond any limit of the service. */
const mostSeconds = 99_999_999;

const readCount: Reader<number> = (value, field) => readInteger(value, field);
const readPositive: Reader<number> = (value, field) => readInteger(value, field, 1);
const readSeconds: Reader<number> = (value, field) => readInteger(value, field, 1, mostSeconds);

export const readActionOrder: Reader<ActionOrder> = (value, field) => {
  const at = readFields(value, field);
  const read = <T>(key: keyof ActionOrder, reader: Reader<T>): T => reader(at[key], pathOf(field, key));
  return {
    node: read('node', readId),
    instanceId: read('instanceId', (inner, path) => readNullable(inner, path, readNonEmpty)),
    verb: read('verb', (inner, path) => readOneOf(inner, path, actionVerbs)),
    args: read('args', readArguments),
    epoch: read('epoch', readPositive),
    attempt: read('attempt', readPositive),
    required: read('required', readBoolean),
    timeoutMs: read('timeoutMs', readPositive),
    timeoutSeconds: read('timeoutSeconds', readSeconds),
  };
};

const readArguments: Reader<ActionArguments> = (value, field) => {
  const at = readKnownFields(value, field, ['node', 'maxLagBytes', 'proxies', 'armed']);
  const path = (key: keyof ActionArguments) => pathOf(field, key);
  return {
    ...(at['node'] === undefined ? {} : { node: readId(at['node'], path('node')) }),
    ...(at['maxLagBytes'] === undefined
      ? {}
      : { maxLagBytes: readCount(at['maxLagBytes'], path('maxLagBytes')) }),
    ...(at['proxies'] === undefined ? {} : { proxies: readList(at['proxies'], path('proxies'), readId) }),
    ...(at['armed'] === undefined ? {} : { armed: readList(at['armed'], path('armed'), readNonEmpty) }),
  };
};

export const readOperationPlan: Reader<OperationPlan> = (value, field) => {
  const at = readFields(value, field);
  const read = <T>(key: keyof OperationPlan, reader: Reader<T>): T => reader(at[key], pathOf(field, key));
  return {
    cluster: read('cluster', readId),
    operation: read('operation', readNonEmpty),
    kind: read('kind', (inner, path) => readOneOf(inner, path, operationKinds)),
    path: read('path', (inner, path) => readOneOf(inner, path, paths)),
    reason: read('reason', readString),
    from: read('from', readId),
    target: read('target', (inner, path) => readNullable(inner, path, readId)),
    acceptDataLoss: read('acceptDataLoss', (inner, path) => readOptional(inner, path, readBoolean, false)),
    epoch: read('epoch', readPositive),
    attempt: read('attempt', readCount),
    catchup: read('catchup', (inner, path) => readList(inner, path, readActionOrder)),
    replans: read('replans', readCount),
    settings: read('settings', readSettings),
  };
};

const readSettings: Reader<OperationSettings> = (value, field) => {
  const at = readFields(value, field);
  const read = (key: keyof OperationSettings, reader: Reader<number>) => reader(at[key], pathOf(field, key));
  return {
    handoverSeconds: read('handoverSeconds', readSeconds),
    fenceSeconds: read('fenceSeconds', readSeconds),
    rounds: read('rounds', readPositive),
    replans: read('replans', readCount),
    ttlMs: read('ttlMs', readPositive),
  };
};

/** What an order of the catch-up came to, as the state machine collects it. */
export interface OrderAnswer {
  readonly order: ActionOrder;
  readonly ok: boolean;
  readonly error: string;
  readonly message: string;
  /** The action's result as the agent answered it; read by whoever needs it. */
  readonly result: unknown;
}

export const readOrderAnswer: Reader<OrderAnswer> = (value, field) => {
  const at = readFields(value, field);
  return {
    order: readActionOrder(at['order'], pathOf(field, 'order')),
    ok: readBoolean(at['ok'], pathOf(field, 'ok')),
    error: readString(at['error'], pathOf(field, 'error')),
    message: readString(at['message'], pathOf(field, 'message')),
    result: at['result'],
  };
};
