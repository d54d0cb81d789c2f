// Redrive: an execution that did not succeed goes on at the states that did not succeed, with what was done kept. A lane
// that was done stays done; a Map or Parallel keeps its finished lanes and enters only the others again.

import { childrenOf, type Execution, type JournalRecord, type Lane } from './execution.ts';
import { LONGEST_HISTORY } from './history.ts';
import type { Change, Run } from './run.ts';

const REDRIVABLE_MS = 14 * 24 * 3600 * 1000;

/** Why AWS would refuse the redrive, or undefined. `events` is the length of the history (0 when not known). */
export function whyNotRedrivable(execution: Execution, events: number, nowMs: number): string | undefined {
  if (execution.status === 'RUNNING') return 'Execution is RUNNING and cannot be redriven';
  if (execution.status === 'SUCCEEDED') return 'Execution is SUCCEEDED and cannot be redriven';
  if (nowMs - (execution.stopMs ?? nowMs) > REDRIVABLE_MS) {
    return 'Execution has exceeded its redrivable period of 14 days and cannot be redriven';
  }
  if (events >= LONGEST_HISTORY - 1) return 'Execution history event limit exceeded and cannot be redriven';
  return undefined;
}

export function redriveChange(run: Run, token: string | null, nowMs: number): Change {
  const { redriveCount } = run.execution;
  const { timeoutSeconds } = run.machine;
  const lanes: NonNullable<JournalRecord['lanes']> = [];
  for (const lane of run.lanes.values()) {
    const patch = reentering(lane);
    if (patch !== undefined) lanes.push([lane.id, patch]);
  }
  return {
    execution: {
      status: 'RUNNING',
      stopMs: null,
      error: null,
      cause: null,
      redriveCount: redriveCount + 1,
      redriveMs: nowMs,
      redriveToken: token,
      deadlineMs: timeoutSeconds === null ? null : nowMs + timeoutSeconds * 1000,
    },
    lanes,
    events: [{ lane: 1, type: 'ExecutionRedriven', details: { redriveCount: redriveCount + 1 } }],
  };
}

function reentering(lane: Lane): Partial<Lane> | undefined {
  const { phase } = lane;
  if (phase.kind === 'done' || phase.kind === 'succeeded') return undefined;
  return { phase: childrenOf(phase) ?? { kind: 'entered' }, retries: [] };
}
