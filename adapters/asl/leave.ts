// How a lane leaves a state: along a transition, to its end, into a retry or a catcher, or as a failure that ends the
// lane. Leaving one state and entering the next is one record, so a kill can only happen before or after.

import { entering, failParent, iteration, pump } from './children.ts';
import type { State } from './definition.ts';
import { childrenOf, type Lane, type Phase } from './execution.ts';
import { type Failure, QUERY_EVALUATION_ERROR, StateFailure } from './failure.ts';
import { type EventDraft, enteredEvent, exitedEvent, outputDetails } from './history.ts';
import { covers, nextRetry } from './retry.ts';
import {
  blockOf,
  commit,
  descendants,
  endOf,
  isOpen,
  type Machinery,
  type Run,
  stateOf,
  waitUntil,
} from './run.ts';
import { errorOutput, type Outcome, outcomeOf, scopeOf } from './scope.ts';

/** Moves the lane to `next`, or ends it when that is null. */
export function transition(m: Machinery, run: Run, lane: Lane, outcome: Outcome, next: string | null): void {
  const exited = exitedEvent(lane.id, stateOf(run, lane), outcome.outputText, outcome.assigned);
  const removed = descendants(run, lane).map((each) => each.id);
  if (next === null) {
    end(m, run, lane, outcome, exited, removed);
    return;
  }
  const target = blockOf(run, lane).states.get(next);
  if (target === undefined) throw new Error(`there is no state ${next}`);
  const patch = entering(m, next, outcome.output);
  if (outcome.assigned !== null) patch.variables = { ...lane.variables, ...outcome.assigned };
  const events = [exited, enteredEvent(lane.id, target, outcome.output)];
  commit(m, run, { lanes: [[lane.id, patch]], removed, events });
}

function end(
  m: Machinery,
  run: Run,
  lane: Lane,
  outcome: Outcome,
  exited: EventDraft,
  removed: number[],
): void {
  const phase: Phase = { kind: 'done', output: outcome.output };
  const parent = run.lanes.get(lane.parentId);
  if (parent === undefined) {
    const details = outputDetails(outcome.outputText);
    commit(m, run, {
      execution: { status: 'SUCCEEDED', stopMs: m.clock.now(), output: outcome.outputText },
      lanes: [[lane.id, { phase }]],
      removed,
      events: [exited, { lane: lane.id, type: 'ExecutionSucceeded', details }],
    });
    return;
  }
  const events = [{ ...exited, also: parent.id }];
  const around = stateOf(run, parent);
  if (around.type === 'Map') {
    const details = iteration(around.name, lane.index);
    events.push({ lane: lane.id, also: 0, aside: true, type: 'MapIterationSucceeded', details });
  }
  commit(m, run, { lanes: [[lane.id, { phase, variables: {} }]], removed, events });
  pump(m, run, parent);
}

/** Retries, catches or gives up on a state that erred; `isCurrent` says whether the lane is still there to go on. */
export async function recover(
  m: Machinery,
  run: Run,
  lane: Lane,
  failure: Failure,
  isCurrent: () => boolean,
): Promise<void> {
  const state = stateOf(run, lane);
  const retry = nextRetry(state.retry, lane.retries, failure, m.random);
  if (retry !== undefined) return backOff(m, run, lane, state, retry);
  const catcher = state.catch.find((each) => covers(each.errorEquals, failure));
  if (catcher === undefined) return giveUp(m, run, lane, failure);
  try {
    const scope = scopeOf(m, run, lane, state, { failure });
    const outcome = await outcomeOf(catcher, scope, errorOutput(failure));
    if (isCurrent()) transition(m, run, lane, outcome, catcher.next);
  } catch (error) {
    if (!(error instanceof StateFailure)) throw error;
    if (!isCurrent()) return;
    // A catcher that fails itself cannot be caught.
    const { failure: second, events } = describe(lane, error);
    giveUp(m, run, lane, second, events);
  }
}

function backOff(
  m: Machinery,
  run: Run,
  lane: Lane,
  state: State,
  retry: { retrier: number; delayMs: number },
): void {
  const retries = state.retry.map(
    (_, index) => (lane.retries[index] ?? 0) + (index === retry.retrier ? 1 : 0),
  );
  const atMs = m.clock.now() + retry.delayMs;
  const removed = descendants(run, lane).map((each) => each.id);
  commit(m, run, {
    lanes: [[lane.id, { retries, phase: { kind: 'until', atMs, afterwards: 'retry' } }]],
    removed,
  });
  armUntil(m, run, lane);
}

/** Sets the timer of a lane that waits for a time; when it fires, the lane leaves its state or enters it again. */
export function armUntil(m: Machinery, run: Run, lane: Lane): void {
  const { phase } = lane;
  if (phase.kind !== 'until') return;
  waitUntil(m, run, lane.id, 'until', phase.atMs, () => {
    if (!isOpen(run) || lane.phase !== phase) return;
    const next: Phase =
      phase.afterwards === 'retry' ? { kind: 'entered' } : { kind: 'succeeded', result: null };
    commit(m, run, { lanes: [[lane.id, { phase: next }]] });
    m.drive(run, lane);
  });
}

/** Ends the lane as failed: with it the execution, or the Map or Parallel around it. `events` come first. */
export function giveUp(
  m: Machinery,
  run: Run,
  lane: Lane,
  failure: Failure,
  events: EventDraft[] = [],
): void {
  const parent = run.lanes.get(lane.parentId);
  if (parent !== undefined) {
    const followed = events.map((event) => ({ ...event, also: parent.id }));
    failParent(m, run, lane, parent, failure, followed);
    return;
  }
  const phase: Phase = { kind: 'failed', children: childrenOf(lane.phase) };
  const ending = endOf(m, 'FAILED', failure, lane.id);
  commit(m, run, { ...ending, lanes: [[lane.id, { phase }]], events: [...events, ...(ending.events ?? [])] });
}

/** A failure raised by the interpreter as AWS words it, with the event that AWS records for an evaluation. */
export function describe(lane: Lane, raised: StateFailure): { failure: Failure; events: EventDraft[] } {
  const prefix = `An error occurred while executing the state '${lane.stateName}' (entered at the event id #${lane.enteredEventId}). `;
  const failure = { ...raised.failure, cause: prefix + raised.failure.cause };
  if (failure.error !== QUERY_EVALUATION_ERROR) return { failure, events: [] };
  const details = { error: failure.error, cause: failure.cause, state: lane.stateName };
  const located = raised.location === null ? details : { ...details, location: raised.location };
  return { failure, events: [{ lane: lane.id, type: 'EvaluationFailed', details: located }] };
}
