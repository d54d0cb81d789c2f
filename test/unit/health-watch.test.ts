/** What an agent knows of its disk and its server from probes that come late, never, or disagree with the last one. */
import { describe, expect, it } from 'vitest';
import type { DiskProbeResult } from '../../adapters/postgres/disk-probe.ts';
import { HealthWatch, type Probes } from '../../agent/database/health-watch.ts';
import type { Look } from '../../agent/database/server.ts';
import { isHung, reportedHealth } from '../../core/host/host-health.ts';

const ttlMs = 5_000;
const gigabyte = 1024 ** 3;
const well: DiskProbeResult = {
  condition: 'ok',
  detail: '',
  freeBytes: 90 * gigabyte,
  sizeBytes: 100 * gigabyte,
  ms: 3,
};
const running = {
  dataDirectory: 'present',
  postgres: { kind: 'primary' },
  postmaster: { pid: 7, startTicks: 1, port: 5432, status: 'ready', shmId: null },
  control: null,
  observation: null,
} as unknown as Look;

/** Lets the probes' answers arrive. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

function bench() {
  const disks: { deadlineMs: number; answer: (result: DiskProbeResult) => void; end: () => void }[] = [];
  const answers: ((kind: Awaited<ReturnType<Probes['answer']>>) => void)[] = [];
  const events: string[] = [];
  const state = { nowMs: 0, look: running as Look | null, mayTouch: true, changes: 0 };
  const watch = new HealthWatch({
    host: {} as never,
    lastLook: () => state.look,
    ttlMs: () => ttlMs,
    mayTouchDisk: () => state.mayTouch,
    onChange: () => {
      state.changes += 1;
    },
    emit: (kind, message) => void events.push(`${kind} ${message}`),
    now: () => state.nowMs,
    probes: {
      disk: ({ deadlineMs }) => {
        const probe = { deadlineMs, answer: (_: DiskProbeResult) => {}, end: () => {} };
        const result = new Promise<DiskProbeResult>((resolve) => {
          probe.answer = resolve;
        });
        const ended = new Promise<void>((resolve) => {
          probe.end = resolve;
        });
        disks.push(probe);
        return { result, ended };
      },
      answer: () => new Promise((resolve) => void answers.push(resolve)),
    },
  });
  const at = (nowMs: number): void => {
    state.nowMs = nowMs;
    watch.tick();
  };
  const disk = async (result: Partial<DiskProbeResult>, ended = true): Promise<void> => {
    disks.at(-1)?.answer({ ...well, ...result });
    if (ended) disks.at(-1)?.end();
    await settle();
  };
  const answer = async (kind: Parameters<(typeof answers)[number]>[0]): Promise<void> => {
    answers.at(-1)?.(kind);
    await settle();
  };
  return { watch, state, disks, answers, events, at, disk, answer };
}

describe('the watch over the data disk', () => {
  it('asks a well one now and then, and a sick one every second', async () => {
    const { at, disk, disks } = bench();
    at(0);
    await disk({});
    at(4_999);
    expect(disks.length).toBe(1);
    at(5_000);
    await disk({ condition: 'full', detail: 'No space left on device' });
    at(5_999);
    expect(disks.length).toBe(2);
    at(6_000);
    expect(disks.length).toBe(3);
  });

  it('says since when it is sick, and writes its beginning and end down once', async () => {
    const { watch, state, at, disk, events } = bench();
    at(0);
    await disk({});
    for (const nowMs of [5_000, 6_000, 7_000]) {
      at(nowMs);
      await disk({ condition: 'read-only', detail: 'Read-only file system' });
    }
    state.nowMs = 7_500;
    expect(watch.health().disk).toEqual({
      condition: 'read-only',
      forMs: 2_500,
      detail: 'Read-only file system',
    });
    at(8_000);
    await disk({});
    expect(events).toEqual(['disk_trouble read-only: Read-only file system', 'disk_recovered was read-only']);
  });

  it('begins no second probe while one hangs in the kernel, and believes the first that ends', async () => {
    const { watch, state, at, disk, disks } = bench();
    at(0);
    state.nowMs = 10_500;
    await disk({ condition: 'frozen', detail: 'a write had not ended' }, false);
    for (const nowMs of [11_000, 20_000, 60_500]) at(nowMs);
    expect(disks.length).toBe(1);
    expect(watch.health().disk).toMatchObject({ condition: 'frozen', forMs: 50_000 });
    disks[0]?.end();
    await settle();
    at(60_750);
    await disk({});
    expect(watch.health().disk.condition).toBe('ok');
  });

  it('does not call a disk frozen on which the log of the server grows, until that has taken too long', async () => {
    const { watch, state, at, disk } = bench();
    const grow = (nowMs: number) => {
      state.look = { ...running, observation: { currentLsn: BigInt(nowMs) } } as unknown as Look;
      at(nowMs);
    };
    at(0);
    grow(9_000);
    state.nowMs = 10_500;
    await disk({ condition: 'frozen' }, false);
    expect(watch.health().disk.condition).toBe('unknown');
    grow(15_000);
    at(24_999);
    expect(watch.health().disk.condition).toBe('unknown');
    at(25_000);
    expect(watch.health().disk.condition).toBe('frozen');
    const slow = bench();
    slow.at(0);
    slow.state.nowMs = 10_500;
    for (let nowMs = 1_000; nowMs < 30_000; nowMs += 1_000) {
      slow.state.look = { ...running, observation: { currentLsn: BigInt(nowMs) } } as unknown as Look;
      slow.at(nowMs);
      if (nowMs === 10_000) await slow.disk({ condition: 'frozen' }, false);
      expect(slow.watch.health().disk.condition).toBe('unknown');
    }
    slow.at(30_000);
    expect(slow.watch.health().disk.condition).toBe('frozen');
  });

  it('gives a write ten seconds, or two ttl when that is more', () => {
    const { at, disks } = bench();
    at(0);
    expect(disks[0]?.deadlineMs).toBe(10_000);
  });

  it('leaves the directory alone while it is copied, and knows nothing of one that is not there', async () => {
    const { watch, state, at, disks } = bench();
    state.mayTouch = false;
    at(0);
    expect(disks.length).toBe(0);
    state.mayTouch = true;
    state.look = { ...running, dataDirectory: 'absent' };
    at(60_000);
    expect(disks.length).toBe(0);
    expect(watch.health().disk.condition).toBe('unknown');
  });

  it('warns once before it is full, and again only after there was clearly more', async () => {
    const { at, disk, events, watch } = bench();
    const low: boolean[] = [];
    const free = [2, 0.9, 0.8, 1.1, 0.9, 1.3, 0.9].map((share) => share * gigabyte);
    let nowMs = 0;
    for (const freeBytes of free) {
      at(nowMs);
      await disk({ freeBytes });
      low.push(watch.health().disk.low === true);
      nowMs += 10_000;
    }
    expect(events.map((event) => event.split(' ')[0])).toEqual(['disk_space_low', 'disk_space_low']);
    expect(low).toEqual([false, true, true, true, true, false, true]);
  });
});

describe('the watch over the server', () => {
  it('counts from the first question without an answer, and asks faster from then on', async () => {
    const { watch, state, at, answer, answers } = bench();
    at(0);
    await answer('answers');
    at(2_000);
    await answer('stopped');
    at(2_250);
    await answer('stopped');
    at(2_500);
    expect(answers.length).toBe(4);
    await answer('stopped');
    state.nowMs = 4_499;
    expect(watch.health().responsiveness).toEqual({ kind: 'stopped', forMs: 2_499, misses: 3 });
    expect(isHung(watch.health(), ttlMs)).toBe(false);
    state.nowMs = 4_500;
    expect(isHung(watch.health(), ttlMs)).toBe(true);
    expect(reportedHealth(watch.health(), ttlMs)).toBe('postgres-hung');
    expect(state.changes).toBe(3);
  });

  it('forgets it all at one answer', async () => {
    const { watch, at, answer } = bench();
    at(0);
    await answer('silent');
    at(30_000);
    await answer('silent');
    at(60_000);
    await answer('answers');
    expect(watch.health().responsiveness).toEqual({ kind: 'answers', forMs: 0, misses: 0 });
  });

  it('takes nothing that was asked of a former postmaster for the present one', async () => {
    const { watch, state, at, answer } = bench();
    at(0);
    state.look = { ...running, postmaster: { ...running.postmaster, pid: 8 } as Look['postmaster'] };
    await answer('stopped');
    expect(watch.health().responsiveness.misses).toBe(0);
  });

  it('knows nothing when no postmaster is there', async () => {
    const { watch, state, at, answer } = bench();
    at(0);
    await answer('silent');
    state.look = { ...running, postmaster: null };
    at(250);
    expect(watch.health().responsiveness).toEqual({ kind: 'unknown', forMs: 0, misses: 0 });
  });
});
