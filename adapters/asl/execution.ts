// The complete state of an execution as data: what a journal stores and a restart restores. An execution is a tree of
// lanes. A lane runs one `States` block from its start to its end: the root lane the machine's, each Map iteration and
// each Parallel branch one of its own. Invariant: whatever is needed to go on is in here, so that a process may be
// killed between any two records.

import type { Failure } from './failure.ts';
import type { HistoryEvent } from './history.ts';
import type { Json, JsonObject } from './json.ts';

export type ExecutionStatus = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

export interface Execution {
  arn: string;
  name: string;
  stateMachineArn: string;
  stateMachineName: string;
  roleArn: string;
  /** The definition it was started with, which it keeps even when the state machine changes. */
  definition: string;
  /** JSON text, byte for byte as the caller gave it. */
  input: string;
  status: ExecutionStatus;
  startMs: number;
  stopMs: number | null;
  /** When the whole execution times out. */
  deadlineMs: number | null;
  /** JSON text. */
  output: string | null;
  error: string | null;
  cause: string | null;
  redriveCount: number;
  redriveMs: number | null;
  redriveToken: string | null;
  lastLaneId: number;
}

/** A Map or Parallel at work: `started` of its `count` lanes exist, at most `concurrency` of them at a time. */
export interface ChildrenPhase {
  kind: 'children';
  count: number;
  started: number;
  concurrency: number;
}

export interface TaskPhase {
  kind: 'task';
  arguments: Json;
  /** The id of its TaskScheduled event: tells this attempt from every other. */
  attempt: number;
  /** Set when the resource waits for a callback. */
  token: string | null;
  /** The invocation that hands out the token has returned: it must not be repeated. */
  submitted: boolean;
  timeoutAtMs: number | null;
  heartbeatMs: number | null;
  heartbeatAtMs: number | null;
}

/**
 * Where a lane stands in its current state.
 * - entered: the state's action is about to be worked out. Entered by a transition, a retry, a redrive.
 * - task: a task is in flight. Left by its result, its callback or a time-out.
 * - until: waits for a time, then leaves the state (Wait) or enters it anew (a retry's backoff).
 * - children: lanes of a Map or Parallel run. Left when all are done or one has failed.
 * - succeeded, erred: the action has ended; Output and Assign, or Retry and Catch, are to be worked out.
 * - done: the lane has ended with an output. failed, aborted: it ended without; a redrive enters its state again.
 */
export type Phase =
  | { kind: 'entered' }
  | TaskPhase
  | { kind: 'until'; atMs: number; afterwards: 'leave' | 'retry' }
  | ChildrenPhase
  | { kind: 'succeeded'; result: Json }
  | { kind: 'erred'; failure: Failure; children: ChildrenPhase | null }
  | { kind: 'done'; output: Json }
  | { kind: 'failed' | 'aborted'; children: ChildrenPhase | null };

export interface Lane {
  id: number;
  /** 0 for the root lane. */
  parentId: number;
  /** The iteration or branch it is. */
  index: number;
  stateName: string;
  enteredMs: number;
  enteredEventId: number;
  input: Json;
  /** The variables of its own scope; it also reads those of its ancestors. */
  variables: JsonObject;
  /** Retries made of the current state, by retrier. */
  retries: number[];
  /** The items of the Map it is in, and what ItemSelector made of them (null: the items themselves). */
  items: Json[];
  itemInputs: Json[] | null;
  /** The event that its next event follows. */
  lastEventId: number;
  phase: Phase;
}

/** One atomic step of an execution, as the journal stores it. */
export interface JournalRecord {
  execution?: Partial<Execution>;
  /** New lanes in full, others by the fields that change. */
  lanes?: [id: number, patch: Partial<Lane>][];
  removed?: number[];
  events?: HistoryEvent[];
}

export interface ExecutionState {
  execution: Execution;
  lanes: Map<number, Lane>;
  events: HistoryEvent[];
}

/** Applies a record. Lanes keep their identity, so that whoever holds one sees it change. */
export function applyRecord(state: ExecutionState, record: JournalRecord): void {
  if (record.execution !== undefined) Object.assign(state.execution, record.execution);
  for (const [id, patch] of record.lanes ?? []) {
    const lane = state.lanes.get(id);
    if (lane === undefined) state.lanes.set(id, patch as Lane);
    else Object.assign(lane, patch);
  }
  for (const id of record.removed ?? []) state.lanes.delete(id);
  state.events.push(...(record.events ?? []));
}

/** Rebuilds an execution from its journal; undefined when not even its first record was written. */
export function foldRecords(records: readonly JournalRecord[]): ExecutionState | undefined {
  const state: ExecutionState = { execution: {} as Execution, lanes: new Map(), events: [] };
  for (const record of records) applyRecord(state, record);
  return records.length === 0 ? undefined : state;
}

/** A lane's phase when it is stopped from outside, or fails: what a redrive needs to know of its children. */
export function childrenOf(phase: Phase): ChildrenPhase | null {
  if (phase.kind === 'children') return phase;
  return phase.kind === 'erred' || phase.kind === 'failed' || phase.kind === 'aborted'
    ? phase.children
    : null;
}
