/** A timer for the next stage of the holder's fence: it fires also when every call to the store hangs. One is armed at a time. */
import { type Hold, nextStageAtMs } from '../core/lease/lease-clock.ts';

export class StageTimer {
  readonly #now: () => number;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Instead of what was armed before. `onStage` is called at each stage that `hold` comes to. */
  arm(hold: Hold | null, onStage: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const nowMs = this.#now();
    const atMs = nextStageAtMs(hold, nowMs);
    if (atMs === null || this.#closed) return;
    const timer = setTimeout(
      () => {
        onStage();
        // Unless another hold was armed meanwhile.
        if (this.#timer === timer) this.arm(hold, onStage);
      },
      Math.max(1, atMs - nowMs + 1),
    );
    this.#timer = timer;
  }

  stop(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
