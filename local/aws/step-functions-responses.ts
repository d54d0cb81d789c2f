// Executions, events and state machines as Step Functions returns them. Times are seconds since the epoch, with
// milliseconds as the fraction, as AWS JSON 1.0 has them.

import type { Execution } from '../../adapters/asl/execution.ts';
import type { HistoryEvent } from '../../adapters/asl/history.ts';
import { isObject, type Json, type JsonObject } from '../../adapters/asl/json.ts';
import type { StateMachine } from '../../adapters/asl/new-execution.ts';

const seconds = (ms: number | null): Json => (ms === null ? null : ms / 1000);

/** Leaves out what is null: AWS never sends a null. */
function present(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

export function listedExecution(execution: Execution): JsonObject {
  const { arn, stateMachineArn, name, status, redriveCount } = execution;
  const { startMs, stopMs, redriveMs } = execution;
  const times = { startDate: seconds(startMs), stopDate: seconds(stopMs), redriveDate: seconds(redriveMs) };
  return present({ executionArn: arn, stateMachineArn, name, status, redriveCount, ...times });
}

/** `obstacle` is why it cannot be redriven, undefined when it can. */
export function describeExecution(
  execution: Execution,
  obstacle: string | undefined,
  withData: boolean,
): JsonObject {
  const { input, output, error, cause } = execution;
  const included = { included: true };
  return present({
    ...listedExecution(execution),
    ...(withData
      ? { input, inputDetails: included, output, outputDetails: output === null ? null : included }
      : {}),
    ...(withData ? { error, cause } : {}),
    redriveStatus: obstacle === undefined ? 'REDRIVABLE' : 'NOT_REDRIVABLE',
    redriveStatusReason: obstacle ?? null,
  });
}

/** Without data, an event keeps its details but for inputs and outputs, as on AWS. */
export function historyEvent(event: HistoryEvent, withData: boolean): JsonObject {
  const entries = Object.entries(event).map(([key, value]) => [
    key,
    withData || !isObject(value) ? value : withoutData(value),
  ]);
  return { ...Object.fromEntries(entries), timestamp: event.timestamp / 1000 };
}

function withoutData(details: JsonObject): JsonObject {
  const { input, inputDetails, output, outputDetails, assignedVariables, assignedVariablesDetails, ...rest } =
    details;
  return rest;
}

export function stateMachineDetails({ arn, name, definition, roleArn }: StateMachine): JsonObject {
  const loggingConfiguration = { level: 'OFF', includeExecutionData: false };
  const tracingConfiguration = { enabled: false };
  return { stateMachineArn: arn, name, definition, roleArn, loggingConfiguration, tracingConfiguration };
}
