// What each state does when a lane has entered it: works out its fields and either leaves at once or writes down what it
// waits for. Nothing outside the process has been touched before the record that says so is written.

import { MOST_CONCURRENT, pump } from './children.ts';
import type { State } from './definition.ts';
import type { Lane, TaskPhase } from './execution.ts';
import { evaluateTemplate, type Scope } from './expression.ts';
import { type Failure, QUERY_EVALUATION_ERROR, RUNTIME_ERROR, StateFailure } from './failure.ts';
import { resourceDetails } from './history.ts';
import type { Json, JsonObject } from './json.ts';
import { armUntil, giveUp, transition } from './leave.ts';
import { commit, type Machinery, type Run } from './run.ts';
import { evaluateAs, isCount, isFlag, isList, isText, limit, outcomeOf, scopeOf } from './scope.ts';
import { armTask, createTaskToken } from './task.ts';

type StateOf<Type extends State['type']> = Extract<State, { type: Type }>;

/** One lane at one state. `isCurrent` turns false when the lane was stopped while an expression was being evaluated. */
export interface Action {
  m: Machinery;
  run: Run;
  lane: Lane;
  isCurrent(): boolean;
}

/** Carries out a state. Throws `StateFailure` when one of its fields cannot be worked out. */
export async function act(action: Action, state: State): Promise<void> {
  switch (state.type) {
    case 'Pass':
    case 'Succeed':
      return leave(action, state, state.next);
    case 'Fail':
      return fail(action, state);
    case 'Choice':
      return choose(action, state);
    case 'Wait':
      return wait(action, state);
    case 'Task':
      return callTask(action, state);
    case 'Parallel':
      return fork(action, state);
    case 'Map':
      return map(action, state);
  }
}

/** Leaves a state whose output is by default its input. */
export async function leave(
  action: Action,
  fields: Parameters<typeof outcomeOf>[0] & State,
  next: string | null,
): Promise<void> {
  const { m, run, lane } = action;
  const outcome = await outcomeOf(fields, scopeOf(m, run, lane, fields), lane.input);
  if (action.isCurrent()) transition(m, run, lane, outcome, next);
}

async function fail(action: Action, state: StateOf<'Fail'>): Promise<void> {
  const { m, run, lane } = action;
  const scope = scopeOf(m, run, lane, state);
  const failure: Failure = {
    error: await evaluateAs(state.error, 'Error', scope, 'a string', isText),
    cause: await evaluateAs(state.cause, 'Cause', scope, 'a string', isText),
    heartbeat: false,
  };
  if (action.isCurrent()) giveUp(m, run, lane, failure);
}

async function choose(action: Action, state: StateOf<'Choice'>): Promise<void> {
  const { m, run, lane } = action;
  const scope = scopeOf(m, run, lane, state);
  for (const [index, rule] of state.rules.entries()) {
    const holds = await evaluateAs(rule.condition, `Choices[${index}]/Condition`, scope, 'a boolean', isFlag);
    if (holds !== true) continue;
    const outcome = await outcomeOf(rule, scope, lane.input);
    if (action.isCurrent()) transition(m, run, lane, outcome, rule.next);
    return;
  }
  if (state.otherwise === null) {
    throw new StateFailure(
      RUNTIME_ERROR,
      'Failed to transition out of the state. The state does not point to a next state.',
    );
  }
  await leave(action, state, state.otherwise);
}

async function wait(action: Action, state: StateOf<'Wait'>): Promise<void> {
  const { m, run, lane } = action;
  const scope = scopeOf(m, run, lane, state);
  const seconds = await evaluateAs(
    state.seconds,
    'Seconds',
    scope,
    'an integer from 0 to 99999999',
    isCount(0),
  );
  const isTime = (value: Json): value is string =>
    typeof value === 'string' && !Number.isNaN(Date.parse(value));
  const timestamp = await evaluateAs(state.timestamp, 'Timestamp', scope, 'an RFC 3339 time', isTime);
  if (!action.isCurrent()) return;
  const atMs = timestamp === null ? lane.enteredMs + (seconds ?? 0) * 1000 : Date.parse(timestamp);
  commit(m, run, { lanes: [[lane.id, { phase: { kind: 'until', atMs, afterwards: 'leave' } }]] });
  armUntil(m, run, lane);
}

