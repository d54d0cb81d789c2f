// What the tests of the states language share: a clock that only moves when told to, tasks that a test answers, and a
// transcript of a history that is short enough to read.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AslClock } from '../../adapters/asl/clock.ts';
import { AslEngine, type EngineOptions } from '../../adapters/asl/engine.ts';
import type { Execution } from '../../adapters/asl/execution.ts';
import { createMemoryStore, type ExecutionStore } from '../../adapters/asl/execution-store.ts';
import type { HistoryEvent } from '../../adapters/asl/history.ts';
import { isObject, type Json, type JsonObject } from '../../adapters/asl/json.ts';
import type { StateMachine } from '../../adapters/asl/new-execution.ts';
import type { InvokeTask, TaskInvocation } from '../../adapters/asl/run.ts';

export const START_MS = Date.parse('2026-11-20T10:00:00.000Z');
export const ACCOUNT = 'arn:aws:states:eu-central-1:123456789012';
export const INVOKE = 'arn:aws:states:::lambda:invoke';
export const INVOKE_AND_WAIT = `${INVOKE}.waitForTaskToken`;

/** Lets everything happen that waits neither for a timer nor for a task. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn();
}

export interface FakeClock extends AslClock {
  /** Moves the time, firing timers in their order and letting each one's consequences happen. */
  advance(ms: number): Promise<void>;
  timers(): number;
}

export function createFakeClock(startMs = START_MS): FakeClock {
  let nowMs = startMs;
  let lastId = 0;
  const timers = new Map<number, { atMs: number; call: () => void }>();
  return {
    now: () => nowMs,
    setTimeout(call, delayMs) {
      lastId += 1;
      timers.set(lastId, { atMs: nowMs + delayMs, call });
      return lastId;
    },
    clearTimeout: (id) => timers.delete(id as number),
    timers: () => timers.size,
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const due = [...timers]
          .filter(([, { atMs }]) => atMs <= untilMs)
          .sort(([a, x], [b, y]) => x.atMs - y.atMs || a - b);
        const first = due[0];
        if (first === undefined) break;
        timers.delete(first[0]);
        nowMs = Math.max(nowMs, first[1].atMs);
        first[1].call();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

export function machineOf(definition: JsonObject | string, name = 'failover'): StateMachine {
  const text =
    typeof definition === 'string' ? definition : JSON.stringify({ QueryLanguage: 'JSONata', ...definition });
  return {
    name,
    arn: `${ACCOUNT}:stateMachine:${name}`,
    roleArn: 'arn:aws:iam::123456789012:role/failover',
    definition: text,
  };
}

/** A Task state for a function; `arguments` is its payload. */
export function call(name: string, payload: Json = {}, rest: JsonObject = { End: true }): JsonObject {
  return { Type: 'Task', Resource: INVOKE, Arguments: { FunctionName: name, Payload: payload }, ...rest };
}

/** A Task state that waits for its token, which is handed over in the payload. */
export function callAndWait(name: string, rest: JsonObject = { End: true }): JsonObject {
  const Arguments = { FunctionName: name, Payload: { token: '{% $states.context.Task.Token %}' } };
  return { Type: 'Task', Resource: INVOKE_AND_WAIT, Arguments, ...rest };
}

export interface Harness {
  engine: AslEngine;
  clock: FakeClock;
  store: ExecutionStore;
  /** Every invocation so far, in order. */
  invocations: TaskInvocation[];
  start(states: JsonObject, input?: Json, name?: string): string;
  execution(arn: string): Execution;
  output(arn: string): Json;
  transcript(arn: string): string[];
  events(arn: string): readonly HistoryEvent[];
}

/** An engine under a fake clock. The definition given to `start` may leave out what is the same in all. */
export function createHarness(
  invokeTask: InvokeTask = () => new Promise(() => {}),
  options: Partial<EngineOptions> = {},
): Harness {
  const clock = (options.clock as FakeClock | undefined) ?? createFakeClock();
  const store = options.store ?? createMemoryStore();
  const invocations: TaskInvocation[] = [];
  const engine = new AslEngine({
    region: 'eu-central-1',
    random: () => 0.5,
    ...options,
    clock,
    store,
    invokeTask: (task) => {
      invocations.push(task);
      return invokeTask(task);
    },
  });
  const execution = (arn: string) => {
    const found = engine.describe(arn);
    if (found === undefined) throw new Error(`no execution ${arn}`);
    return found;
  };
  const events = (arn: string) => engine.history(arn) ?? [];
  return {
    engine,
    clock,
    store,
    invocations,
    start(definition, input = {}, name = 'one') {
      const result = engine.start(machineOf(definition), name, JSON.stringify(input));
      if (result.kind !== 'started') throw new Error(result.kind);
      return result.execution.arn;
    },
    execution,
    output: (arn) => JSON.parse(execution(arn).output ?? 'null') as Json,
    transcript: (arn) => transcriptOf(events(arn)),
    events,
  };
}

/** One line an event: its id, what it follows, its type and what matters of its details. */
export function transcriptOf(events: readonly HistoryEvent[]): string[] {
  return events.map((event) => {
    const { id, previousEventId, type } = event;
    const details = Object.values(event).find(isObject) ?? {};
    const shown = ['name', 'index', 'length', 'output', 'error', 'location', 'redriveCount']
      .filter((key) => details[key] !== undefined)
      .map((key) => (key === 'name' ? details[key] : `${key}=${String(details[key])}`));
    if (isObject(details.assignedVariables))
      shown.push(`assigned=${JSON.stringify(details.assignedVariables)}`);
    return [`${id}<${previousEventId}`, type, ...shown].join(' ');
  });
}

/** What is wrong with the ids of a history: they must count up from 1, and each event follow an earlier one. */
export function chainProblems(events: readonly HistoryEvent[]): string[] {
  return events
    .filter(
      ({ id, previousEventId }, index) => id !== index + 1 || previousEventId < 0 || previousEventId >= id,
    )
    .map(({ id, previousEventId }) => `${id}<${previousEventId}`);
}
