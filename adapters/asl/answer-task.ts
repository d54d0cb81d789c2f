// The answers of tasks that wait for their token. A verdict of `accepted` is given only after the answer was written to
// the journal; one that comes late, twice or with a made-up token changes nothing and is told apart as AWS does.

import { commit, isOpen, type Machinery, type Run } from './run.ts';
import { endTask, readTaskToken, type TaskOutcome } from './task.ts';

export type TaskAnswer = TaskOutcome | { kind: 'heartbeat' };

/**
 * - accepted: the answer is written down and the execution goes on.
 * - timed-out: there was such a task, but nobody waits for it any more.
 * - unknown: the token is well formed, but its execution is not here.
 * - invalid: this is no token.
 */
export type TokenVerdict = 'accepted' | 'timed-out' | 'unknown' | 'invalid';

/** Throws `StoreError` when the answer could not be written; it may then be given again. */
export function answerTask(
  m: Machinery,
  token: string,
  answer: TaskAnswer,
  executions: { open(arn: string): Run | undefined; isKnown(arn: string): boolean },
): TokenVerdict {
  const target = readTaskToken(token);
  if (target === undefined) return 'invalid';
  const run = executions.open(target.executionArn);
  if (run === undefined) return executions.isKnown(target.executionArn) ? 'timed-out' : 'unknown';
  const lane = run.lanes.get(target.laneId);
  const phase = lane?.phase;
  if (lane === undefined || phase?.kind !== 'task' || phase.token !== token || !isOpen(run))
    return 'timed-out';
  if (answer.kind !== 'heartbeat') endTask(m, run, lane, answer);
  else if (phase.heartbeatMs !== null) {
    // The timer looks again when it fires; only the deadline moves.
    const heartbeatAtMs = m.clock.now() + phase.heartbeatMs;
    commit(m, run, { lanes: [[lane.id, { phase: { ...phase, heartbeatAtMs } }]] });
  }
  return 'accepted';
}
