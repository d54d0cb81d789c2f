/**
 * Whether two nodes accepted writes at the same time, and whether the lease went as it must (invariants L1 and L3). Pure.
 *
 * Of an accepted write only bounds are known: it took effect between sending and answer. A node's writes on one timeline are its
 * tenure. Tenure S can have ended before T began exactly when no write of S was sent after one of T was answered; two of
 * which neither can have ended before the other began overlap, whatever the true moments were.
 */
import type { AcceptedWrite, SeenEpoch, Violation } from './history.ts';

export interface Tenure {
  readonly node: string;
  readonly timeline: number;
  /** It was accepting writes at this moment or before. */
  readonly firstAnsweredMs: number;
  /** It was accepting writes at this moment or later. */
  readonly lastSentMs: number;
  readonly writes: number;
}

/** Every node's tenures, in the order in which they are first seen. */
export function tenuresOf(writes: readonly AcceptedWrite[]): Tenure[] {
  const tenures = new Map<string, Tenure>();
  for (const { node, timeline, sentMs, answeredMs } of writes) {
    const key = `${node} ${timeline}`;
    const known = tenures.get(key);
    tenures.set(key, {
      node,
      timeline,
      firstAnsweredMs: Math.min(known?.firstAnsweredMs ?? Number.POSITIVE_INFINITY, answeredMs),
      lastSentMs: Math.max(known?.lastSentMs ?? Number.NEGATIVE_INFINITY, sentMs),
      writes: (known?.writes ?? 0) + 1,
    });
  }
  return [...tenures.values()].sort((left, right) => left.firstAnsweredMs - right.firstAnsweredMs);
}

/** For how long both certainly accepted writes; 0 when one may have ended before the other began. */
export function overlapMs(left: Tenure, right: Tenure): number {
  return Math.max(
    0,
    Math.min(left.lastSentMs - right.firstAnsweredMs, right.lastSentMs - left.firstAnsweredMs),
  );
}

/** What a host that stood still may do when it wakes: its answers between these two moments do not count. */
export interface Excuse {
  readonly node: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Two nodes, or one node on two timelines at once. */
export function checkTenures(writes: readonly AcceptedWrite[], excuses: readonly Excuse[] = []): Violation[] {
  const tenures = tenuresOf(writes.filter((write) => !excuses.some((excuse) => isExcused(write, excuse))));
  return tenures.flatMap((left, at) =>
    tenures.slice(at + 1).flatMap((right): Violation[] => {
      const ms = overlapMs(left, right);
      if (ms === 0) return [];
      const message = `${nameOf(left)} and ${nameOf(right)} both, for ${Math.ceil(ms)} ms at least`;
      return [{ rule: 'two-nodes-accept-writes', message }];
    }),
  );
}

/** Until it is rescheduled and has looked at its lease, the PostgreSQL of such a host answers. */
function isExcused({ node, answeredMs }: AcceptedWrite, excuse: Excuse): boolean {
  return node === excuse.node && answeredMs >= excuse.fromMs && answeredMs <= excuse.toMs;
}

function nameOf({ node, timeline }: Tenure): string {
  return `${node} (timeline ${timeline})`;
}

/** Epochs as they were seen one after the other: they only rise, and each has one holder. */
export function checkEpochs(seen: readonly SeenEpoch[]): Violation[] {
  const holders = new Map<number, string>();
  const violations: Violation[] = [];
  let highest = Number.NEGATIVE_INFINITY;
  for (const { epoch, holder } of seen) {
    if (epoch < highest) {
      violations.push({ rule: 'epoch-went-back', message: `from ${highest} to ${epoch} (${holder})` });
    }
    highest = Math.max(highest, epoch);
    const known = holders.get(epoch);
    if (known !== undefined && known !== holder) {
      violations.push({ rule: 'epoch-with-two-holders', message: `${epoch}: ${known} and ${holder}` });
    }
    holders.set(epoch, known ?? holder);
  }
  return violations;
}
