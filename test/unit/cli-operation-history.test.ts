/** What `leasehold history` makes of an operation. */
import { describe, expect, it } from 'vitest';
import { renderHistory, summarise } from '../../cli/operation-history.ts';
import { sampleOperation } from '../support/samples.ts';

const second = (count: number) => `2026-11-21T08:00:0${count}.000Z`;

const done = {
  ...sampleOperation,
  status: 'succeeded' as const,
  startedAt: second(0),
  endedAt: second(6),
  steps: [
    { step: 'initiated' as const, startedAt: second(0) },
    { step: 'waiting_for_catchup' as const, startedAt: second(1) },
    { step: 'stable' as const, startedAt: second(4) },
  ],
  outcome: 'node2 is primary',
};

describe('the history of an operation', () => {
  it('gives each step the time until the next, and the last the time until the end', () => {
    const { steps, ms } = summarise(done);
    expect(steps).toEqual([
      { step: 'initiated', ms: 1000 },
      { step: 'waiting_for_catchup', ms: 3000 },
      { step: 'stable', ms: 2000 },
    ]);
    expect(ms).toBe(6000);
  });

  it('does not invent an end for what is under way', () => {
    const { steps, ms } = summarise({ ...done, status: 'running', endedAt: null });
    expect(steps.at(-1)).toEqual({ step: 'stable', ms: null });
    expect(ms).toBeNull();
    expect(renderHistory([summarise({ ...done, endedAt: null })])).toContain('under way');
  });

  it('shows the outcome, or the reason where there is none yet', () => {
    expect(renderHistory([summarise(done)])).toContain('node2 is primary');
    expect(renderHistory([summarise({ ...done, outcome: '' })])).toContain('maintenance');
  });

  it('shows that a loss was accepted', () => {
    expect(renderHistory([summarise(done)])).not.toContain('data loss accepted');
    expect(renderHistory([summarise({ ...done, acceptDataLoss: true })])).toContain('data loss accepted');
  });

  it('says so when there is nothing to show', () => {
    expect(renderHistory([])).toBe('no operation yet');
  });
});
