// The interpreter's only source of time, so that tests can own it. Deadlines are kept as epoch milliseconds because they
// must mean the same in the next process; what waits for one is a timer, never a poll.

export interface AslClock {
  /** Milliseconds since the epoch. */
  now(): number;
  setTimeout(call: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

export const systemClock: AslClock = {
  now: () => Date.now(),
  setTimeout: (call, delayMs) => setTimeout(call, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** Node fires a timer at once when its delay does not fit 31 bits: longer waits are made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Calls `call` at `atMs` (epoch milliseconds; at once when that has passed). Returns the function that cancels it. */
export function callAt(clock: AslClock, atMs: number, call: () => void): () => void {
  let timer: unknown;
  const arm = (leftMs: number) => {
    const stepMs = Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS);
    timer = clock.setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : call()), stepMs);
  };
  arm(atMs - clock.now());
  return () => clock.clearTimeout(timer);
}
