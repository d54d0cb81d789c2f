/**
 * What the holder of the lease does with its PostgreSQL: finish a promotion, record the epoch, serve; what counts as failed,
 * and what follows, is in `primary-failure.ts`. Upholds H1: every row that opens PostgreSQL for writing comes after
 * `lease-uncertain`.
 */
import { epochRecord } from '../model/cluster-record.ts';
import { holdsLease, isDown, leaseOf, nothing, type Row } from './host-rules.ts';
import { downPrimaryRules, failingPrimaryRules } from './primary-failure.ts';

export const primaryRules: readonly Row[] = [
  {
    rule: 'lease-uncertain',
    when: (s) => holdsLease(s) && s.holdStage !== 'valid',
    order: nothing,
    reason: 'the lease is not proven to be held at this instant',
  },
  ...failingPrimaryRules,
  {
    rule: 'promotion-unfinished',
    when: (s) => holdsLease(s) && (s.postgres.kind === 'standby' || (isDown(s) && s.disk.standbySignal)),
    order: () => ({ kind: 'finish-promotion' }),
    reason: 'this node holds the lease and PostgreSQL has not been promoted',
  },
  {
    rule: 'epoch-unrecorded',
    when: (s) =>
      holdsLease(s) &&
      s.postgres.kind === 'primary' &&
      s.record !== null &&
      epochRecord(s.record, leaseOf(s)?.epoch ?? 0) === null,
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
