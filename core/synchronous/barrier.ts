/**
 * Proof that an old rule of acknowledgement is over (invariant S1). A record is written to the log once the new rule has been seen in force by a
 * session that was opened after every process had been told to reload. A walsender reads its configuration before it reads answers, so one
 * whose standby has flushed past that record acknowledges by the new rule; one that had the old rule could release a commit by it, on the word
 * of any standby, for as long as it has not. And a standby that has flushed past the record has all that was acknowledged before.
 */
import type { NodeId, SynchronousRule } from '../model/lease.ts';
import type { Lsn } from '../model/lsn.ts';

/** One walsender, as pg_stat_replication shows it. */
export interface Sender {
  readonly name: NodeId;
  readonly state: string;
  /** As the walsender itself read it from its configuration: 0 is not named, and releases nobody. */
  readonly priority: number;
  readonly flushLsn: Lsn | null;
}

export interface BarrierView {
  readonly former: SynchronousRule;
  readonly next: SynchronousRule;
  readonly senders: readonly Sender[];
  /** The end of a record that was written after `next` was seen in force. */
  readonly barrierLsn: Lsn;
}

export function barrierPassed({ former, next, senders, barrierLsn }: BarrierView): boolean {
  const isPast = ({ flushLsn }: Sender) => flushLsn !== null && flushLsn >= barrierLsn;
  const hasLeft = ({ name, priority }: Sender) => priority === 0 && !next.names.includes(name);
  const concerned = senders.filter(({ name }) => former.names.includes(name) || next.names.includes(name));
  const past = new Set(concerned.filter(isPast).map(({ name }) => name));
  const holders = next.names.filter((name) => past.has(name));
  return holders.length >= next.k && concerned.every((sender) => isPast(sender) || hasLeft(sender));
}
