/**
 * What groups of processes have used between two moments, from looks at each process in between. Pure.
 *
 * A counter of Linux (CPU time, bytes read and written) goes over to the parent when it waits for a child that has ended. So a parent's
 * increase is its own work, that of children which came and went between two looks, and all that a child seen before had used: the last
 * part was counted already, and is taken out here. What a child used after the last look at it counts, where it can be told apart, in
 * the child's group.
 */
import { median } from './statistics.ts';

/** One process as one look saw it. A field is null where this user may not read it. */
export interface ProcessLook {
  readonly pid: number;
  /** With the pid it names one process for as long as the machine is up. */
  readonly startTicks: number;
  readonly parentPid: number;
  readonly group: string;
  readonly cpuSeconds: number;
  /** Of the children it has waited for, and of theirs. */
  readonly childrenCpuSeconds: number;
  /** Those of the children it has waited for are in it, and cannot be told apart. */
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
  /** Looked at less often than the rest, for it is costly; null in between too. */
  readonly memory: { readonly rssBytes: number; readonly pssBytes: number | null } | null;
}

export interface GroupUsage {
  readonly group: string;
  /** The most that were seen at once. */
  readonly processes: number;
  readonly cpuSeconds: number;
  /** Reads that went to the disk, not to the page cache. Null where this user may not read it. */
  readonly readBytes: number | null;
  /** Written into the page cache for the disk. */
  readonly writtenBytes: number | null;
  /** Median and most over the looks, of all its processes together: memory that they share counts in each. */
  readonly rssBytes: { readonly median: number; readonly most: number } | null;
  /** As RSS, but what several processes share is divided between them. */
  readonly pssBytes: { readonly median: number; readonly most: number } | null;
}

const diskCounters = ['readBytes', 'writtenBytes'] as const;

interface Account {
  processes: number;
  cpuSeconds: number;
  readonly disk: Record<(typeof diskCounters)[number], number | null>;
  readonly rss: number[];
  readonly pss: (number | null)[];
}

export class UsageAccounts {
  /** Processes that began before this are counted from their first look on only. */
  readonly #beganTicks: number;
  readonly #unseen: Readonly<Record<string, string>>;
  readonly #accounts = new Map<string, Account>();
  #before = new Map<string, ProcessLook>();

  /**
   * `looks` is how everything stands at the beginning. `unseen`: by group of the parent, where the CPU time of children goes that came
   * and went between two looks; left out: to the parent's own.
   */
  constructor(
    looks: readonly ProcessLook[],
    beganTicks: number,
    unseen: Readonly<Record<string, string>> = {},
  ) {
    this.#beganTicks = beganTicks;
    this.#unseen = unseen;
    this.#remember(looks);
  }

  add(looks: readonly ProcessLook[]): void {
    const now = new Set(looks.map(identity));
    const ended = [...this.#before.values()].filter((look) => !now.has(identity(look)));
    for (const look of looks) {
      const before = this.#before.get(identity(look));
      if (before === undefined && look.startTicks < this.#beganTicks) continue;
      const inherited = ended.filter(({ parentPid }) => parentPid === look.pid);
      this.#addCpu(look, before, inherited);
      const { disk } = this.#account(look.group);
      for (const counter of diskCounters) {
        const increase = diskIncrease(counter, look, before, inherited);
        const used = disk[counter];
        disk[counter] = used === null || increase === null ? null : used + increase;
      }
    }
    this.#remember(looks);
  }

  /** By name of the group. */
  usage(): GroupUsage[] {
    return [...this.#accounts]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([group, { processes, cpuSeconds, disk, rss, pss }]) => ({
        group,
        processes,
        cpuSeconds,
        ...disk,
        rssBytes: middleAndMost(rss),
        pssBytes: middleAndMost(pss),
      }));
  }

  #addCpu(look: ProcessLook, before: ProcessLook | undefined, inherited: readonly ProcessLook[]): void {
    this.#account(look.group).cpuSeconds += look.cpuSeconds - (before?.cpuSeconds ?? 0);
    const seen = sum(inherited.map((child) => child.cpuSeconds + child.childrenCpuSeconds));
    // A child that nobody waited for is not in it: never less than nothing.
    const rest = Math.max(0, look.childrenCpuSeconds - (before?.childrenCpuSeconds ?? 0) - seen);
    if (rest === 0) return;
    const heir = inherited[0]?.group ?? this.#unseen[look.group] ?? look.group;
    this.#account(heir).cpuSeconds += rest;
  }

  #remember(looks: readonly ProcessLook[]): void {
    this.#before = new Map(looks.map((look) => [identity(look), look]));
    for (const [group, members] of Map.groupBy(looks, ({ group }) => group)) {
      const account = this.#account(group);
      account.processes = Math.max(account.processes, members.length);
      const memories = members.flatMap(({ memory }) => memory ?? []);
      if (memories.length === 0) continue;
      account.rss.push(sum(memories.map(({ rssBytes }) => rssBytes)));
      const shares = memories.map(({ pssBytes }) => pssBytes);
      account.pss.push(
        shares.some((share) => share === null) ? null : sum(shares.map((share) => share ?? 0)),
      );
    }
  }

  #account(group: string): Account {
    const known = this.#accounts.get(group);
    if (known !== undefined) return known;
    const account = {
      processes: 0,
      cpuSeconds: 0,
      disk: { readBytes: 0, writtenBytes: 0 },
      rss: [],
      pss: [],
    };
    this.#accounts.set(group, account);
    return account;
  }
}

function identity({ pid, startTicks }: ProcessLook): string {
  return `${pid}/${startTicks}`;
}

function diskIncrease(
  counter: (typeof diskCounters)[number],
  look: ProcessLook,
  before: ProcessLook | undefined,
  inherited: readonly ProcessLook[],
): number | null {
  const value = look[counter];
  const from = before === undefined ? 0 : before[counter];
  if (value === null || from === null) return null;
  return Math.max(0, value - from - sum(inherited.map((child) => child[counter] ?? 0)));
}

function middleAndMost(values: readonly (number | null)[]): GroupUsage['rssBytes'] {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return { median: median(known), most: Math.max(...known) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
