/**
 * The host's watchdog device (`/dev/watchdog`): the last resort when agent and guard are both gone or the kernel has no time for them,
 * for it resets the machine. Its interface is what Node can do without an ioctl: opening arms it, any write puts the reset
 * off, a `V` right before the close disarms it, a close without one leaves it armed. Upholds F3: it is pinged only by proven renewals of
 * the lease, and disarmed only when PostgreSQL is known to be down or a standby.
 *
 * | state    | entered                                              | left                                            |
 * |----------|------------------------------------------------------|-------------------------------------------------|
 * | disarmed | at first; `notWritable` (a `V`, then closed)         | `proven`: the first renewal of a hold           |
 * | armed    | `proven`                                             | `notWritable`; else the kernel resets the host  |
 * | left     | an agent died while it was armed                     | its successor: `proven`, or `notWritable`       |
 *
 * The reset comes after the device's own time-out, which only root sets (`wdctl --settimeout`): 60 s unless told otherwise, far more
 * than a lease lives. Until then the guard and the fence are what keeps the promise.
 */
import { closeSync, constants, existsSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import type { Hold } from '../core/lease/lease-clock.ts';

export interface WatchdogDeps {
  /** The device; null: none is to be used. */
  readonly path: string | null;
  /** Exists while the device may be armed: a successor learns from it that it has to take care of it. */
  readonly mark: string;
  readonly log: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

export class Watchdog {
  readonly #deps: WatchdogDeps;
  #fd: number | null = null;
  /** The renewal that it was pinged for last. */
  #last: Hold | null = null;
  /** Said once, not at each heartbeat. */
  #failure = '';

  constructor(deps: WatchdogDeps) {
    this.#deps = deps;
  }

  isArmed(): boolean {
    return this.#fd !== null;
  }

  /** A renewal of the lease was acknowledged. Only one that is newer than the last puts the reset off. */
  proven(hold: Hold): void {
    const last = this.#last;
    if (last !== null && last.epoch === hold.epoch && last.sentAtMs >= hold.sentAtMs) return;
    if (!this.#open()) return;
    this.#last = hold;
    this.#write('1');
  }

  /** This host holds no lease, and its PostgreSQL is down, every process of it, or a standby. */
  notWritable(): void {
    this.#last = null;
    if (this.#fd === null && !existsSync(this.#deps.mark)) return;
    if (!this.#open() || !this.#write('V')) return;
    this.#close();
    rmSync(this.#deps.mark, { force: true });
    this.#deps.log('info', 'watchdog disarmed', { device: this.#deps.path });
  }

  /** Marked first: a device that is armed and unknown to a successor would reset a host that is well. */
  #open(): boolean {
    const { path, mark, log } = this.#deps;
    if (this.#fd !== null) return true;
    if (path === null) return false;
    const marked = existsSync(mark);
    try {
      if (!marked) writeFileSync(mark, '', { mode: 0o600 });
      this.#fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (!marked) rmSync(mark, { force: true });
      this.#failed('watchdog cannot be opened', error);
      return false;
    }
    this.#failure = '';
    log('info', 'watchdog armed', { device: path });
    return true;
  }

  #write(text: string): boolean {
    if (this.#fd === null) return false;
    try {
      return writeSync(this.#fd, text) === text.length;
    } catch (error) {
      this.#failed('watchdog cannot be written', error);
      // Closed without a `V`: it stays armed, and the next renewal opens it again.
      this.#close();
      return false;
    }
  }

  #close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #failed(message: string, error: unknown): void {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    if (code === this.#failure) return;
    this.#failure = code;
    // Most hosts have none: that is nothing to warn of.
    this.#deps.log(code === 'ENOENT' ? 'info' : 'warn', message, { device: this.#deps.path, error: code });
  }
}
