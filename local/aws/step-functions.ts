// AWS Step Functions, served by the interpreter: the actions of `AWSStepFunctions` as functions from a request's JSON to
// the response's. What is refused is refused with AWS's own error codes, so that its SDKs and its CLI take it for real.

import { randomUUID } from 'node:crypto';
import { type AslClock, systemClock } from '../../adapters/asl/clock.ts';
import { AslEngine, type ResumeReport } from '../../adapters/asl/engine.ts';
import type { ExecutionStatus } from '../../adapters/asl/execution.ts';
import type { ExecutionStore, StoreError } from '../../adapters/asl/execution-store.ts';
import { createFileStore } from '../../adapters/asl/file-store.ts';
import type { HistoryEvent } from '../../adapters/asl/history.ts';
import { isObject, type JsonObject } from '../../adapters/asl/json.ts';
import type { StateMachine } from '../../adapters/asl/new-execution.ts';
import type { InvokeTask } from '../../adapters/asl/run.ts';
import { validateDefinition } from '../../adapters/asl/validate-definition.ts';
import { AwsError } from './aws-error.ts';
import { flag, integer, nameOf, oneOf, optionalText, page, requiredText } from './step-functions-requests.ts';
import {
  describeExecution,
  historyEvent,
  listedExecution,
  stateMachineDetails,
} from './step-functions-responses.ts';
import { answerWith } from './step-functions-tasks.ts';

export interface StepFunctionsOptions {
  stateMachines: readonly StateMachine[];
  /** Where executions are kept: a folder, or a store. */
  folder?: string;
  store?: ExecutionStore;
  invokeTask: InvokeTask;
  clock?: AslClock;
  region: string;
  accountId: string;
  mostOpen?: number;
  mostClosed?: number;
  onEvent?: (executionArn: string, event: HistoryEvent) => void;
  onFault?: (executionArn: string, error: StoreError) => void;
}

export interface StepFunctions {
  /** Serves one action, e.g. `StartExecution`. Throws `AwsError`. */
  handle(action: string, body: unknown): Promise<unknown>;
  /** Takes up what an earlier process left open. To be called once, before the first request. */
  resume(): ResumeReport;
  close(): void;
  engine: AslEngine;
}

const STATUSES = [
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'TIMED_OUT',
  'ABORTED',
] as const satisfies readonly ExecutionStatus[];
const LONGEST_TEXT = 262_144;
const MOST_DIAGNOSTICS = 100;

interface Service {
  machines: ReadonlyMap<string, StateMachine>;
  engine: AslEngine;
  createdMs: number;
}

type Action = (service: Service, body: JsonObject) => JsonObject;

/**
 * Throws `DefinitionError` when the interpreter does not understand one of the definitions in full, and `Error` when a
 * state machine's ARN is not one of this region, account and name.
 */
export function createStepFunctions(options: StepFunctionsOptions): StepFunctions {
  const { stateMachines, folder, region, accountId, clock = systemClock } = options;
  const store = options.store ?? (folder === undefined ? undefined : createFileStore(folder));
  if (store === undefined) throw new Error('createStepFunctions needs a folder or a store');
  const engine = new AslEngine({ ...options, store, clock });
  for (const machine of stateMachines) {
    const tail = `:states:${region}:${accountId}:stateMachine:${machine.name}`;
    if (!machine.arn.endsWith(tail)) throw new Error(`the ARN ${machine.arn} must end with ${tail}`);
    engine.prepare(machine.definition);
  }
  const machines = new Map(stateMachines.map((machine) => [machine.arn, machine]));
  const service: Service = { machines, engine, createdMs: clock.now() };
  return {
    async handle(action, body) {
      const serve = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
      if (serve === undefined) throw new AwsError('UnknownOperationException', `Unknown operation ${action}`);
      if (!isObject(body)) throw new AwsError('SerializationException', 'The request must be a JSON object');
      return serve(service, body);
    },
    resume: () => engine.resume(),
    close: () => engine.close(),
    engine,
  };
}

