/**
 * CPU time, memory and disk I/O of groups of processes, and the machine's own CPU time, around a run: looks at /proc at the beginning,
 * every second or so, and at the end. Each look costs this process a few milliseconds, which count in whatever group it is put into.
 */
import { readFileSync } from 'node:fs';
import { type GroupUsage, type ProcessLook, UsageAccounts } from './usage-accounting.ts';

/** The group of each process that counts, as it is now; those that are not in it are left out. */
export type GroupProcesses = () => ReadonlyMap<number, string>;

export interface UsageReport {
  readonly seconds: number;
  readonly groups: readonly GroupUsage[];
  readonly machine: MachineUsage;
}

/** CPU time of the whole machine, in seconds of one core. */
export interface MachineUsage {
  /** In programs and in the kernel. */
  readonly busySeconds: number;
  readonly idleSeconds: number;
  /** Idle with a disk to wait for. */
  readonly diskWaitSeconds: number;
  /** Taken by the hypervisor for others. */
  readonly stolenSeconds: number;
}

export interface UsageMeter {
  /** Takes a last look. */
  stop(): UsageReport;
}

/** USER_HZ: what /proc counts in on every Linux that this runs on. */
const ticksPerSecond = 100;
const defaultLookEveryMs = 1_000;
/** To add up the pages of a process takes the kernel milliseconds where there are many. */
const memoryEveryMs = 3_000;
/** What the bench starts are clients, however short they live; see cluster-groups.ts. */
const unseenChildren = { bench: 'client' };

export function startUsageMeter(groupsOf: GroupProcesses, lookEveryMs = defaultLookEveryMs): UsageMeter {
  const startedMs = performance.now();
  const machineBefore = readMachine();
  const groups = new Map<string, string>();
  const accounts = new UsageAccounts(look(groupsOf, groups, true), uptimeTicks(), unseenChildren);
  let memoryMs = startedMs;
  const timer = setInterval(() => {
    const withMemory = performance.now() - memoryMs >= memoryEveryMs;
    if (withMemory) memoryMs = performance.now();
    accounts.add(look(groupsOf, groups, withMemory));
  }, lookEveryMs);
  return {
    stop() {
      clearInterval(timer);
      accounts.add(look(groupsOf, groups, true));
      const machineNow = readMachine();
      const seconds = (performance.now() - startedMs) / 1_000;
      return { seconds, groups: accounts.usage(), machine: difference(machineBefore, machineNow) };
    },
  };
}

/** `known`: the group each process was found in before; one that has ended and was not waited for yet shows no program any more. */
function look(groupsOf: GroupProcesses, known: Map<string, string>, withMemory: boolean): ProcessLook[] {
  const found = groupsOf();
  const looks: ProcessLook[] = [];
  const candidates = new Set([
    ...found.keys(),
    ...[...known.keys()].map((name) => Number.parseInt(name, 10)),
  ]);
  const stillThere = new Map<string, string>();
  for (const pid of candidates) {
    const stat = parseProcessStat(textOf(`/proc/${pid}/stat`));
    if (stat === null) continue;
    const identity = `${pid}/${stat.startTicks}`;
    const group = found.get(pid) ?? known.get(identity);
    if (group === undefined) continue;
    stillThere.set(identity, group);
    const io = parseProcessIo(textOf(`/proc/${pid}/io`));
    const memory = withMemory ? parseMemory(textOf(`/proc/${pid}/smaps_rollup`)) : null;
    looks.push({
      pid,
      startTicks: stat.startTicks,
      parentPid: stat.parentPid,
      group,
      cpuSeconds: stat.cpuTicks / ticksPerSecond,
      childrenCpuSeconds: stat.childrenCpuTicks / ticksPerSecond,
      readBytes: io?.readBytes ?? null,
      writtenBytes: io?.writtenBytes ?? null,
      memory: memory ?? (withMemory ? memoryWithoutShares(pid) : null),
    });
  }
  known.clear();
  for (const [identity, group] of stillThere) known.set(identity, group);
  return looks;
}

/** Times and parents of `/proc/<pid>/stat`; null for no text. */
export interface ProcessStat {
  readonly parentPid: number;
  readonly startTicks: number;
  readonly cpuTicks: number;
  /** Of the children it has waited for. */
  readonly childrenCpuTicks: number;
}

export function parseProcessStat(text: string | null): ProcessStat | null {
  if (text === null) return null;
  // The name is in parentheses and may hold anything: fields are counted from the last one. proc(5) numbers them from 1.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return {
    parentPid: field(4),
    startTicks: field(22),
    cpuTicks: field(14) + field(15),
    childrenCpuTicks: field(16) + field(17),
  };
}

/** Of `/proc/<pid>/io`: what went to and came from a disk, children it has waited for included. */
export function parseProcessIo(
  text: string | null,
): { readonly readBytes: number; readonly writtenBytes: number } | null {
  const read = /^read_bytes: (\d+)$/m.exec(text ?? '')?.[1];
  const written = /^write_bytes: (\d+)$/m.exec(text ?? '')?.[1];
  const cancelled = /^cancelled_write_bytes: (\d+)$/m.exec(text ?? '')?.[1];
  if (read === undefined || written === undefined) return null;
  // A file that was removed before its pages were written never reached the disk.
  return { readBytes: Number(read), writtenBytes: Math.max(0, Number(written) - Number(cancelled ?? 0)) };
}

/** Of `/proc/<pid>/smaps_rollup`. */
export function parseMemory(text: string | null): ProcessLook['memory'] {
  const kilobytes = (name: string) => new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1];
  const rss = kilobytes('Rss');
  const pss = kilobytes('Pss');
  if (rss === undefined || pss === undefined) return null;
  return { rssBytes: Number(rss) * 1024, pssBytes: Number(pss) * 1024 };
}

/** Of another user's process. Null for one that has ended. */
function memoryWithoutShares(pid: number): ProcessLook['memory'] {
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`) ?? '')?.[1];
  return rss === undefined ? null : { rssBytes: Number(rss) * 1024, pssBytes: null };
}

/** Of `/proc/stat`, since the machine was started. */
export function parseMachine(text: string): MachineUsage {
  const line = /^cpu +(.*)$/m.exec(text)?.[1] ?? '';
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, stolen = 0] = line
    .split(' ')
    .map((ticks) => Number(ticks) / ticksPerSecond);
  return {
    busySeconds: user + nice + system + irq + softirq,
    idleSeconds: idle,
    diskWaitSeconds: wait,
    stolenSeconds: stolen,
  };
}

function readMachine(): MachineUsage {
  return parseMachine(readFileSync('/proc/stat', 'latin1'));
}

function difference(before: MachineUsage, now: MachineUsage): MachineUsage {
  return {
    busySeconds: now.busySeconds - before.busySeconds,
    idleSeconds: now.idleSeconds - before.idleSeconds,
    diskWaitSeconds: now.diskWaitSeconds - before.diskWaitSeconds,
    stolenSeconds: now.stolenSeconds - before.stolenSeconds,
  };
}

function uptimeTicks(): number {
  return Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * ticksPerSecond;
}

/** Null for a process that has gone, and for what this user may not read. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}
