/**
 * What a node does that does not hold the lease: seal a silent one, ask for a failover, follow the primary of the current
 * epoch, or be brought back onto its history. Upholds H3 and H4.
 */
import type { NodeId } from '../model/lease.ts';
import { isDiskUnfit, isHung } from './host-health.ts';
import { currentPrimary, isDown, leaseOf, needsFailover, nothing, type Row } from './host-rules.ts';
import type { HostState } from './host-state.ts';

/** A free lease without an operation is attended to by every member after this long (the sealer at once). */
export const unattendedLeaseMs = 1_500;

/** This host ended its receiver for an operation that has not been aborted: it never reconnects to that epoch. */
function mustNotFollow(state: HostState): boolean {
  const ended = state.disk.receiverEnded;
  const lease = leaseOf(state);
  if (ended === null || lease === null || ended.epoch !== lease.epoch) return false;
  return state.record?.operation?.id === ended.operation || lease.state !== 'held';
}

const upstreamOf = (state: HostState): NodeId => {
  const primary = currentPrimary(state);
  if (primary === null) throw new Error('InvariantViolation: an order to follow without a primary to follow');
  return primary;
};

/** Without a primary only data that cannot have diverged is started: what was a standby, or stopped in this epoch. */
function mayStartWithoutPrimary(state: HostState): boolean {
  return state.disk.dataDirectory === 'present' && state.disk.standbySignal;
}

function isUnattended(state: HostState): boolean {
  const lease = leaseOf(state);
  const { record } = state;
  return lease !== null && record !== null && !record.paused && needsFailover(record, lease);
}

/** While there is no primary, and whose business that is. */
const freeLeaseRules: readonly Row[] = [
  {
    rule: 'lease-unattended',
    when: (s) => s.disk.dataDirectory === 'present' && isUnattended(s) && s.unattendedMs > unattendedLeaseMs,
    order: () => ({ kind: 'request-failover' }),
    reason: 'the lease is free and no operation moves it',
  },
];

const followingRules: readonly Row[] = [
  {
    rule: 'standby-hung',
    when: (s) => !isDown(s) && isHung(s.health, leaseOf(s)?.ttlMs ?? 0),
    order: () => ({ kind: 'kill-hung' }),
    reason: 'the postmaster lives and takes no new connection: it is killed and started again',
    details: (s) => ({
      postmaster: s.health.responsiveness.kind,
      silent_ms: Math.round(s.health.responsiveness.forMs),
    }),
  },
  {
    rule: 'disk-unfit',
    when: (s) => isDiskUnfit(s.health) && (isDown(s) || s.rejoin === 'rewind' || s.rejoin === 'rebuild'),
    order: nothing,
    reason: 'the data disk is full, read-only, failing or frozen: nothing is started or copied there',
  },
  {
    rule: 'no-primary-start',
    when: (s) => currentPrimary(s) === null && isDown(s) && mayStartWithoutPrimary(s),
    order: (s) => ({ kind: 'start-standby', upstream: leaseOf(s)?.holder ?? s.node }),
    reason: 'there is no primary; this standby is up so that it can become one',
  },
  {
    rule: 'no-primary',
    when: (s) => currentPrimary(s) === null,
    order: nothing,
    reason: 'there is no primary to follow',
  },
  {
    rule: 'upstream-unknown',
    when: (s) => !s.upstreamKnown,
    order: nothing,
    reason: 'the primary has not said where it can be reached',
  },
  {
    rule: 'receiver-ended',
    when: (s) => mustNotFollow(s),
    order: nothing,
    reason: 'this node ended its WAL receiver for an operation under way',
  },
  {
    rule: 'clone-waits-for-slot',
    when: (s) => s.disk.dataDirectory === 'absent' && !s.slotReady,
    order: nothing,
    reason: 'the primary has not made a replication slot for this node yet',
  },
  {
    rule: 'clone',
    when: (s) => s.disk.dataDirectory === 'absent',
    order: (s) => ({ kind: 'clone', from: upstreamOf(s) }),
    reason: 'no data directory: clone the primary',
  },
  {
    rule: 'quarantined',
    when: (s) => s.disk.dataDirectory === 'quarantined',
    order: (s) => ({ kind: 'rebuild', from: upstreamOf(s) }),
    reason: 'an interrupted or failed rewind left this data directory unusable',
  },
  {
    rule: 'rejoin-wait',
    when: (s) => s.rejoin === 'wait',
    order: nothing,
    reason: 'what this node holds cannot be judged yet',
  },
  {
    rule: 'rejoin-rewind',
    when: (s) => s.rejoin === 'rewind',
    order: (s) => ({ kind: 'rewind', from: upstreamOf(s) }),
    reason: "this node's history diverged from the current epoch",
  },
  {
    rule: 'rejoin-rebuild',
    when: (s) => s.rejoin === 'rebuild',
    order: (s) => ({ kind: 'rebuild', from: upstreamOf(s) }),
    reason: "this node's history cannot be brought onto the current epoch's",
  },
  {
    rule: 'standby-stopped',
    when: (s) => isDown(s),
    order: (s) => ({ kind: 'start-standby', upstream: upstreamOf(s) }),
    reason: 'PostgreSQL is down',
  },
  {
    rule: 'follows-the-target',
    when: (s) =>
      s.postgres.kind === 'standby' &&
      s.record?.operation != null &&
      s.postgres.upstream !== null &&
      s.postgres.upstream === s.record.failoverTargetPrimary,
    order: nothing,
    reason: 'this standby follows the node that is about to become primary, and cascades from it',
  },
  {
    rule: 'follows-another',
    when: (s) => s.postgres.kind === 'standby' && s.postgres.upstream !== upstreamOf(s),
    order: (s) => ({ kind: 'follow', upstream: upstreamOf(s) }),
    reason: 'this standby does not follow the primary of the current epoch',
  },
  {
    // Either login will do until an operation has ended.
    rule: 'follows-by-another-login',
    when: (s) => s.postgres.kind === 'standby' && s.loginChanged && s.record?.operation == null,
    order: (s) => ({ kind: 'follow', upstream: upstreamOf(s) }),
    reason: 'the login of replication was rotated',
  },
  {
    rule: 'standby-serves',
    when: () => true,
    order: nothing,
    reason: 'standby of the current epoch',
  },
];

export const standbyRules: readonly Row[] = [...freeLeaseRules, ...followingRules];
