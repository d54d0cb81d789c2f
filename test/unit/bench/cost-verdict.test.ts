/** Whether agents keep within the design's budget: agent and guard of a host together. */
import { describe, expect, it } from 'vitest';
import { verdictOf } from '../../../bench/cost/cost-tables.ts';

describe('the verdict on what a host spends on being watched', () => {
  it('takes agent and guard together', () => {
    expect(verdictOf([{ cpu: 0.2, rss: 60 }])).toBe('met');
    expect(
      verdictOf([
        { cpu: 0.2, rss: 78 },
        { cpu: 0.2, rss: 3 },
      ]),
    ).toBe('not met: CPU, RSS');
  });

  it('is none where a figure is missing', () => {
    expect(verdictOf([])).toBeNull();
    expect(verdictOf([{ cpu: 0.1, rss: null }])).toBeNull();
  });
});
