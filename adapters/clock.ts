// The two clocks of a host. `monotonicMs` measures durations; `uptimeMs` also counts the time the host was suspended, which
// the monotonic clock does not. A difference between the two is the only sign of a suspension, after which a lease counts
// as lost until it is read again. The wall clock decides nothing and is not offered here.

import { readFileSync } from 'node:fs';

/** Milliseconds since an arbitrary start, never going back; stops while the host is suspended. */
export function monotonicMs(): number {
  return performance.now();
}

/** Milliseconds since boot including suspension, in steps of 10 ms. Read synchronously: /proc never blocks on a disk. */
export function uptimeMs(): number {
  const seconds = Number.parseFloat(readFileSync('/proc/uptime', 'latin1'));
  if (!Number.isFinite(seconds)) throw new Error('/proc/uptime does not begin with a number');
  return seconds * 1000;
}

/** Resolves after `ms` milliseconds. */
export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
