// The two clocks of a host. `monotonicMs` measures durations; `uptimeMs` also counts the time the host was suspended, which
// the monotonic clock does not. A difference between the two is the only sign of a suspension, after which a lease counts
// as lost until it is read again. The wall clock decides nothing and is not offered here.

import { openSync, readSync } from 'node:fs';

/** Milliseconds since an arbitrary start, never going back; stops while the host is suspended. */
export function monotonicMs(): number {
  return performance.now();
}

/** Kept open, for an agent asks hundreds of times a second: to open and close it each time takes six times as long. */
let uptimeFile: number | null = null;
const uptimeText = Buffer.alloc(64);

/** Milliseconds since boot including suspension, in steps of 10 ms. Read synchronously: /proc never blocks on a disk. */
export function uptimeMs(): number {
  uptimeFile ??= openSync('/proc/uptime', 'r');
  // From its beginning each time: the kernel writes the text anew for each such read.
  const bytes = readSync(uptimeFile, uptimeText, 0, uptimeText.length, 0);
  const seconds = Number.parseFloat(uptimeText.toString('latin1', 0, bytes));
  if (!Number.isFinite(seconds)) throw new Error('/proc/uptime does not begin with a number');
  return seconds * 1000;
}

/** Resolves after `ms` milliseconds. */
export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
