/** What an agent tells systemd, and when: nothing outside systemd, READY until it was heard, and a word at a third of the unit's time-out. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tellServiceManager } from '../../agent/service-manager.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function bench(
  environment: Record<string, string>,
  answer: (nth: number) => Promise<string | null> = async () => null,
) {
  const told: string[] = [];
  const warned: unknown[] = [];
  const stop = tellServiceManager({
    environment,
    log: (_level, _message, fields) => warned.push(fields['error']),
    notify: (_socket, words) => {
      const word = words.filter((one) => !one.startsWith('--status')).join(' ');
      told.push(word);
      return answer(told.length);
    },
  });
  return { told, warned, stop };
}

test('outside systemd nothing is told', async () => {
  const { told } = bench({ WATCHDOG_USEC: '30000000' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([]);
});

test('it says that it is up, then that it lives at a third of the time-out, until it is stopped', async () => {
  const { told, stop } = bench({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000' });
  await vi.advanceTimersByTimeAsync(29_000);
  expect(told).toEqual(Array(3).fill('--ready WATCHDOG=1'));
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toHaveLength(3);
});

test('without a watchdog it only says that it is up', async () => {
  const { told } = bench({ NOTIFY_SOCKET: '/run/x' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual(['--ready']);
});

test('READY that was not heard is said again each second: a unit that waits for it would be started anew', async () => {
  const failing = bench({ NOTIFY_SOCKET: '/run/x' }, async (nth) => (nth < 4 ? 'not-started' : null));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(failing.told).toEqual(Array(4).fill('--ready'));
  expect(failing.warned).toEqual(Array(3).fill('not-started'));
});

test('a word that hangs is not waited for, and none is sent beside it before it is given up', async () => {
  const hangs = (nth: number) => (nth === 2 ? new Promise<null>(() => undefined) : Promise.resolve(null));
  const hanging = bench({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000' }, hangs);
  await vi.advanceTimersByTimeAsync(14_000);
  expect(hanging.told).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(hanging.told).toHaveLength(3);
  expect(hanging.warned).toEqual(['no answer']);
});

test('a word that fails is an error in the log, not of the agent', async () => {
  const { warned } = bench({ NOTIFY_SOCKET: '/run/x' }, (nth) =>
    nth === 1 ? Promise.reject(new Error('EAGAIN')) : Promise.resolve(null),
  );
  await vi.advanceTimersByTimeAsync(2_000);
  expect(warned).toEqual(['Error: EAGAIN']);
});
