/** What an agent tells systemd, and when: nothing outside systemd, READY once, and a word at a third of the unit's time-out. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tellServiceManager } from '../../agent/service-manager.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function bench(environment: Record<string, string>, answer: () => Promise<string | null> = async () => null) {
  const told: string[] = [];
  const warned: unknown[] = [];
  const stop = tellServiceManager({
    environment,
    log: (_level, _message, fields) => warned.push(fields['error']),
    notify: (_socket, [word = '']) => {
      told.push(word);
      return answer();
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
  expect(told).toEqual(['--ready', 'WATCHDOG=1', 'WATCHDOG=1']);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toHaveLength(3);
});

test('without a watchdog it only says that it is up', async () => {
  const { told } = bench({ NOTIFY_SOCKET: '/run/x' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual(['--ready']);
});

test('a word that hangs is not followed by others, and one that failed is logged and the next one sent', async () => {
  const hanging = bench(
    { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000' },
    () => new Promise(() => undefined),
  );
  await vi.advanceTimersByTimeAsync(60_000);
  expect(hanging.told).toEqual(['--ready']);
  const failing = bench({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '30000000' }, async () => 'not-started');
  await vi.advanceTimersByTimeAsync(11_000);
  expect(failing.told).toEqual(['--ready', 'WATCHDOG=1']);
  expect(failing.warned).toEqual(['not-started', 'not-started']);
});
