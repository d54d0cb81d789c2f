/**
 * Did this agent's loop stand still? A suspended host, a stopped process and a machine without time all look alike afterwards:
 * a beat comes late. What was believed before the gap is then believed no more (L5). A clock that counts suspension
 * is needed, and each beat says when the next one is due.
 */
import { fenceBudget } from '../core/lease/lease-clock.ts';

/**
 * How late a beat may be. One that is late by less than a whole heartbeat is a busy machine, and a lease lost to that would cost
 * clients more than it protects; from there on the loop has missed a renewal it should have made. Never so late that the
 * fence should have begun meanwhile.
 */
export function loopGapMs(times: { readonly heartbeatMs: number; readonly ttlMs: number }): number {
  return Math.min(times.heartbeatMs, fenceBudget(times.ttlMs).unreadyAfterMs - times.heartbeatMs);
}

export class LoopWatch {
  #dueMs: number | null = null;

  /** The loop has come round; the next beat is due after `heartbeatMs`. */
  beat(nowMs: number, heartbeatMs: number): void {
    this.#dueMs = nowMs + heartbeatMs;
  }

  /** How late the beat is, when it is later than a gap; told once. Null: the loop runs, or has not begun. */
  gap(nowMs: number, times: { readonly heartbeatMs: number; readonly ttlMs: number }): number | null {
    if (this.#dueMs === null) return null;
    const lateMs = nowMs - this.#dueMs;
    if (lateMs <= loopGapMs(times)) return null;
    // The beat itself may still be on its way: it is due from now.
    this.#dueMs = nowMs;
    return lateMs;
  }
}
