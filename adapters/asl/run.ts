// An open execution in memory, and the only way to change it: `commit` writes a record to the journal and then applies
// it. Whoever was told of a change (a caller, a task, a timer) can therefore rely on it to survive a kill. A change that
// ends the execution also stops everything that was still going on in it.

import { type AslClock, callAt } from './clock.ts';
import type { Block, Machine, State } from './definition.ts';
import {
  applyRecord,
  type Execution,
  type ExecutionState,
  type JournalRecord,
  type Lane,
} from './execution.ts';
import type { ExecutionStore } from './execution-store.ts';
import { type Failure, RUNTIME_ERROR } from './failure.ts';
import {
  detailsKey,
  type EventDraft,
  failureDetails,
  type HistoryEvent,
  LONGEST_HISTORY,
} from './history.ts';
import type { Json, JsonObject } from './json.ts';

export interface TaskInvocation {
  /** As in the definition, e.g. `arn:aws:states:::lambda:invoke`. */
  resource: string;
  arguments: Json;
  /** Present when the task ends by SendTaskSuccess or SendTaskFailure rather than by returning. */
  taskToken?: string;
  executionArn: string;
  stateName: string;
  /** Aborted when nobody waits for the task any more. */
  signal: AbortSignal;
}

/**
 * Runs one task and resolves with its result as the state machine sees it (for lambda:invoke
 * `{ Payload, StatusCode, ExecutedVersion }`). Rejects with `AslTaskError` to fail the task. A task that was in flight
 * when the process died is invoked again.
 */
export type InvokeTask = (task: TaskInvocation) => Promise<Json>;

/** What all executions of an engine share. */
export interface Machinery {
  clock: AslClock;
  store: ExecutionStore;
  invokeTask: InvokeTask;
  region: string;
  random(): number;
  /** Carries a lane on, in the background. */
  drive(run: Run, lane: Lane): void;
  /** Runs a change that came from outside the driver, e.g. a task's result, repeating it while the store fails. */
  guard(run: Run, change: () => void): void;
  onEvents(run: Run, events: readonly HistoryEvent[]): void;
  onClosed(run: Run): void;
}

export type Purpose = 'invocation' | 'timeout' | 'heartbeat' | 'until' | 'deadline';

export interface Run extends ExecutionState {
  key: string;
  machine: Machine;
  /** How to stop what a lane waits for outside the driver, by purpose. Lane 0 is the execution itself. */
  pending: Map<number, Map<Purpose, () => void>>;
  /** The lanes that a driver is carrying on at this moment. */
  driven: Set<Lane>;
  /** The engine has been closed: nothing more may be written, another process may have taken over. */
  halted: boolean;
}

/** A change before its events have ids. */
export interface Change extends Omit<JournalRecord, 'events'> {
  events?: EventDraft[];
}

export function isOpen(run: Run): boolean {
  return run.execution.status === 'RUNNING' && !run.halted;
}

/** Writes the change to the journal and applies it; throws `StoreError`, with nothing changed, when it cannot. */
export function commit(m: Machinery, run: Run, change: Change): void {
  let { record, events } = number(m, run, change);
  const ends = record.execution?.status !== undefined && record.execution.status !== 'RUNNING';
  // The last event is kept free for the execution's end.
  if (!ends && run.events.length + events.length >= LONGEST_HISTORY) {
    const cause = `The execution reached the maximum number of history events (${LONGEST_HISTORY}).`;
    ({ record, events } = number(
      m,
      run,
      endOf(m, 'FAILED', { error: RUNTIME_ERROR, cause, heartbeat: false }, 0),
    ));
  }
  m.store.append(run.key, record);
  applyRecord(run, record);
  if (ends || !isOpen(run)) {
    cancelAll(run);
    m.onClosed(run);
  }
  m.onEvents(run, events);
}

