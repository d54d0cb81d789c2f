// Tasks in flight: invocation, callbacks, time-outs. A task phase is written before the invocation is made and its
// outcome before anybody is told, so a kill can repeat a task that returns, but never loses an answer that was accepted.
// Each attempt is known by the id of its TaskScheduled event: what arrives late for another attempt changes nothing.

import { randomBytes } from 'node:crypto';
import type { Lane, Phase, TaskPhase } from './execution.ts';
import { AslTaskError, DATA_LIMIT_EXCEEDED, type Failure, TIMEOUT_ERROR } from './failure.ts';
import { type EventDraft, failureDetails, outputDetails, resourceDetails } from './history.ts';
import { fitsPayload, type Json } from './json.ts';
import { addPending, cancel, commit, isOpen, type Machinery, type Run, stateOf, waitUntil } from './run.ts';

export type TaskOutcome =
  | { kind: 'succeeded'; result: Json }
  | { kind: 'failed'; failure: Failure }
  | { kind: 'timed-out'; heartbeat: boolean };

/** Where a token leads. Tokens carry this themselves, so that an old one can still be told from a false one. */
export interface TokenTarget {
  executionArn: string;
  laneId: number;
}

export function createTaskToken(target: TokenTarget): string {
  const parts = [target.executionArn, target.laneId, randomBytes(16).toString('hex')];
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

export function readTaskToken(token: string): TokenTarget | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (!Array.isArray(parts)) return undefined;
    const [executionArn, laneId, nonce] = parts as unknown[];
    if (typeof executionArn !== 'string' || typeof laneId !== 'number' || typeof nonce !== 'string')
      return undefined;
    return { executionArn, laneId };
  } catch {
    return undefined;
  }
}

function taskPhase(run: Run, lane: Lane, attempt: number): TaskPhase | undefined {
  const { phase } = lane;
  const here =
    isOpen(run) && run.lanes.get(lane.id) === lane && phase.kind === 'task' && phase.attempt === attempt;
  return here ? phase : undefined;
}

function resourceOf(run: Run, lane: Lane): string {
  const state = stateOf(run, lane);
  if (state.type !== 'Task') throw new Error(`${state.name} is no Task`);
  return state.resource;
}

/** Starts, or after a restart resumes, what a lane in a task phase waits for. */
export function armTask(m: Machinery, run: Run, lane: Lane): void {
  const { phase } = lane;
  if (phase.kind !== 'task') return;
  const { attempt, timeoutAtMs } = phase;
  if (timeoutAtMs !== null) {
    waitUntil(m, run, lane.id, 'timeout', timeoutAtMs, () => {
      if (taskPhase(run, lane, attempt) !== undefined)
        endTask(m, run, lane, { kind: 'timed-out', heartbeat: false });
    });
  }
  armHeartbeat(m, run, lane, attempt);
  if (!phase.submitted) invoke(m, run, lane, phase);
}

/** One timer that looks again when it fires: heartbeats only move the deadline. */
function armHeartbeat(m: Machinery, run: Run, lane: Lane, attempt: number): void {
  const phase = taskPhase(run, lane, attempt);
  if (phase === undefined || phase.heartbeatAtMs === null) return;
  if (phase.heartbeatAtMs <= m.clock.now()) endTask(m, run, lane, { kind: 'timed-out', heartbeat: true });
  else
    waitUntil(m, run, lane.id, 'heartbeat', phase.heartbeatAtMs, () => armHeartbeat(m, run, lane, attempt));
}

function invoke(m: Machinery, run: Run, lane: Lane, phase: TaskPhase): void {
  const { attempt, token } = phase;
  const controller = new AbortController();
  addPending(run, lane.id, 'invocation', () => controller.abort());
  const invocation = {
    resource: resourceOf(run, lane),
    arguments: phase.arguments,
    ...(token === null ? {} : { taskToken: token }),
    executionArn: run.execution.arn,
    stateName: lane.stateName,
    signal: controller.signal,
  };
  const settle = (outcome: TaskOutcome) => {
    if (taskPhase(run, lane, attempt) !== undefined) run.pending.get(lane.id)?.delete('invocation');
    m.guard(run, () => {
      if (taskPhase(run, lane, attempt) === undefined) return;
      if (token !== null && outcome.kind === 'succeeded') submitted(m, run, lane, attempt, outcome.result);
      else endTask(m, run, lane, outcome);
    });
  };
  // Through a promise, so that an invoker that throws at once fails its task all the same.
  Promise.resolve()
    .then(() => m.invokeTask(invocation))
    .then(
      (result) => settle({ kind: 'succeeded', result: result === undefined ? null : result }),
      (error: unknown) => settle({ kind: 'failed', failure: failureFrom(error) }),
    );
}

function failureFrom(error: unknown): Failure {
  if (error instanceof AslTaskError) return { error: error.error, cause: error.cause, heartbeat: false };
  const cause = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { error: 'States.TaskFailed', cause, heartbeat: false };
}

/** The invocation of a task that calls back has returned: from now on only its token ends it. */
function submitted(m: Machinery, run: Run, lane: Lane, attempt: number, result: Json): void {
  const phase = taskPhase(run, lane, attempt);
  if (phase === undefined) return;
  const details = { ...resourceDetails(resourceOf(run, lane)), ...outputDetails(JSON.stringify(result)) };
  commit(m, run, {
    lanes: [[lane.id, { phase: { ...phase, submitted: true } }]],
    events: [{ lane: lane.id, type: 'TaskSubmitted', details }],
  });
}

/** Ends the attempt in flight. The caller has made sure that it is this one. */
export function endTask(m: Machinery, run: Run, lane: Lane, outcome: TaskOutcome): void {
  const resource = resourceDetails(resourceOf(run, lane));
  const erred = (type: string, failure: Failure): [Phase, EventDraft] => [
    { kind: 'erred', failure, children: null },
    { lane: lane.id, type, details: { ...resource, ...failureDetails(failure) } },
  ];
  const [phase, event] = ((): [Phase, EventDraft] => {
    switch (outcome.kind) {
      case 'succeeded': {
        const text = JSON.stringify(outcome.result);
        if (!fitsPayload(text)) return erred('TaskFailed', tooLarge(lane));
        const details = { ...resource, ...outputDetails(text) };
        return [
          { kind: 'succeeded', result: outcome.result },
          { lane: lane.id, type: 'TaskSucceeded', details },
        ];
      }
      case 'failed':
        return erred('TaskFailed', outcome.failure);
      case 'timed-out':
        return erred('TaskTimedOut', { error: TIMEOUT_ERROR, cause: null, heartbeat: outcome.heartbeat });
    }
  })();
  commit(m, run, { lanes: [[lane.id, { phase }]], events: [event] });
  cancel(run, lane.id);
  m.drive(run, lane);
}

function tooLarge(lane: Lane): Failure {
  const cause = `The task of the state '${lane.stateName}' returned a result with a size exceeding the maximum number of bytes service limit.`;
  return { error: DATA_LIMIT_EXCEEDED, cause, heartbeat: false };
}

/** After a restart: nobody could have taken a heartbeat meanwhile, so each of these deadlines starts anew. */
export function renewHeartbeats(m: Machinery, run: Run): void {
  const nowMs = m.clock.now();
  for (const lane of run.lanes.values()) {
    const { phase } = lane;
    if (phase.kind !== 'task' || phase.heartbeatMs === null) continue;
    commit(m, run, { lanes: [[lane.id, { phase: { ...phase, heartbeatAtMs: nowMs + phase.heartbeatMs } }]] });
  }
}
