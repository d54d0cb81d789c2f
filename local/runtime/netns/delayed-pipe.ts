/**
 * Carries one connection over another, both ways, each chunk as late as it is told: the tests' own replacement for netem, which a
 * kernel without the module does not have. Order is kept whatever the jitter; an end and a reset are carried on as what they are.
 */
import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';

/** How late data is delivered. The jitter is drawn for each chunk, from 0 to `jitterMs`, and added. */
export interface Delay {
  /** From who connected to who was connected to. */
  readonly forthMs: number;
  readonly backMs: number;
  readonly jitterMs: number;
}

export const noDelay: Delay = { forthMs: 0, backMs: 0, jitterMs: 0 };

/** A sender is not read from while more than this is on its way. */
const mostBytesUnderWay = 1024 * 1024;

/** Both sockets allow half-open connections. `delay` is asked anew for each chunk; `onBytes` is told what was read. */
export function carryBothWays(
  near: Socket,
  far: Socket,
  delay: () => Delay,
  onBytes: (way: 'forth' | 'back', count: number) => void,
): void {
  near.setNoDelay(true);
  far.setNoDelay(true);
  carry(
    near,
    far,
    () => late(delay().forthMs, delay().jitterMs),
    (count) => onBytes('forth', count),
  );
  carry(
    far,
    near,
    () => late(delay().backMs, delay().jitterMs),
    (count) => onBytes('back', count),
  );
}

function late(ms: number, jitterMs: number): number {
  return jitterMs > 0 ? ms + randomInt(0, jitterMs + 1) : ms;
}

/** A Unix socket knows no reset: it is closed, with whatever was under way. */
function reset(socket: Socket): void {
  try {
    socket.resetAndDestroy();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_INVALID_HANDLE_TYPE') throw error;
    socket.destroy();
  }
}

/** Null is the end of what `from` has to say. */
function carry(from: Socket, to: Socket, lateMs: () => number, onBytes: (count: number) => void): void {
  const underWay: { readonly chunk: Buffer | null; readonly dueMs: number }[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | null = null;
  let lastDueMs = 0;
  let full = false;

  const deliver = (chunk: Buffer | null): void => {
    if (chunk === null) to.end();
    else if (!to.write(chunk)) {
      full = true;
      to.once('drain', () => {
        full = false;
        readAgain();
      });
    }
    readAgain();
  };
  const readAgain = (): void => {
    if (full || bytes > mostBytesUnderWay) from.pause();
    else if (from.isPaused()) from.resume();
  };
  const deliverDue = (): void => {
    timer = null;
    for (let next = underWay[0]; next !== undefined && next.dueMs <= performance.now(); next = underWay[0]) {
      underWay.shift();
      bytes -= next.chunk?.length ?? 0;
      deliver(next.chunk);
    }
    schedule();
  };
  const schedule = (): void => {
    const next = underWay[0];
    if (next === undefined || timer !== null) return;
    timer = setTimeout(deliverDue, Math.max(0, next.dueMs - performance.now()));
  };
  const take = (chunk: Buffer | null): void => {
    const ms = lateMs();
    if (ms === 0 && underWay.length === 0) {
      deliver(chunk);
      return;
    }
    lastDueMs = Math.max(lastDueMs, performance.now() + ms);
    underWay.push({ chunk, dueMs: lastDueMs });
    bytes += chunk?.length ?? 0;
    readAgain();
    schedule();
  };

  from.on('data', (chunk: Buffer) => {
    onBytes(chunk.length);
    take(chunk);
  });
  from.on('end', () => take(null));
  from.on('error', () => {
    if (timer !== null) clearTimeout(timer);
    underWay.length = 0;
    reset(to);
  });
  to.on('close', () => {
    // Closed after all was said is no reason: the other way may have data under way still.
    if (to.writableEnded) return;
    if (timer !== null) clearTimeout(timer);
    underWay.length = 0;
    from.destroy();
  });
}
