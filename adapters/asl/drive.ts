// Carries lanes on, step by step, until they wait for something. Each step works out one phase and ends in a record that
// changes it; a step that changed nothing would be a bug and stops the process rather than spin.

import { type Action, act, leave } from './act.ts';
import { pump } from './children.ts';
import type { Lane, Phase } from './execution.ts';
import { StateFailure } from './failure.ts';
import { armUntil, describe, recover, transition } from './leave.ts';
import { commit, isOpen, type Machinery, type Run, stateOf } from './run.ts';
import { outcomeOf, scopeOf } from './scope.ts';
import { armTask } from './task.ts';

const isHere = (run: Run, lane: Lane) => isOpen(run) && run.lanes.get(lane.id) === lane;

/**
 * Runs a lane as far as it can go now, unless it is being driven already: that driver then sees what changed. Rejects
 * with `StoreError` when a record could not be written.
 */
export async function driveLane(m: Machinery, run: Run, lane: Lane): Promise<void> {
  if (run.driven.has(lane)) return;
  run.driven.add(lane);
  try {
    // Ends: every step adds a record, and the history of an execution is bounded.
    while (isHere(run, lane)) {
      const { phase } = lane;
      if (phase.kind !== 'entered' && phase.kind !== 'succeeded' && phase.kind !== 'erred') return;
      await step(m, run, lane, phase);
      if (lane.phase === phase && isHere(run, lane)) {
        throw new Error(
          `${run.execution.arn}: lane ${lane.id} does not leave ${phase.kind} in ${lane.stateName}`,
        );
      }
    }
  } finally {
    run.driven.delete(lane);
  }
}

async function step(m: Machinery, run: Run, lane: Lane, phase: Phase): Promise<void> {
  const isCurrent = () => isHere(run, lane) && lane.phase === phase;
  const action: Action = { m, run, lane, isCurrent };
  try {
    switch (phase.kind) {
      case 'entered':
        return await act(action, stateOf(run, lane));
      case 'succeeded':
        return await succeed(action, phase.result);
      case 'erred':
        return await recover(m, run, lane, phase.failure, isCurrent);
    }
  } catch (error) {
    if (!(error instanceof StateFailure)) throw error;
    if (!isCurrent()) return;
    const { failure, events } = describe(lane, error);
    commit(m, run, { lanes: [[lane.id, { phase: { kind: 'erred', failure, children: null } }]], events });
  }
}

/** Leaves a state whose action has ended well. A Wait has no result: its output is by default its input. */
async function succeed(
  action: Action,
  result: Extract<Phase, { kind: 'succeeded' }>['result'],
): Promise<void> {
  const { m, run, lane } = action;
  const state = stateOf(run, lane);
  if (state.type === 'Wait') return leave(action, state, state.next);
  const outcome = await outcomeOf(state, scopeOf(m, run, lane, state, { result }), result);
  if (action.isCurrent()) transition(m, run, lane, outcome, state.next);
}

/** Takes a lane up where a journal left it. */
export function resumeLane(m: Machinery, run: Run, lane: Lane): void {
  switch (lane.phase.kind) {
    case 'task':
      armTask(m, run, lane);
      return;
    case 'until':
      armUntil(m, run, lane);
      return;
    case 'children':
      pump(m, run, lane);
      return;
    case 'entered':
    case 'succeeded':
    case 'erred':
      m.drive(run, lane);
      return;
    case 'done':
    case 'failed':
    case 'aborted':
      return;
  }
}
