/** The figures that stand for several runs. */
import { describe, expect, it } from 'vitest';
import { median, percentile, spreadOf } from '../../../bench/measure/statistics.ts';

describe('the figures of several runs', () => {
  it('has the middle value as its median, or the mean of the middle two, in whatever order they came', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });
  it('interpolates a percentile between the two closest ranks', () => {
    expect(percentile([10, 20, 30, 40, 50], 25)).toBe(20);
    expect(percentile([10, 20], 90)).toBeCloseTo(19);
    expect(percentile([7], 99)).toBe(7);
  });
  it('keeps the ends', () => {
    expect(percentile([3, 1, 2], 0)).toBe(1);
    expect(percentile([3, 1, 2], 100)).toBe(3);
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3 });
  });
  it('has no figure for no values, and none outside of 0 to 100', () => {
    expect(spreadOf([])).toBeNull();
    expect(() => percentile([], 50)).toThrow(RangeError);
    expect(() => percentile([1], 101)).toThrow('percentile 101');
  });
});
