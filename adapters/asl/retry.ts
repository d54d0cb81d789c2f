// Which Retry or Catch rule an error selects and how long a retry waits: pure, as the states language defines it.

import { DATA_LIMIT_EXCEEDED, type Failure, RUNTIME_ERROR, TIMEOUT_ERROR } from './failure.ts';

export interface Retrier {
  errorEquals: readonly string[];
  intervalSeconds: number;
  maxAttempts: number;
  backoffRate: number;
  maxDelaySeconds: number | null;
  jitter: 'FULL' | 'NONE';
}

/**
 * Whether one of these error names covers the failure. The wildcards as AWS documents them: States.ALL covers all but
 * States.DataLimitExceeded and States.Runtime, States.TaskFailed all but those two and time-outs. A missed heartbeat is
 * covered by States.HeartbeatTimeout as well as by States.Timeout.
 */
export function covers(errorEquals: readonly string[], failure: Failure): boolean {
  const error = failure.error ?? '';
  const terminal = error === DATA_LIMIT_EXCEEDED || error === RUNTIME_ERROR;
  return errorEquals.some((name) => {
    if (name === error) return error !== RUNTIME_ERROR;
    if (name === 'States.ALL') return !terminal;
    if (name === 'States.TaskFailed') return !terminal && error !== TIMEOUT_ERROR;
    if (name === 'States.HeartbeatTimeout') return failure.heartbeat;
    return false;
  });
}

/**
 * The wait before the retry that this failure gets, or undefined when it gets none. `attempts[i]` counts the retries
 * already made by retrier i; the first retrier that covers the failure decides alone, even when it is exhausted.
 * `random` is in [0, 1) and is used by full jitter only.
 */
export function nextRetry(
  retriers: readonly Retrier[],
  attempts: readonly number[],
  failure: Failure,
  random: () => number,
): { retrier: number; delayMs: number } | undefined {
  const index = retriers.findIndex((each) => covers(each.errorEquals, failure));
  const retrier = retriers[index];
  if (retrier === undefined) return undefined;
  const made = attempts[index] ?? 0;
  if (made >= retrier.maxAttempts) return undefined;
  const grown = retrier.intervalSeconds * retrier.backoffRate ** made;
  const delayMs = Math.min(grown, retrier.maxDelaySeconds ?? grown) * 1000;
  return { retrier: index, delayMs: retrier.jitter === 'FULL' ? random() * delayMs : delayMs };
}