const ACTIONS: Readonly<Record<string, Action>> = {
  StartExecution: startExecution,
  StopExecution: (service, body) => {
    const arn = executionArnIn(body);
    const error = optionalText(body, 'error', 256);
    const execution = service.engine.stop(arn, error, optionalText(body, 'cause', 32_768));
    if (execution === undefined) throw noExecution(arn);
    return { stopDate: (execution.stopMs ?? 0) / 1000 };
  },
  DescribeExecution: (service, body) => {
    const arn = executionArnIn(body);
    const execution = service.engine.describe(arn);
    if (execution === undefined) throw noExecution(arn);
    const withData = oneOf(body, 'includedData', ['ALL_DATA', 'METADATA_ONLY']) !== 'METADATA_ONLY';
    return describeExecution(execution, service.engine.redriveObstacle(execution), withData);
  },
  ListExecutions: (service, body) => {
    const machine = stateMachineIn(service, body);
    const status = oneOf(body, 'statusFilter', STATUSES);
    const redriven = oneOf(body, 'redriveFilter', ['REDRIVEN', 'NOT_REDRIVEN']);
    const all = service.engine.list(machine.arn);
    const wanted = all
      .filter((each) => status === null || each.status === status)
      .filter((each) => redriven === null || each.redriveCount > 0 === (redriven === 'REDRIVEN'));
    const { items, nextToken } = page(wanted, body);
    return { executions: items.map(listedExecution), ...nextToken };
  },
  GetExecutionHistory: (service, body) => {
    const arn = executionArnIn(body);
    const events = service.engine.history(arn);
    if (events === undefined) throw noExecution(arn);
    const { items, nextToken } = page(flag(body, 'reverseOrder', false) ? events.toReversed() : events, body);
    const withData = flag(body, 'includeExecutionData', true);
    return { events: items.map((event) => historyEvent(event, withData)), ...nextToken };
  },
  RedriveExecution: (service, body) => {
    const arn = executionArnIn(body);
    const result = service.engine.redrive(arn, optionalText(body, 'clientToken', 64));
    switch (result.kind) {
      case 'redriven':
        return { redriveDate: (result.execution.redriveMs ?? 0) / 1000 };
      case 'unknown':
        throw noExecution(arn);
      case 'not-redrivable':
        throw new AwsError('ExecutionNotRedrivable', result.reason);
    }
  },
  SendTaskSuccess: (service, body) => answerWith(service.engine, body, 'success'),
  SendTaskFailure: (service, body) => answerWith(service.engine, body, 'failure'),
  SendTaskHeartbeat: (service, body) => answerWith(service.engine, body, 'heartbeat'),
  DescribeStateMachine: (service, body) => {
    const machine = stateMachineIn(service, body);
    const status = { status: 'ACTIVE', type: 'STANDARD', creationDate: service.createdMs / 1000 };
    return { ...stateMachineDetails(machine), ...status };
  },
  DescribeStateMachineForExecution: (service, body) => {
    const arn = executionArnIn(body);
    const execution = service.engine.describe(arn);
    if (execution === undefined) throw noExecution(arn);
    const { stateMachineArn, stateMachineName: name, definition, roleArn, startMs } = execution;
    return {
      ...stateMachineDetails({ arn: stateMachineArn, name, definition, roleArn }),
      updateDate: startMs / 1000,
    };
  },
  ListStateMachines: (service, body) => {
    const { items, nextToken } = page([...service.machines.values()], body);
    const creationDate = service.createdMs / 1000;
    const listed = items.map(({ arn, name }) => ({
      stateMachineArn: arn,
      name,
      type: 'STANDARD',
      creationDate,
    }));
    return { stateMachines: listed, ...nextToken };
  },
  ValidateStateMachineDefinition: (_service, body) => {
    const most = integer(body, 'maxResults', 0, MOST_DIAGNOSTICS) || MOST_DIAGNOSTICS;
    const problems = validateDefinition(requiredText(body, 'definition', 1_048_576));
    const diagnostics = problems.slice(0, most).map((problem) => ({ severity: 'ERROR', ...problem }));
    return { result: problems.length === 0 ? 'OK' : 'FAIL', diagnostics, truncated: problems.length > most };
  },
};

function startExecution(service: Service, body: JsonObject): JsonObject {
  const machine = stateMachineIn(service, body);
  const name = body.name === undefined ? randomUUID() : nameOf(body);
  const input = optionalText(body, 'input', LONGEST_TEXT) ?? '{}';
  try {
    JSON.parse(input);
  } catch (error) {
    const reason = input === '' ? 'Invalid execution input.' : (error as Error).message;
    throw new AwsError('InvalidExecutionInput', `Invalid State Machine Execution Input: '${reason}'`);
  }
  const result = service.engine.start(machine, name, input);
  switch (result.kind) {
    case 'started':
      return { executionArn: result.execution.arn, startDate: result.execution.startMs / 1000 };
    case 'already-exists':
      throw new AwsError('ExecutionAlreadyExists', `Execution Already Exists: '${result.execution.arn}'`);
    case 'limit-exceeded':
      throw new AwsError('ExecutionLimitExceeded', `No more than ${result.limit} executions may be open`);
  }
}

function noExecution(arn: string): AwsError {
  return new AwsError('ExecutionDoesNotExist', `Execution Does Not Exist: '${arn}'`);
}

function executionArnIn(body: JsonObject): string {
  const arn = requiredText(body, 'executionArn', 256);
  if (/^arn:[\w-]+:states:[\w-]+:\d{12}:execution:[^:]+:[^:]+$/.test(arn)) return arn;
  throw new AwsError('InvalidArn', `Invalid Arn: 'Invalid ARN: ${arn}'`);
}

function stateMachineIn(service: Service, body: JsonObject): StateMachine {
  const arn = requiredText(body, 'stateMachineArn', 256);
  const machine = service.machines.get(arn);
  if (machine !== undefined) return machine;
  if (!/^arn:[\w-]+:states:[\w-]+:\d{12}:stateMachine:[^:]+$/.test(arn)) {
    throw new AwsError('InvalidArn', `Invalid Arn: 'Invalid ARN: ${arn}'`);
  }
  throw new AwsError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${arn}'`);
}
