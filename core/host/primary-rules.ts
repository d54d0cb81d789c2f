/**
 * What the holder of the lease does with its PostgreSQL: finish a promotion, record the epoch, serve; what counts as failed,
 * and what follows, is in `primary-failure.ts`. Upholds H1: every row that opens PostgreSQL for writing comes after
 * `lease-uncertain`.
 */
import { epochRecord } from '../model/cluster-record.ts';
import { holdsLease, isDown, leaseOf, nothing, type Row } from './host-rules.ts';
import type { HostState } from './host-state.ts';
import { beyondSavingRules, downPrimaryRules, failingPrimaryRules } from './primary-failure.ts';

/** The epoch of the lease is recorded: its timeline is known to all, and none other may be begun in it. */
function isEpochRecorded(state: HostState): boolean {
  return state.record !== null && epochRecord(state.record, leaseOf(state)?.epoch ?? 0) !== null;
}

export const primaryRules: readonly Row[] = [
  {
    rule: 'lease-uncertain',
    when: (s) => holdsLease(s) && s.holdStage !== 'valid',
    order: nothing,
    reason: 'the lease is not proven to be held at this instant',
  },
  ...failingPrimaryRules,
  ...beyondSavingRules,
  {
    rule: 'promotion-unfinished',
    when: (s) =>
      holdsLease(s) &&
      !isEpochRecorded(s) &&
      (s.postgres.kind === 'standby' || (isDown(s) && s.disk.standbySignal)),
    order: () => ({ kind: 'finish-promotion' }),
    reason: 'this node holds the lease and PostgreSQL has not been promoted',
  },
  {
    rule: 'standby-in-own-epoch',
    when: (s) => holdsLease(s) && s.postgres.kind === 'standby',
    order: () => ({ kind: 'start-primary' }),
    reason:
      'this node was primary in this epoch and its server came up as a standby: it is started again as the primary that it is, for a promotion would begin another timeline',
  },
  {
    rule: 'epoch-unrecorded',
    when: (s) => holdsLease(s) && s.postgres.kind === 'primary' && s.record !== null && !isEpochRecorded(s),
    order: () => ({ kind: 'record-epoch' }),
    reason: 'this node is primary and its epoch has not been recorded',
  },
  {
    rule: 'primary-serves',
    when: (s) => holdsLease(s) && s.postgres.kind === 'primary',
    order: () => ({ kind: 'tend-primary' }),
    reason: 'primary, with the lease',
  },
  ...downPrimaryRules,
  {
    rule: 'primary-coming',
    when: (s) => holdsLease(s),
    order: nothing,
    reason: 'this node holds the lease and PostgreSQL is starting up or not answering',
  },
];
