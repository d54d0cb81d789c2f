/**
 * Time and the lease. The holder's side: until when may PostgreSQL accept writes, and when must each stage of the
 * fence begin (invariant L3: writable only while this host can prove, on its own clock, that it holds the lease). The
 * watcher's side: since when has the lease not changed, and may it be sealed (L4: never before the holder's deadline).
 * All times are milliseconds of one host's clock that counts suspension (/proc/uptime); no wall clock anywhere.
 */
import type { Lease } from '../model/lease.ts';

/** The stages of a fence, in ms after the last successful renewal was sent. */
export interface FenceBudget {
  /** One attempt to renew may take this long. */
  readonly attemptTimeoutMs: number;
  /** From here `/primary` answers 503 and proxies cut. */
  readonly unreadyAfterMs: number;
  /** From here PostgreSQL is told to quit immediately. */
  readonly quitAfterMs: number;
  /** From here the agent kills everything. */
  readonly killAfterMs: number;
  /** From here the guard kills everything by itself. */
  readonly guardKillAfterMs: number;
  /** Nothing may accept a write from here on. */
  readonly deadlineAfterMs: number;
}

/** How long stopping everything may take, at the most, within the budget. */
export const stopBudgetMs = 300;

export function fenceBudget(ttlMs: number): FenceBudget {
  return {
    attemptTimeoutMs: Math.round(ttlMs * 0.15),
    unreadyAfterMs: Math.round(ttlMs * 0.6),
    quitAfterMs: Math.round(ttlMs * 0.65),
    killAfterMs: Math.round(ttlMs * 0.775),
    guardKillAfterMs: Math.round(ttlMs * 0.85),
    deadlineAfterMs: ttlMs,
  };
}

/** Null when the pair is usable, else what is wrong with it. */
export function checkLeaseTimes(times: { heartbeatMs: number; ttlMs: number }): string | null {
  const least = 2 * times.heartbeatMs + stopBudgetMs;
  return times.ttlMs >= least
    ? null
    : `ttlMs ${times.ttlMs} must be at least 2 x heartbeatMs + ${stopBudgetMs} = ${least}`;
}

/** The holder's knowledge: `sentAtMs` is when the last renewal that was *answered* had been sent. */
export interface Hold {
  readonly epoch: number;
  readonly sentAtMs: number;
  readonly ttlMs: number;
}

/** A renewal sent at `sentAtMs` was acknowledged. Answers that arrive out of order never shorten or extend wrongly. */
export function renewed(hold: Hold | null, epoch: number, sentAtMs: number, ttlMs: number): Hold {
  if (hold !== null && hold.epoch > epoch) return hold;
  if (hold !== null && hold.epoch === epoch && hold.sentAtMs >= sentAtMs) return hold;
  return { epoch, sentAtMs, ttlMs };
}

export type HoldStage = 'none' | 'valid' | 'unready' | 'quit' | 'kill' | 'expired';

/** Which stage of the fence the holder is in at `nowMs`. */
export function holdStage(hold: Hold | null, nowMs: number): HoldStage {
  if (hold === null) return 'none';
  const budget = fenceBudget(hold.ttlMs);
  const age = nowMs - hold.sentAtMs;
  if (age < budget.unreadyAfterMs) return 'valid';
  if (age < budget.quitAfterMs) return 'unready';
  if (age < budget.killAfterMs) return 'quit';
  if (age < budget.deadlineAfterMs) return 'kill';
  return 'expired';
}

/** When the next stage begins, for a timer; null when there is none. */
export function nextStageAtMs(hold: Hold | null, nowMs: number): number | null {
  if (hold === null) return null;
  const budget = fenceBudget(hold.ttlMs);
  const stages = [budget.unreadyAfterMs, budget.quitAfterMs, budget.killAfterMs, budget.deadlineAfterMs];
  const next = stages.map((afterMs) => hold.sentAtMs + afterMs).find((atMs) => atMs > nowMs);
  return next ?? null;
}

/** What a watcher knows: the lease it read last, and since when it has read exactly that. */
export interface LeaseWatch {
  readonly lease: Lease | null;
  /** Receipt of the first answer with these values. */
  readonly sinceMs: number;
}

/** At one's own start nothing is known, and the clock begins anew. */
export function startWatch(nowMs: number): LeaseWatch {
  return { lease: null, sinceMs: nowMs };
}

/**
 * An answer was received. Any change restarts the clock. An answer older than what is known, or to the effect that there is
 * no lease, was overtaken on its way and is ignored, unless the call was sent after all that is known had been received
 * (`sentSince`): a consistent read cannot be overtaken then, so the table itself went back, and that must be seen.
 */
export function watched(
  watch: LeaseWatch,
  answer: Lease | null,
  receivedAtMs: number,
  sentSince = false,
): LeaseWatch {
  const known = watch.lease;
  if (known === null && answer === null) return watch;
  if (known !== null && !sentSince && (answer === null || isOlder(answer, known))) return watch;
  const same = known !== null && answer !== null && answer.epoch === known.epoch && answer.seq === known.seq;
  if (same && answer.state === known.state) return watch;
  return { lease: answer, sinceMs: receivedAtMs };
}

function isOlder(answer: Lease, known: Lease): boolean {
  return answer.epoch < known.epoch || (answer.epoch === known.epoch && answer.seq < known.seq);
}

/** Covers the granularity of /proc/uptime at both ends (10 ms each). */
export const sealMarginMs = 30;

/** How long a watcher must have seen no change before it may seal. Clocks may drift apart by 3 %. */
export function sealAfterMs(ttlMs: number): number {
  return ttlMs * 1.03 + sealMarginMs;
}

/**
 * How long a lease has not changed when its holder counts as silent: by then the holder itself has turned its clients away, unless
 * its members let it serve while DynamoDB is away (failsafe). Not enough to seal: it may still write.
 */
export function silentAfterMs(ttlMs: number): number {
  return fenceBudget(ttlMs).unreadyAfterMs * 1.03 + sealMarginMs;
}

/** True when `node` may seal the lease it watches. */
export function maySeal(watch: LeaseWatch, node: string, nowMs: number): boolean {
  const lease = watch.lease;
  return (
    lease !== null &&
    lease.state === 'held' &&
    lease.holder !== node &&
    lease.members.includes(node) &&
    nowMs - watch.sinceMs >= sealAfterMs(lease.ttlMs)
  );
}

/** How often a watcher reads: each heartbeat, and at least every 100 ms once it has missed a renewal. */
export function readIntervalMs(watch: LeaseWatch, heartbeatMs: number, suspicious: boolean): number {
  return suspicious || watch.lease?.state !== 'held' ? Math.min(100, heartbeatMs) : heartbeatMs;
}
