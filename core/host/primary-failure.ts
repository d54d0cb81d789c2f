/**
 * What counts as a failed primary, and whether it is restarted in place or handed over: the middle rows of the holder's
 * table. Upholds H1 and H5: a crashed primary is handed over only where no acknowledged write can be lost by it (a synchronous
 * set that is complete, or a standby that is proven to have the end of the log), where its disk is gone, or where it does not come
 * up at all.
 */
import { expectedRecovery, type Forecast, proofWorthMs } from './expected-recovery.ts';
import { isDiskUnfit, isHung } from './host-health.ts';
import { holdsLease, isDown, leaseOf, type Row, type RowDetails } from './host-rules.ts';
import type { HostState } from './host-state.ts';

/** After so many restarts in place in a row the lease is handed over. */
export const maxRestartsInPlace = 3;
/** A primary may be without an answer for this long before it hands over. */
export const primaryTroubleMs = 60_000;
/** A recovery of unknown length may take this long. */
export const unknownRecoveryMs = 600_000;
/** A recovery that was expected to be short and is not. */
export const slowRecoveryMs = 10_000;
/** A sick disk is believed when the second probe finds it so too. */
export const sickDiskMs = 1_000;
/** A hand-over that was asked for and did not come is asked for again. */
export const askAgainMs = 30_000;

function forecast(state: HostState): Forecast {
  const lease = leaseOf(state);
  if (lease === null) throw new Error('InvariantViolation: a forecast without a lease');
  return expectedRecovery(state.recovery, lease.sync);
}

/** What the event says of the decision: both times, and what they rest on. */
function explain(state: HostState): RowDetails {
  const { inPlaceMs, handOverMs, safe } = forecast(state);
  return {
    in_place_ms: inPlaceMs,
    hand_over_ms: handOverMs,
    wal_to_replay_bytes: state.recovery.walToReplayBytes,
    successors: state.recovery.successors.join(' '),
    synchronous_set_complete: safe,
    restarts_in_place: state.restartsInPlace,
    disk: state.health.disk.condition,
  };
}

const hasSuccessor = (state: HostState): boolean => state.recovery.successors.length > 0;

/** It does not run and was primary once: the first start of a cluster is no crash. */
function hasCrashed(state: HostState): boolean {
  return holdsLease(state) && isDown(state) && (state.record?.epochs.length ?? 0) > 0;
}

function mayAsk(state: HostState): boolean {
  return (
    hasSuccessor(state) &&
    state.record?.operation === null &&
    !state.record.paused &&
    state.handOverAskedForMs >= askAgainMs
  );
}

function hasSickDisk(state: HostState): boolean {
  const { condition, forMs } = state.health.disk;
  return isDiskUnfit(state.health) && condition !== 'frozen' && forMs >= sickDiskMs;
}

/** The server runs, or one is there and does not answer. */
function isThere(state: HostState): boolean {
  return state.postgres.kind !== 'stopped' && state.postgres.kind !== 'orphaned';
}

/** A recovery that goes on is not killed lightly: it would begin anew, or its writes be lost. */
function patienceMs(state: HostState): number {
  if (state.postgres.kind !== 'starting-up') return primaryTroubleMs;
  if (state.recovery.walToReplayBytes === null) return unknownRecoveryMs;
  return Math.max(primaryTroubleMs, 3 * forecast(state).inPlaceMs);
}

/** The holder's disk answers nothing, and somebody else could take over. */
function hasFrozenDisk(state: HostState): boolean {
  return (
    holdsLease(state) &&
    state.health.disk.condition === 'frozen' &&
    hasSuccessor(state) &&
    state.record !== null &&
    !state.record.paused
  );
}

/**
 * Before `busy`: an order or an action that waits for the disk may never end, and until it does nothing else is decided here, while
 * the lease is renewed and nobody takes over. (`hand-over` waits for no disk, and ends in a release or in letting the lease lapse.)
 */
export const frozenWhileBusy: Row = {
  rule: 'disk-frozen-while-busy',
  when: (s) => s.busy !== null && s.busy !== 'hand-over' && s.postgres.kind !== 'primary' && hasFrozenDisk(s),
  order: () => ({ kind: 'let-lapse' }),
  reason:
    'the data disk is frozen while something waits for it: the lease is left to run out, so that another node takes over',
  details: explain,
};

