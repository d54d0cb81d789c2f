// What the expressions of a state see: `$states` with AWS's context object, and the visible variables. Also the
// evaluation of a state's fields, with the limits AWS puts on the results.

import type { State } from './definition.ts';
import type { Lane } from './execution.ts';
import { evaluateTemplate, type Scope, type Template } from './expression.ts';
import { DATA_LIMIT_EXCEEDED, type Failure, QUERY_EVALUATION_ERROR, StateFailure } from './failure.ts';
import { fitsPayload, type Json, type JsonObject } from './json.ts';
import { type Machinery, type Run, visibleVariables } from './run.ts';

/** What a field sees beside input, context and variables. */
export interface Extras {
  result?: Json;
  failure?: Failure;
  taskToken?: string;
  item?: { index: number; value: Json };
}

const iso = (ms: number) => new Date(ms).toISOString();

/** The item of the Map iteration that the lane is in, or the nearest around it. */
function itemOf(run: Run, lane: Lane): Extras['item'] {
  const parent = run.lanes.get(lane.parentId);
  if (parent === undefined) return undefined;
  if (parent.phase.kind !== 'children' || parent.items.length === 0) return itemOf(run, parent);
  return { index: lane.index, value: parent.items[lane.index] ?? null };
}

export function errorOutput(failure: Failure): JsonObject {
  return {
    ...(failure.error === null ? {} : { Error: failure.error }),
    ...(failure.cause === null ? {} : { Cause: failure.cause }),
  };
}

export function scopeOf(m: Machinery, run: Run, lane: Lane, state: State, extras: Extras = {}): Scope {
  const { execution } = run;
  const stateContext: JsonObject = { Name: lane.stateName, EnteredTime: iso(lane.enteredMs) };
  if (state.type === 'Task' || state.type === 'Map' || state.type === 'Parallel') {
    stateContext.RetryCount = lane.retries.reduce((sum, made) => sum + made, 0);
  }
  const context: JsonObject = {
    Execution: {
      Id: execution.arn,
      Name: execution.name,
      Input: JSON.parse(execution.input) as Json,
      StartTime: iso(execution.startMs),
      RoleArn: execution.roleArn,
      RedriveCount: execution.redriveCount,
      ...(execution.redriveMs === null ? {} : { RedriveTime: iso(execution.redriveMs) }),
    },
    StateMachine: { Id: execution.stateMachineArn, Name: execution.stateMachineName },
    State: stateContext,
  };
  if (extras.taskToken !== undefined) context.Task = { Token: extras.taskToken };
  const item = extras.item ?? itemOf(run, lane);
  if (item !== undefined) context.Map = { Item: { Index: item.index, Value: item.value } };
  const states: JsonObject = { input: lane.input, context };
  if (extras.result !== undefined) states.result = extras.result;
  if (extras.failure !== undefined) states.errorOutput = errorOutput(extras.failure);
  return { states, variables: visibleVariables(run, lane), nowMs: m.clock.now() };
}

/** The outcome of a state's Output and Assign (or of the rule's that was chosen). */
export interface Outcome {
  output: Json;
  /** The output as JSON text, within the payload limit. */
  outputText: string;
  assigned: JsonObject | null;
}

/** Works out Output (default: `otherwise`) and Assign, both from the same values. Throws `StateFailure`. */
export async function outcomeOf(
  fields: { output: Template | null; assign: Template | null },
  scope: Scope,
  otherwise: Json,
): Promise<Outcome> {
  const assigned =
    fields.assign === null ? null : ((await evaluateTemplate(fields.assign, scope)) as JsonObject);
  if (assigned !== null) limit(JSON.stringify(assigned), 'Assign');
  const output = fields.output === null ? otherwise : await evaluateTemplate(fields.output, scope);
  return { output, outputText: limit(JSON.stringify(output), 'Output'), assigned };
}

/** The text itself, or States.DataLimitExceeded when it is longer than a payload may be. */
export function limit(text: string, field: string): string {
  if (fitsPayload(text)) return text;
  const cause = `The value of '${field}' exceeds the maximum number of bytes service limit.`;
  throw new StateFailure(DATA_LIMIT_EXCEEDED, cause);
}

/** Evaluates an optional field that must give a value of one kind; null when the state does not have it. */
export async function evaluateAs<T extends Json>(
  template: Template | null,
  field: string,
  scope: Scope,
  what: string,
  is: (value: Json) => value is T,
): Promise<T | null> {
  if (template === null) return null;
  const value = await evaluateTemplate(template, scope);
  if (is(value)) return value;
  const cause = `The value specified for the field '${field}' must be ${what}, not ${JSON.stringify(value)?.slice(0, 200)}.`;
  throw new StateFailure(QUERY_EVALUATION_ERROR, cause, field);
}

export const isText = (value: Json): value is string => typeof value === 'string';
export const isFlag = (value: Json): value is boolean => typeof value === 'boolean';
export const isList = (value: Json): value is Json[] => Array.isArray(value);
export const isCount =
  (least: number) =>
  (value: Json): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= 99_999_999;
