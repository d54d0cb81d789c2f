/** What groups of processes have used: nothing is lost when a child ends, and nothing counts twice. */
import { describe, expect, it } from 'vitest';
import {
  parseMachine,
  parseMemory,
  parseProcessIo,
  parseProcessStat,
} from '../../../bench/measure/process-usage.ts';
import { type ProcessLook, UsageAccounts } from '../../../bench/measure/usage-accounting.ts';

const beganTicks = 1_000;

function look(pid: number, cpuSeconds: number, more: Partial<ProcessLook> = {}): ProcessLook {
  return {
    pid,
    startTicks: 10,
    parentPid: 1,
    group: 'postgres',
    cpuSeconds,
    childrenCpuSeconds: 0,
    readBytes: 0,
    writtenBytes: 0,
    memory: null,
    ...more,
  };
}

const child = (pid: number, cpuSeconds: number, more: Partial<ProcessLook> = {}) =>
  look(pid, cpuSeconds, { parentPid: 100, startTicks: 2_000, ...more });

function cpu(first: ProcessLook[], ...later: ProcessLook[][]): Record<string, number> {
  const accounts = new UsageAccounts(first, beganTicks);
  for (const looks of later) accounts.add(looks);
  return Object.fromEntries(accounts.usage().map(({ group, cpuSeconds }) => [group, cpuSeconds]));
}

describe('the CPU time of a group', () => {
  it('is what its processes used since the first look, not before', () => {
    expect(cpu([look(100, 50)], [look(100, 52)], [look(100, 57)])).toEqual({ postgres: 7 });
  });

  it('holds all of a process that began in between', () => {
    expect(cpu([look(100, 50)], [look(100, 50), child(101, 2)], [look(100, 50), child(101, 3)])).toEqual({
      postgres: 3,
    });
  });

  it('holds a process that began earlier and was not seen at first from its first look on', () => {
    const late = (seconds: number) => look(7, seconds, { startTicks: 20 });
    expect(cpu([look(100, 50)], [look(100, 50), late(90)], [look(100, 50), late(91)])).toEqual({
      postgres: 1,
    });
  });

  const parent = (childrenCpuSeconds: number, more: Partial<ProcessLook> = {}) =>
    look(100, 50, { childrenCpuSeconds, ...more });

  it('counts a child that ended once, with what it used after the last look at it', () => {
    // 4 seconds were seen, 5 went over to the parent.
    expect(cpu([parent(0)], [parent(0), child(101, 4)], [parent(5)])).toEqual({ postgres: 5 });
  });

  it('holds a child that came and went unseen, and one that had children of its own', () => {
    expect(cpu([parent(0)], [parent(3)])).toEqual({ postgres: 3 });
    const withChildren = child(101, 1, { childrenCpuSeconds: 6 });
    expect(cpu([parent(0)], [parent(0), withChildren], [parent(7)])).toEqual({ postgres: 7 });
  });

  it('holds children that came and went unseen in the group that is named for them', () => {
    const accounts = new UsageAccounts([parent(0, { group: 'bench' })], beganTicks, { bench: 'client' });
    accounts.add([parent(2, { group: 'bench', cpuSeconds: 51 })]);
    expect(accounts.usage()).toMatchObject([
      { group: 'bench', cpuSeconds: 1 },
      { group: 'client', cpuSeconds: 2, processes: 0, rssBytes: null },
    ]);
  });

  it('leaves a child of another group in that group when it ends', () => {
    const agent = (seconds: number) => parent(seconds, { group: 'agent' });
    expect(cpu([agent(1)], [agent(1), child(101, 4)], [agent(6)])).toEqual({ agent: 0, postgres: 5 });
  });

  it('is never less than nothing when nobody waited for a child', () => {
    expect(cpu([parent(0)], [parent(0), child(101, 4)], [parent(0)])).toEqual({ postgres: 4 });
  });

  it('tells a process from a later one with the same pid', () => {
    expect(cpu([look(100, 50)], [look(100, 2, { startTicks: 3_000 })])).toEqual({ postgres: 2 });
  });
});

describe('the memory and the I/O of a group', () => {
  const memory = (rssBytes: number, pssBytes: number | null) => ({ rssBytes, pssBytes });

  it('are of all its processes together at each look, in the middle and at most', () => {
    const accounts = new UsageAccounts([look(1, 0, { memory: memory(10, 4) })], beganTicks);
    accounts.add([look(1, 0)]);
    accounts.add([look(1, 0, { memory: memory(20, 5) }), look(2, 0, { memory: memory(10, 5) })]);
    const [usage] = accounts.usage();
    expect(usage).toMatchObject({
      processes: 2,
      rssBytes: { median: 20, most: 30 },
      pssBytes: { median: 7, most: 10 },
    });
  });

  it('are unknown where one of its processes may not be read, rather than too small', () => {
    const accounts = new UsageAccounts([look(1, 0), look(2, 0, { readBytes: null })], beganTicks);
    accounts.add([
      look(1, 0, { readBytes: 5, memory: memory(10, 4) }),
      look(2, 0, { readBytes: null, memory: memory(10, null) }),
    ]);
    expect(accounts.usage()[0]).toMatchObject({ readBytes: null, writtenBytes: 0, pssBytes: null });
    expect(accounts.usage()[0]?.rssBytes).toEqual({ median: 20, most: 20 });
  });
});

describe('the files of /proc', () => {
  it('show CPU time with that of children, whatever the name of the program is', () => {
    const text =
      '42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 500 60 7 8 20 0 1 0 123456 1000 100 18446744073709551615 1';
    expect(parseProcessStat(text)).toEqual({
      parentPid: 7,
      startTicks: 123_456,
      cpuTicks: 560,
      childrenCpuTicks: 15,
    });
    expect(parseProcessStat(null)).toBeNull();
  });

  it('show what went to the disk, without what was thrown away before', () => {
    const text =
      'rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n';
    expect(parseProcessIo(text)).toEqual({ readBytes: 4096, writtenBytes: 4096 });
    expect(parseProcessIo(null)).toBeNull();
  });

  it('show memory in kilobytes', () => {
    const text = '55d0 ---p 00000000 00:00 0 [rollup]\nRss:            2048 kB\nPss:            1024 kB\n';
    expect(parseMemory(text)).toEqual({ rssBytes: 2_097_152, pssBytes: 1_048_576 });
    expect(parseMemory('')).toBeNull();
  });

  it("show the machine's time by what it was spent on", () => {
    const text = 'cpu  100 200 300 400 500 600 700 800 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n';
    expect(parseMachine(text)).toEqual({
      busySeconds: 19,
      idleSeconds: 4,
      diskWaitSeconds: 5,
      stolenSeconds: 8,
    });
  });
});
