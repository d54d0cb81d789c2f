/** The draws of a chaos run: the seed alone decides them, and they are spread over all that was asked for. */
import { describe, expect, it } from 'vitest';
import { drawEpisodes } from '../../../bench/chaos/draw.ts';
import { singleFaults } from '../../../local/faults/all-faults.ts';

function draws(seed: number, count: number, double = false) {
  const episodes = drawEpisodes(seed, singleFaults, { double });
  return Array.from({ length: count }, () => {
    const { faults, ...rest } = episodes.next().value;
    return { ...rest, faults: faults.map(({ fault, ...when }) => ({ id: fault.id, ...when })) };
  });
}

describe('the draws of a chaos run', () => {
  it('are the same for the same seed, and others for another', () => {
    expect(draws(7, 50)).toEqual(draws(7, 50));
    expect(draws(7, 50)).not.toEqual(draws(8, 50));
  });

  it('come to every fault, to operations and to none, to short outages and long ones', () => {
    const many = draws(1, 2_000);
    expect(new Set(many.flatMap(({ faults }) => faults.map(({ id }) => id))).size).toBe(singleFaults.length);
    expect(new Set(many.map(({ operation }) => operation?.kind))).toEqual(
      new Set([undefined, 'switchover', 'failover']),
    );
    expect(many.some(({ holdMs }) => holdMs < 1_500) && many.some(({ holdMs }) => holdMs > 2_500)).toBe(true);
  });

  it('are of one fault at a time, and of two where that is asked for', () => {
    expect(draws(3, 100).every(({ faults }) => faults.length === 1)).toBe(true);
    expect(draws(3, 100, true).every(({ faults }) => faults.length === 2)).toBe(true);
  });

  it('are refused where there is nothing to draw from', () => {
    expect(() => drawEpisodes(1, [], { double: false }).next()).toThrow('no fault');
  });
});
