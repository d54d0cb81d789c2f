// What an execution is when it starts: its names, its header and its root lane.

import { entering } from './children.ts';
import type { Machine } from './definition.ts';
import type { Execution, Lane } from './execution.ts';
import { enteredEvent, inputDetails } from './history.ts';
import type { Json } from './json.ts';
import type { Change, Machinery } from './run.ts';

export interface StateMachine {
  arn: string;
  name: string;
  roleArn: string;
  /** JSON text. */
  definition: string;
}

/** `arn:...:stateMachine:<name>` becomes `arn:...:execution:<name>:<execution>`. */
export function executionArn(stateMachineArn: string, name: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
}

/** The key under which the store keeps an execution. */
export function keyOf({ stateMachineName, name }: Execution): string {
  return `${stateMachineName}/${name}`;
}

/** `input` is JSON text. */
export function newExecution(
  stateMachine: StateMachine,
  name: string,
  input: string,
  machine: Machine,
  nowMs: number,
): Execution {
  const { arn: stateMachineArn, name: stateMachineName, roleArn, definition } = stateMachine;
  const arn = executionArn(stateMachineArn, name);
  const deadlineMs = machine.timeoutSeconds === null ? null : nowMs + machine.timeoutSeconds * 1000;
  const given = { arn, name, stateMachineArn, stateMachineName, roleArn, definition, input };
  const start = { status: 'RUNNING' as const, startMs: nowMs, stopMs: null, deadlineMs, lastLaneId: 1 };
  const unknown = { output: null, error: null, cause: null, redriveMs: null, redriveToken: null };
  return { ...given, ...start, ...unknown, redriveCount: 0 };
}

/** The first record of an execution: it has started, and its root lane has entered the first state. */
export function startChange(m: Machinery, execution: Execution, machine: Machine): Change {
  const { startAt, states } = machine.block;
  const first = states.get(startAt);
  if (first === undefined) throw new Error(`there is no state ${startAt}`);
  const value = JSON.parse(execution.input) as Json;
  const blank = { id: 1, parentId: 0, index: 0, enteredEventId: 0, variables: {}, lastEventId: 0 };
  const root = { ...blank, ...entering(m, startAt, value) } as Lane;
  const details = { ...inputDetails(execution.input), roleArn: execution.roleArn };
  const started = { lane: 0, type: 'ExecutionStarted', details };
  return { execution, lanes: [[1, root]], events: [started, enteredEvent(1, first, value)] };
}