async function callTask(action: Action, state: StateOf<'Task'>): Promise<void> {
  const { m, run, lane } = action;
  const waits = state.resource.endsWith('.waitForTaskToken');
  const token = waits ? createTaskToken({ executionArn: run.execution.arn, laneId: lane.id }) : null;
  const scope = scopeOf(m, run, lane, state, token === null ? {} : { taskToken: token });
  const seconds = isCount(1);
  const what = 'an integer from 1 to 99999999';
  const timeout = await evaluateAs(state.timeoutSeconds, 'TimeoutSeconds', scope, what, seconds);
  const heartbeat = await evaluateAs(state.heartbeatSeconds, 'HeartbeatSeconds', scope, what, seconds);
  const taskArguments = state.arguments === null ? {} : await evaluateTemplate(state.arguments, scope);
  const parameters = limit(JSON.stringify(taskArguments), 'Arguments');
  if (!action.isCurrent()) return;
  const nowMs = m.clock.now();
  const phase: TaskPhase = {
    kind: 'task',
    arguments: taskArguments,
    attempt: run.events.length + 1,
    token,
    submitted: false,
    timeoutAtMs: timeout === null ? null : nowMs + timeout * 1000,
    heartbeatMs: heartbeat === null ? null : heartbeat * 1000,
    heartbeatAtMs: heartbeat === null ? null : nowMs + heartbeat * 1000,
  };
  const resource = resourceDetails(state.resource);
  const scheduled: JsonObject = { ...resource, region: m.region, parameters };
  if (timeout !== null) scheduled.timeoutInSeconds = timeout;
  if (heartbeat !== null) scheduled.heartbeatInSeconds = heartbeat;
  commit(m, run, {
    lanes: [[lane.id, { phase }]],
    events: [
      { lane: lane.id, type: 'TaskScheduled', details: scheduled },
      { lane: lane.id, type: 'TaskStarted', details: resource },
    ],
  });
  armTask(m, run, lane);
}

async function fork(action: Action, state: StateOf<'Parallel'>): Promise<void> {
  const { m, run, lane } = action;
  const given = state.arguments;
  const itemInputs = given === null ? null : [await evaluateTemplate(given, scopeOf(m, run, lane, state))];
  if (itemInputs !== null) limit(JSON.stringify(itemInputs[0]), 'Arguments');
  if (!action.isCurrent()) return;
  const count = state.branches.length;
  commit(m, run, {
    lanes: [
      [
        lane.id,
        {
          itemInputs: itemInputs ?? [lane.input],
          phase: { kind: 'children', count, started: 0, concurrency: count },
        },
      ],
    ],
    events: [{ lane: lane.id, type: 'ParallelStateStarted' }],
  });
  pump(m, run, lane);
}

async function map(action: Action, state: StateOf<'Map'>): Promise<void> {
  const { m, run, lane } = action;
  const scope = scopeOf(m, run, lane, state);
  const items =
    state.items === null ? lane.input : await evaluateAs(state.items, 'Items', scope, 'an array', isList);
  if (!Array.isArray(items)) {
    throw new StateFailure(
      QUERY_EVALUATION_ERROR,
      "The value for the field 'Items' must be an array.",
      'Items',
    );
  }
  const asked = await evaluateAs(
    state.maxConcurrency,
    'MaxConcurrency',
    scope,
    'an integer from 0',
    isCount(0),
  );
  const concurrency = Math.min(asked === null || asked === 0 ? MOST_CONCURRENT : asked, MOST_CONCURRENT);
  const itemInputs = state.itemSelector === null ? null : await selectInputs(action, state, items);
  if (!action.isCurrent()) return;
  const { length } = items;
  commit(m, run, {
    lanes: [
      [lane.id, { items, itemInputs, phase: { kind: 'children', count: length, started: 0, concurrency } }],
    ],
    events: [{ lane: lane.id, type: 'MapStateStarted', details: { length } }],
  });
  pump(m, run, lane);
}

async function selectInputs(action: Action, state: StateOf<'Map'>, items: readonly Json[]): Promise<Json[]> {
  const { m, run, lane } = action;
  const inputs: Json[] = [];
  for (const [index, value] of items.entries()) {
    const scope: Scope = scopeOf(m, run, lane, state, { item: { index, value } });
    const input = state.itemSelector === null ? value : await evaluateTemplate(state.itemSelector, scope);
    limit(JSON.stringify(input), 'ItemSelector');
    inputs.push(input);
  }
  return inputs;
}