/** Before the rows of a primary that serves. */
export const failingPrimaryRules: readonly Row[] = [
  {
    rule: 'disk-frozen',
    when: hasFrozenDisk,
    order: () => ({ kind: 'hand-over' }),
    reason: 'a write to the data disk does not end: nothing can be stopped cleanly, and everything is killed',
    details: explain,
  },
  {
    rule: 'postmaster-hung',
    when: (s) => holdsLease(s) && isThere(s) && isHung(s.health, leaseOf(s)?.ttlMs ?? 0),
    order: () => ({ kind: 'kill-hung' }),
    reason:
      'the postmaster lives and takes no new connection: it is killed, and what follows is decided then',
    details: (s) => ({
      postmaster: s.health.responsiveness.kind,
      silent_ms: Math.round(s.health.responsiveness.forMs),
    }),
  },
  {
    rule: 'disk-sick',
    when: (s) => holdsLease(s) && s.postgres.kind === 'primary' && hasSickDisk(s) && mayAsk(s),
    order: () => ({ kind: 'ask-hand-over' }),
    reason: 'the data disk is full, read-only or failing while the server still runs: a standby takes over',
    details: (s) => ({ ...explain(s), disk_detail: s.health.disk.detail }),
  },
];

/** Before a promotion is finished too, for one that fails again and again does not come up either. */
export const beyondSavingRules: readonly Row[] = [
  {
    rule: 'data-directory-gone',
    when: (s) => holdsLease(s) && s.postgres.kind !== 'primary' && s.disk.dataDirectory !== 'present',
    order: () => ({ kind: 'hand-over' }),
    reason: 'this node holds the lease and has no data directory',
    details: explain,
  },
  {
    rule: 'disk-read-only',
    when: (s) =>
      holdsLease(s) &&
      isDown(s) &&
      s.health.disk.condition === 'read-only' &&
      s.health.disk.forMs >= sickDiskMs &&
      hasSuccessor(s),
    order: () => ({ kind: 'hand-over' }),
    reason: 'PostgreSQL is down and its data disk takes no writes: nothing can be started there',
    details: explain,
  },
  {
    rule: 'cannot-start',
    when: (s) => holdsLease(s) && s.postgres.kind !== 'primary' && s.restartsInPlace >= maxRestartsInPlace,
    order: () => ({ kind: 'hand-over' }),
    reason: 'PostgreSQL does not come up here, or does not stay up',
    details: explain,
  },
];

/** Behind `primary-serves`: PostgreSQL is down, coming, or does not answer. */
export const downPrimaryRules: readonly Row[] = [
  {
    rule: 'no-answer-too-long',
    when: (s) => holdsLease(s) && !isDown(s) && hasSuccessor(s) && s.troubledForMs > patienceMs(s),
    order: () => ({ kind: 'hand-over' }),
    reason: 'PostgreSQL has not answered for longer than any recovery should take',
    details: explain,
  },
  {
    rule: 'recovery-too-long',
    when: (s) =>
      holdsLease(s) &&
      s.postgres.kind === 'starting-up' &&
      s.troubledForMs > slowRecoveryMs &&
      forecast(s).safe,
    order: () => ({ kind: 'hand-over' }),
    reason:
      'the recovery takes longer than a hand-over, and the synchronous standbys have every acknowledged write',
    details: explain,
  },
  {
    rule: 'crash-hand-over',
    when: (s) => hasCrashed(s) && forecast(s).safe && forecast(s).inPlaceMs > forecast(s).handOverMs,
    order: () => ({ kind: 'hand-over' }),
    reason:
      'crashed: a hand-over is expected to be shorter than the recovery, and the synchronous standbys have every acknowledged write',
    details: explain,
  },
  {
    rule: 'crash-hand-over-if-proven',
    when: (s) =>
      hasCrashed(s) && hasSuccessor(s) && forecast(s).inPlaceMs > forecast(s).handOverMs + proofWorthMs,
    order: (s) => ({ kind: 'hand-over-if-proven', successors: s.recovery.successors }),
    reason:
      'crashed: a hand-over is expected to be shorter than the recovery; only to a standby that has the end of the log, else in place',
    details: explain,
  },
  {
    rule: 'crash-in-place',
    when: (s) => hasCrashed(s),
    order: () => ({ kind: 'start-primary' }),
    reason:
      'crashed: the recovery in place is expected to be shorter, or no standby is known to have every write',
    details: explain,
  },
  {
    rule: 'first-start',
    when: (s) => holdsLease(s) && isDown(s),
    order: () => ({ kind: 'start-primary' }),
    reason: 'this node holds the first lease of the cluster and PostgreSQL is down',
  },
];
