/** How often an agent looks for actions: while clients wait for a hand-over, its looking slows down those that they wait for. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { succeeded } from '../../agent/action-runner.ts';
import { anAction, type Bench, bench } from '../support/action-bench.ts';
import { aLease } from '../support/host-states.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const looksOf = (made: Bench) => made.calls.filter(({ name }) => name === 'readOperation').length;

async function within(made: Bench, ms: number): Promise<number> {
  const before = looksOf(made);
  await vi.advanceTimersByTimeAsync(ms);
  return looksOf(made) - before;
}

it('while others pass the lease on, actions are looked for less often', async () => {
  const idle = await bench({ actions: [] });
  idle.runner.poke();
  expect(await within(idle, 1_000)).toBeGreaterThanOrEqual(9);
  idle.runner.stop();

  const passing = await bench({ actions: [], lease: aLease({ successor: 'node3' }) });
  passing.runner.poke();
  expect(await within(passing, 1_000)).toBeLessThanOrEqual(3);
  // Nor at each change of the lease, of which there are many then.
  const before = looksOf(passing);
  for (let change = 0; change < 20; change += 1) {
    passing.runner.poke();
    await vi.advanceTimersByTimeAsync(5);
  }
  expect(looksOf(passing) - before).toBeLessThanOrEqual(1);
  passing.runner.stop();
});

it.each([
  ['stop-and-release', 0, 3],
  ['acquire-and-promote', 0, 3],
  ['follow', 9, 11],
] as const)('while it carries out %s, between %d and %d times a second', async (verb, least, most) => {
  const made = await bench({ actions: [anAction({ verb })] });
  made.work = () => new Promise((resolve) => setTimeout(() => resolve(succeeded('done')), 2_000));
  made.runner.poke();
  await vi.advanceTimersByTimeAsync(200);
  expect(made.runner.running()).toBe(verb);
  const looks = await within(made, 1_000);
  expect(looks).toBeGreaterThanOrEqual(least);
  expect(looks).toBeLessThanOrEqual(most);
  made.runner.stop();
});

it('as soon as an action has ended, and often from then on', async () => {
  const made = await bench({ actions: [anAction({ verb: 'acquire-and-promote' })] });
  let end = (): void => undefined;
  made.work = () => new Promise((resolve) => (end = () => resolve(succeeded('done'))));
  made.runner.poke();
  await vi.advanceTimersByTimeAsync(700);
  expect(made.runner.running()).toBe('acquire-and-promote');
  const before = looksOf(made);
  end();
  await vi.advanceTimersByTimeAsync(10);
  expect(made.runner.running()).toBeNull();
  expect(looksOf(made) - before).toBe(1);
  expect(await within(made, 1_000)).toBeGreaterThanOrEqual(9);
  made.runner.stop();
});
