/**
 * What one database host should do now: an ordered table, first match wins, over what its agent has observed. Upholds
 * H1 (PostgreSQL is never started writable without the lease), H2 (a host whose lease is gone stops it), H3 (a node
 * never follows another system identifier or a diverged history), H4 (only a member that watched the lease unchanged
 * for ttl' seals it). The agent observes, decides, reads again what it is about to rely on, acts and records.
 *
 * The host's life, as the orders of this table move it (how each state is entered, how it is left):
 *
 * | state            | entered                                      | left                                           |
 * |------------------|----------------------------------------------|------------------------------------------------|
 * | outside          | a new host, or refused                       | `register`                                     |
 * | empty            | registered, no data directory                | `bootstrap` (one node ever), `clone`           |
 * | told to adopt    | its data is to become the cluster's          | `adopt-directory` (one node ever), refused      |
 * | stopped          | PostgreSQL down, data present                | `start-primary`, `start-standby`, `rewind`, `rebuild` |
 * | standby          | `start-standby`, `clone`, `rewind`, `rebuild` | acquire-and-promote (an action), `kill-postgres` |
 * | primary          | `create-lease`, acquire-and-promote, `start-primary` | stop-and-release (an action), `kill-postgres`, `hand-over` |
 */

import { maySeal } from '../lease/lease-clock.ts';
import { adoptionRules } from './adoption-rules.ts';
import { type HostDecision, leaseOf, mayBePrimary, nothing, type Row } from './host-rules.ts';
import type { HostState } from './host-state.ts';
import { joiningRules } from './joining-rules.ts';
import { frozenWhileBusy } from './primary-failure.ts';
import { primaryRules } from './primary-rules.ts';
import { standbyRules } from './standby-rules.ts';

function maySealNow(state: HostState): boolean {
  return (
    !state.heldBack &&
    maySeal(state.watch, state.node, state.watch.sinceMs + state.silentMs) &&
    (state.watch.lease?.epoch ?? 0) >= state.disk.highestEpoch
  );
}

/** What holds whatever else is under way on this host. */
const fencingRules: readonly Row[] = [
  {
    rule: 'head-unread',
    when: (s) => !s.headRead,
    order: nothing,
    reason: 'the lease has not been read since this agent started; the guard keeps the deadline',
  },
  {
    rule: 'lease-deadline',
    when: (s) => (s.holdStage === 'kill' || s.holdStage === 'expired') && mayBePrimary(s),
    order: () => ({ kind: 'kill-postgres' }),
    reason: 'the lease could not be renewed in time',
    details: (s) => ({
      standbys_streaming: s.recovery.successors.length,
      members: s.record?.members.length ?? null,
      // With DynamoDB and most standbys out of reach it is this host that is cut off, and nothing could have kept it writable.
      cut_off_from_majority: 2 * (s.recovery.successors.length + 1) <= (s.record?.members.length ?? 0),
    }),
  },
  {
    rule: 'writable-without-lease',
    when: (s) => mayBePrimary(s) && !(leaseOf(s)?.state === 'held' && leaseOf(s)?.holder === s.node),
    order: () => ({ kind: 'kill-postgres' }),
    reason: 'PostgreSQL is or may be writable and this node does not hold the lease',
  },
  {
    rule: 'fenced-epoch',
    when: (s) => mayBePrimary(s) && (leaseOf(s)?.epoch ?? 0) <= s.disk.fencedEpoch,
    order: () => ({ kind: 'kill-postgres' }),
    reason: 'this host was barred from running a primary at this epoch',
  },
  {
    rule: 'writable-elsewhere',
    when: (s) => s.registered === 'elsewhere' && mayBePrimary(s),
    order: () => ({ kind: 'kill-postgres' }),
    reason: 'this node id is registered to another EC2 instance',
  },
  {
    rule: 'lease-silent',
    when: (s) => s.disk.dataDirectory === 'present' && s.registered === 'here' && maySealNow(s),
    order: () => ({ kind: 'seal' }),
    reason: "the holder has not renewed for longer than ttl'",
  },
  frozenWhileBusy,
  {
    rule: 'busy',
    when: (s) => s.busy !== null,
    order: nothing,
    reason: 'an action is being executed here',
  },
];

/** The rows, in order; those after `busy` wait for the action that is being executed. */
export const hostTable: readonly Row[] = [
  ...fencingRules,
  ...adoptionRules,
  ...joiningRules,
  ...primaryRules,
  ...standbyRules,
];

/**
 * The part of the table that stops PostgreSQL, alone: asked at every change of the lease, between rounds, so that no slow look
 * at a hung server and no slow read delays a fence. Null: nothing is to be stopped.
 */
export function decideFencing(state: HostState): HostDecision | null {
  const row = fencingRules.find((candidate) => candidate.when(state));
  const order = row?.order(state);
  return row === undefined || order?.kind !== 'kill-postgres' ? null : decisionOf(row, state);
}

/** Total: the last row matches always. */
export function decideHost(state: HostState): HostDecision {
  const row = hostTable.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: the host table has no row for this state');
  return decisionOf(row, state);
}

function decisionOf(row: Row, state: HostState): HostDecision {
  const details = row.details?.(state);
  return {
    rule: row.rule,
    order: row.order(state),
    reason: row.reason,
    ...(details === undefined ? {} : { details }),
  };
}
