/** How often an agent looks for actions: while clients wait for a hand-over, its looking slows down those that they wait for. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { succeeded } from '../../agent/action-runner.ts';
import { type Bench, bench } from '../support/action-bench.ts';
import { aLease } from '../support/host-states.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

it('while it is at work, or others pass the lease on, more actions are looked for less often', async () => {
  const looks = (made: Bench) => made.calls.filter(({ name }) => name === 'readOperation').length;
  const within = async (made: Bench, ms: number) => {
    const before = looks(made);
    await vi.advanceTimersByTimeAsync(ms);
    return looks(made) - before;
  };
  const idle = await bench({ actions: [] });
  idle.runner.poke();
  expect(await within(idle, 1_000)).toBeGreaterThanOrEqual(9);
  idle.runner.stop();

  const passing = await bench({ actions: [], lease: aLease({ successor: 'node3' }) });
  passing.runner.poke();
  expect(await within(passing, 1_000)).toBeLessThanOrEqual(3);
  // Nor at each change of the lease, of which there are many then.
  const before = looks(passing);
  for (let change = 0; change < 20; change += 1) {
    passing.runner.poke();
    await vi.advanceTimersByTimeAsync(5);
  }
  expect(looks(passing) - before).toBeLessThanOrEqual(1);
  passing.runner.stop();

  const busy = await bench();
  busy.work = () => new Promise((resolve) => setTimeout(() => resolve(succeeded('done')), 2_000));
  busy.runner.poke();
  await vi.advanceTimersByTimeAsync(200);
  expect(busy.runner.running()).toBe('follow');
  expect(await within(busy, 1_000)).toBeLessThanOrEqual(3);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(busy.runner.running()).toBeNull();
  expect(await within(busy, 1_000)).toBeGreaterThanOrEqual(9);
  busy.runner.stop();
});
