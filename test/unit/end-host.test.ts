/** The orderly end of a host: what watches over PostgreSQL ends only when nothing of it is left (L3). */
import { expect, it } from 'vitest';
import { endHost, type HostToEnd } from '../../agent/end-host.ts';

const leftover = { parentPid: 1, state: 'D', startTicks: 1, title: 'postgres: checkpointer' };

function bench(left: readonly number[], noneToCome = true) {
  const done: string[] = [];
  const host: HostToEnd = {
    node: {
      startNoMore: async () => {
        await Promise.resolve();
        done.push('no more starts');
        return noneToCome;
      },
      stopFast: async () => {
        done.push('stop');
        return { kind: 'timed-out', reason: 'still there', processes: [] };
      },
      killAll: async () => {
        done.push('kill');
        const remaining = left.map((pid) => ({ ...leftover, pid }));
        return { reason: 'the host shuts down', killed: 1, remaining, ms: 5 };
      },
    },
    guard: { quit: () => void done.push('guard quits') },
    keeper: { stop: () => void done.push('keeper stops') },
    watchdog: { notWritable: () => void done.push('watchdog disarmed') },
  };
  return { host, done };
}

it('ends the guard and disarms the watchdog once every process is gone', async () => {
  const { host, done } = bench([]);
  expect(await endHost(host)).toBe(0);
  expect(done).toEqual([
    'no more starts',
    'stop',
    'kill',
    'guard quits',
    'keeper stops',
    'watchdog disarmed',
  ]);
});

it('leaves the guard and the watchdog to what does not die', async () => {
  const { host, done } = bench([4711]);
  expect(await endHost(host)).toBe(1);
  expect(done).toEqual(['no more starts', 'stop', 'kill', 'keeper stops']);
});

it('leaves them too to a start that has not ended: its server may come yet', async () => {
  const { host, done } = bench([], false);
  expect(await endHost(host)).toBe(1);
  expect(done).toEqual(['no more starts', 'stop', 'kill', 'keeper stops']);
});
