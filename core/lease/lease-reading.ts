/**
 * How a watcher reads the lease, and how soon again. A strongly consistent read costs twice an eventually consistent one, and all that
 * the second kind may say here is "the same holder renewed": it can only put off what silence would lead to, by a value that was really
 * written. Everything else, silence included, is believed of consistent reads alone (invariant L4).
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Lease } from '../model/lease.ts';
import { type LeaseWatch, readIntervalMs } from './lease-clock.ts';

export interface Head {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
}

/** True when `answer` says nothing but that the holder that is known has renewed since: the one thing that needs no consistent read. */
export function saysOnlyRenewed(known: Head, answer: Head): boolean {
  const [before, now] = [known.lease, answer.lease];
  if (before === null || now === null || known.record === null || answer.record === null) return false;
  return (
    answer.record.version === known.record.version &&
    now.seq > before.seq &&
    sameButSeq(before) === sameButSeq(now)
  );
}

/** All of the lease but `seq`, to compare. */
function sameButSeq(lease: Lease): string {
  return JSON.stringify({ ...lease, seq: 0 }, (_name, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

export interface ReadingState {
  readonly known: Head;
  /** Since when exactly this lease has been read. */
  readonly sinceMs: number;
  readonly nowMs: number;
  readonly heartbeatMs: number;
  /** This agent holds the lease, or may still count on it. */
  readonly holds: boolean;
  readonly suspicious: boolean;
  /** Until then such reads are not tried: the last one was of no use. */
  readonly consistentUntilMs: number;
}

/** After an eventually consistent read that was of no use: with one a minute they cost nothing even where all are stale. */
export const consistentForMs = 60_000;

/** A watcher that expects a renewal by now, of a lease that is held and renewed, in a cluster in which nothing is under way. */
export function mayReadEventually(state: ReadingState): boolean {
  const { record, lease } = state.known;
  return (
    !state.holds &&
    !state.suspicious &&
    record !== null &&
    record.operation === null &&
    lease !== null &&
    lease.state === 'held' &&
    lease.successor === null &&
    state.nowMs - state.sinceMs >= state.heartbeatMs / 2 &&
    !isMissed(state) &&
    state.nowMs >= state.consistentUntilMs
  );
}

/** The renewal that was due has not been seen. */
export function isMissed({
  sinceMs,
  nowMs,
  heartbeatMs,
}: Pick<ReadingState, 'sinceMs' | 'nowMs' | 'heartbeatMs'>): boolean {
  return nowMs - sinceMs > 1.5 * heartbeatMs;
}

/** Where wake-ups come with each renewal, the watcher waits a little longer for the next one before it reads by itself. */
const patience = 1.15;

/**
 * How long after one read the next is made, if no wake-up makes it sooner; null: at one of the holder's beats. `woken`: a wake-up made this
 * one. One that came too early for a renewal, or found none, is repeated soon, so that a missing one is noticed within two heartbeats.
 */
export function nextReadMs(
  watch: LeaseWatch,
  heartbeatMs: number,
  read: {
    readonly suspicious: boolean;
    readonly woken: boolean;
    readonly isHolder: boolean;
    readonly nowMs: number;
  },
): number | null {
  const interval = readIntervalMs(watch, heartbeatMs, read.suspicious);
  if (interval < heartbeatMs) return interval;
  if (read.isHolder) return null;
  const dueMs = watch.sinceMs + heartbeatMs * (read.woken ? patience : 1);
  return Math.max(heartbeatMs / 2, dueMs - read.nowMs);
}
