// The lanes below a Map or Parallel: starts them as concurrency allows, collects their outputs in order, and when one
// fails stops the others and hands the failure to the state. Event order and chaining are those recorded from AWS: the
// end of an iteration is a side note, and what comes next follows the last event inside it.

import type { ChildrenPhase, JournalRecord, Lane } from './execution.ts';
import { childrenOf } from './execution.ts';
import type { Failure } from './failure.ts';
import { type EventDraft, enteredEvent } from './history.ts';
import type { Json, JsonObject } from './json.ts';
import {
  blockOf,
  cancel,
  childLanes,
  commit,
  descendants,
  type Machinery,
  type Run,
  stateOf,
} from './run.ts';

/** AWS's ceiling for an inline Map; a MaxConcurrency of 0 means it. */
export const MOST_CONCURRENT = 40;

/** What a lane is when it enters a state, apart from its variables. */
export function entering(m: Machinery, stateName: string, input: Json): Partial<Lane> {
  const phase = { kind: 'entered' } as const;
  return { stateName, input, enteredMs: m.clock.now(), retries: [], items: [], itemInputs: null, phase };
}

/** Ends the Map or Parallel when all its lanes are done, else starts as many more as may run. Safe to call at any time. */
export function pump(m: Machinery, run: Run, parent: Lane): void {
  const { phase } = parent;
  if (phase.kind !== 'children') return;
  const lanes = childLanes(run, parent);
  const done = lanes.filter((lane) => lane.phase.kind === 'done');
  if (done.length === phase.count) {
    collect(m, run, parent, done);
    return;
  }
  const room = phase.concurrency - (lanes.length - done.length);
  const more = Math.min(room, phase.count - phase.started);
  if (more > 0) start(m, run, parent, phase, more);
}

function collect(m: Machinery, run: Run, parent: Lane, done: readonly Lane[]): void {
  const result: Json[] = [];
  for (const { index, phase } of done) if (phase.kind === 'done') result[index] = phase.output;
  commit(m, run, {
    lanes: [[parent.id, { phase: { kind: 'succeeded', result } }]],
    removed: done.map((lane) => lane.id),
    events: [{ lane: parent.id, type: `${stateOf(run, parent).type}StateSucceeded` }],
  });
  m.drive(run, parent);
}

function start(m: Machinery, run: Run, parent: Lane, phase: ChildrenPhase, more: number): void {
  const state = stateOf(run, parent);
  const lanes: [number, Lane][] = [];
  const [begun, entered]: [EventDraft[], EventDraft[]] = [[], []];
  for (let index = phase.started; index < phase.started + more; index += 1) {
    const id = run.execution.lastLaneId + lanes.length + 1;
    const input =
      (state.type === 'Map' ? (parent.itemInputs ?? parent.items)[index] : parent.itemInputs?.[0]) ?? null;
    const blank = {
      id,
      parentId: parent.id,
      index,
      enteredEventId: 0,
      variables: {},
      lastEventId: parent.lastEventId,
    };
    const lane = { ...blank, stateName: '', ...entering(m, '', input) } as Lane;
    const block =
      state.type === 'Map' ? state.processor : state.type === 'Parallel' ? state.branches[index] : undefined;
    const first = block?.states.get(block.startAt);
    if (first === undefined) throw new Error(`${state.name} has no lane ${index}`);
    lane.stateName = first.name;
    lanes.push([id, lane]);
    if (state.type === 'Map')
      begun.push({ lane: id, type: 'MapIterationStarted', details: iteration(state.name, index) });
    entered.push(enteredEvent(id, first, input));
  }
  commit(m, run, {
    execution: { lastLaneId: run.execution.lastLaneId + more },
    lanes: [[parent.id, { phase: { ...phase, started: phase.started + more } }], ...lanes],
    events: [...begun, ...entered],
  });
  for (const [id] of lanes) {
    const lane = run.lanes.get(id);
    if (lane !== undefined) m.drive(run, lane);
  }
}

export const iteration = (name: string, index: number): JsonObject => ({ name, index });

const isLive = (lane: Lane) => !['done', 'failed', 'aborted'].includes(lane.phase.kind);

/**
 * Fails the Map or Parallel around a lane that failed: the other lanes are stopped where they stand. `events` come first.
 */
export function failParent(
  m: Machinery,
  run: Run,
  failed: Lane,
  parent: Lane,
  failure: Failure,
  events: EventDraft[],
): void {
  const state = stateOf(run, parent);
  const stopped = descendants(run, parent).filter((lane) => isLive(lane) && lane !== failed);
  const children = childrenOf(parent.phase);
  const lanes: NonNullable<JournalRecord['lanes']> = [
    [parent.id, { phase: { kind: 'erred', failure, children }, lastEventId: failed.lastEventId }],
    [failed.id, { phase: { kind: 'failed', children: childrenOf(failed.phase) } }],
  ];
  for (const lane of stopped)
    lanes.push([lane.id, { phase: { kind: 'aborted', children: childrenOf(lane.phase) } }]);
  const note = (type: string, details?: JsonObject) => {
    events.push({ lane: parent.id, aside: true, type, ...(details === undefined ? {} : { details }) });
  };
  for (const lane of [failed, ...stopped]) {
    // A deeper lane of a stopped one shares its parent's fate; only the iterations of this Map are named by it.
    if (state.type === 'Map' && lane.parentId === parent.id) {
      note(lane === failed ? 'MapIterationFailed' : 'MapIterationAborted', iteration(state.name, lane.index));
    }
    const { type } = blockOf(run, lane).states.get(lane.stateName) ?? { type: 'Pass' };
    if (['Task', 'Wait', 'Map', 'Parallel'].includes(type)) note(`${type}StateAborted`);
  }
  events.push({ lane: parent.id, type: `${state.type}StateFailed` });
  commit(m, run, { lanes, events });
  for (const lane of stopped) cancel(run, lane.id);
  m.drive(run, parent);
}
