/** An order that is decided again as soon as it has ended waits, and no other does. */
import { describe, expect, it } from 'vitest';
import { OrderPace, sameOrderAgainMs } from '../../agent/database/order-pace.ts';

describe('an order that has just ended', () => {
  const rewind = { kind: 'rewind', from: 'node2' } as const;

  it('is not begun again at once, whatever came of it', () => {
    const pace = new OrderPace();
    expect(pace.isTooSoon(rewind, 10)).toBe(false);
    pace.ended(rewind, 1_000);
    expect(pace.isTooSoon(rewind, 1_000 + sameOrderAgainMs - 1)).toBe(true);
    expect(pace.isTooSoon(rewind, 1_000 + sameOrderAgainMs)).toBe(false);
  });

  it('holds up no other, nor the same from another node, nor one that opens or ends a primary', () => {
    const pace = new OrderPace();
    pace.ended(rewind, 1_000);
    expect(pace.isTooSoon({ ...rewind, from: 'node3' }, 1_001)).toBe(false);
    expect(pace.isTooSoon({ kind: 'rebuild', from: 'node2' }, 1_001)).toBe(false);
    pace.ended({ kind: 'start-primary' }, 2_000);
    expect(pace.isTooSoon({ kind: 'start-primary' }, 2_001)).toBe(false);
  });
});
