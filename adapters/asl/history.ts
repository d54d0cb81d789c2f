// History events in AWS's shape, name by name. An event is built as a draft; the commit gives it its id, its time and
// the event it follows.

import type { State } from './definition.ts';
import type { Failure } from './failure.ts';
import type { Json, JsonObject } from './json.ts';

/** AWS ends an execution whose history gets this long. */
export const LONGEST_HISTORY = 25_000;

/** As GetExecutionHistory returns it, except that the timestamp is in milliseconds. */
export interface HistoryEvent {
  id: number;
  previousEventId: number;
  timestamp: number;
  type: string;
  /** `taskFailedEventDetails` and so on, at most one. */
  [details: string]: Json;
}

export interface EventDraft {
  type: string;
  details?: JsonObject;
  /** The lane whose chain of events it continues; 0 for events of the execution, which follow nothing. */
  lane: number;
  /** Leaves the lane's chain where it is: later events follow the same predecessor as this one. */
  aside?: boolean;
  /** A second lane whose chain this event continues: the parent of a lane that ends. */
  also?: number;
}

/** The key under which AWS puts the details of an event of this type, e.g. `taskFailedEventDetails`. */
export function detailsKey(type: string): string {
  const common = type.replace(/^.*State(Entered|Exited)$/, 'State$1');
  return `${common.charAt(0).toLowerCase()}${common.slice(1)}EventDetails`;
}

const WHOLE: JsonObject = { truncated: false };

export const inputDetails = (text: string): JsonObject => ({ input: text, inputDetails: WHOLE });
export const outputDetails = (text: string): JsonObject => ({ output: text, outputDetails: WHOLE });

export function failureDetails(failure: Failure): JsonObject {
  const { error, cause } = failure;
  return { ...(error === null ? {} : { error }), ...(cause === null ? {} : { cause }) };
}

export function enteredEvent(lane: number, state: State, input: Json): EventDraft {
  const details = { name: state.name, ...inputDetails(JSON.stringify(input)) };
  return { lane, type: `${state.type}StateEntered`, details };
}

export function exitedEvent(
  lane: number,
  state: State,
  output: string,
  assigned: JsonObject | null,
): EventDraft {
  const details: JsonObject = { name: state.name, ...outputDetails(output) };
  if (assigned !== null) {
    const texts = Object.entries(assigned).map(([name, value]) => [name, JSON.stringify(value)] as const);
    details.assignedVariables = Object.fromEntries(texts);
    details.assignedVariablesDetails = WHOLE;
  }
  return { lane, type: `${state.type}StateExited`, details };
}

/** `{ resourceType, resource }` of a task, e.g. lambda and invoke.waitForTaskToken. */
export function resourceDetails(resource: string): JsonObject {
  const [resourceType = '', name = ''] = resource.split(':').slice(5);
  return { resourceType, resource: name };
}
