/**
 * Keeps an order that ends and is decided again at once, as a rewind to a primary that has no checkpoint yet, from being carried out
 * without a pause: each attempt starts programs, and a host that does nothing else slows down all that share its processor.
 */
import type { HostOrder } from '../../core/host/host-rules.ts';

/** Those that bring a node back: none is so urgent that the same one could not wait. */
const paced: ReadonlySet<HostOrder['kind']> = new Set([
  ...(['adopt-directory', 'clone', 'rewind', 'rebuild', 'start-standby'] as const),
]);
/** From the end of an order to the next that is the same. */
export const sameOrderAgainMs = 1_000;

export class OrderPace {
  #ended = { order: '', atMs: Number.NEGATIVE_INFINITY };

  ended(order: HostOrder, nowMs: number): void {
    this.#ended = { order: JSON.stringify(order), atMs: nowMs };
  }

  /** The same order has just ended, whatever came of it. */
  isTooSoon(order: HostOrder, nowMs: number): boolean {
    return (
      paced.has(order.kind) &&
      nowMs - this.#ended.atMs < sameOrderAgainMs &&
      JSON.stringify(order) === this.#ended.order
    );
  }
}