/** Gives the events their ids and chains them to their lanes. */
function number(m: Machinery, run: Run, change: Change): { record: JournalRecord; events: HistoryEvent[] } {
  const { events: drafts = [], ...rest } = change;
  const patches = new Map<number, Partial<Lane>>(change.lanes?.map(([id, patch]) => [id, { ...patch }]));
  const last = new Map<number, number>();
  const lastOf = (id: number) =>
    last.get(id) ?? patches.get(id)?.lastEventId ?? run.lanes.get(id)?.lastEventId ?? 0;
  const timestamp = m.clock.now();
  const events = drafts.map((draft, index): HistoryEvent => {
    const id = run.events.length + 1 + index;
    const event: HistoryEvent = { id, previousEventId: lastOf(draft.lane), timestamp, type: draft.type };
    if (draft.details !== undefined) event[detailsKey(draft.type)] = draft.details;
    if (draft.aside !== true && draft.lane !== 0) last.set(draft.lane, id);
    if (draft.also !== undefined && draft.also !== 0) last.set(draft.also, id);
    if (draft.type.endsWith('StateEntered')) patchOf(patches, draft.lane).enteredEventId = id;
    return event;
  });
  for (const [id, eventId] of last) patchOf(patches, id).lastEventId = eventId;
  const record: JournalRecord = { ...rest };
  if (patches.size > 0) record.lanes = [...patches];
  if (events.length > 0) record.events = events;
  return { record, events };
}

function patchOf(patches: Map<number, Partial<Lane>>, id: number): Partial<Lane> {
  const patch = patches.get(id) ?? {};
  patches.set(id, patch);
  return patch;
}

/** The change that ends an execution without success; `lane` is the one whose events the last event follows. */
export function endOf(
  m: Machinery,
  status: 'FAILED' | 'TIMED_OUT' | 'ABORTED',
  failure: Failure,
  lane: number,
): Change {
  const type = { FAILED: 'ExecutionFailed', TIMED_OUT: 'ExecutionTimedOut', ABORTED: 'ExecutionAborted' }[
    status
  ];
  // AWS names the time-out of an execution only in its history.
  const shown =
    status === 'TIMED_OUT' ? { error: null, cause: null } : { error: failure.error, cause: failure.cause };
  const execution: Partial<Execution> = { status, stopMs: m.clock.now(), ...shown };
  return { execution, events: [{ type, lane, details: failureDetails(failure) }] };
}

/** Calls `change` at `atMs` (epoch milliseconds) unless the lane's pending work is cancelled before. */
export function waitUntil(
  m: Machinery,
  run: Run,
  laneId: number,
  purpose: Purpose,
  atMs: number,
  change: () => void,
): void {
  const stop = callAt(m.clock, atMs, () => m.guard(run, change));
  addPending(run, laneId, purpose, stop);
}

export function addPending(run: Run, laneId: number, purpose: Purpose, stop: () => void): void {
  const stops = run.pending.get(laneId) ?? new Map<Purpose, () => void>();
  stops.set(purpose, stop);
  run.pending.set(laneId, stops);
}

/** Stops the lane's timers and tells its task that nobody waits any more. */
export function cancel(run: Run, laneId: number): void {
  const stops = run.pending.get(laneId);
  run.pending.delete(laneId);
  for (const stop of stops?.values() ?? []) stop();
}

export function cancelAll(run: Run): void {
  for (const id of [...run.pending.keys()]) cancel(run, id);
}

/** The block that a lane runs. */
export function blockOf(run: Run, lane: Lane): Block {
  const parent = run.lanes.get(lane.parentId);
  if (parent === undefined) return run.machine.block;
  const state = stateOf(run, parent);
  const block =
    state.type === 'Map'
      ? state.processor
      : state.type === 'Parallel'
        ? state.branches[lane.index]
        : undefined;
  if (block === undefined) throw new Error(`lane ${lane.id} has no block in ${state.type} ${state.name}`);
  return block;
}

export function stateOf(run: Run, lane: Lane): State {
  const state = blockOf(run, lane).states.get(lane.stateName);
  if (state === undefined) throw new Error(`there is no state ${lane.stateName}`);
  return state;
}

export function childLanes(run: Run, parent: Lane): Lane[] {
  return [...run.lanes.values()].filter((lane) => lane.parentId === parent.id);
}

/** All lanes below this one. */
export function descendants(run: Run, parent: Lane): Lane[] {
  return childLanes(run, parent).flatMap((child) => [child, ...descendants(run, child)]);
}

/** The variables a lane reads: its own before those of its ancestors. */
export function visibleVariables(run: Run, lane: Lane): JsonObject {
  const parent = run.lanes.get(lane.parentId);
  return parent === undefined ? lane.variables : { ...visibleVariables(run, parent), ...lane.variables };
}
