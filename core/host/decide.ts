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
 * | stopped          | PostgreSQL down, data present                | `start-primary`, `start-standby`, `rewind`, `rebuild` |
 * | standby          | `start-standby`, `clone`, `rewind`, `rebuild` | acquire-and-promote (an action), `kill-postgres` |
 * | primary          | `create-lease`, acquire-and-promote, `start-primary` | stop-and-release (an action), `kill-postgres`, `hand-over` |
 */

import { type HoldStage, type LeaseWatch, maySeal } from '../lease/lease-clock.ts';
import type { ClusterRecord } from '../model/cluster-record.ts';
import { epochRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';
import type { SystemIdentifier } from '../model/system-identifier.ts';

/** PostgreSQL on this host as the agent sees it. */
export type HostPostgres =
  | { readonly kind: 'stopped' }
  /** A postmaster exists; what it is cannot be told yet. */
  | { readonly kind: 'starting-up' }
  /** The postmaster is gone and processes of its are left: they may go on to acknowledge. */
  | { readonly kind: 'orphaned' }
  /** A postmaster exists and does not answer, or refuses the query. */
  | { readonly kind: 'unreachable' | 'query-failed' }
  | { readonly kind: 'primary' }
  | { readonly kind: 'standby'; readonly streaming: boolean; readonly upstream: NodeId | null };

export interface HostDisk {
  /** `foreign`: data is there, but its control file cannot be read. */
  readonly dataDirectory: 'absent' | 'present' | 'quarantined' | 'foreign';
  readonly systemIdentifier: SystemIdentifier | null;
  /** standby.signal is there: started, it cannot become writable by itself. */
  readonly standbySignal: boolean;
  /** The nonce of the bootstrap that made this data directory; null when it was cloned. */
  readonly bootstrapNonce: string | null;
  /** Durable: the last epoch that this data wrote or received WAL of; 0: none yet. */
  readonly dataEpoch: number;
  /** Durable: the highest epoch this host has ever seen. */
  readonly highestEpoch: number;
  /** Durable: this host may not run a primary at this epoch or below. */
  readonly fencedEpoch: number;
  /** Durable: this host ended its WAL receiver for an operation and must not reconnect to that epoch. */
  readonly receiverEnded: { readonly operation: string; readonly epoch: number } | null;
}

/** How this node's data relates to the current epoch, as `core/failover/rejoin.ts` judged it. */
export type RejoinVerdict = 'start-as-is' | 'rewind' | 'rebuild' | 'wait';

export interface HostState {
  readonly node: NodeId;
  readonly incarnation: string;
  /** False until the lease and the record have been read once since this agent started. */
  readonly headRead: boolean;
  readonly record: ClusterRecord | null;
  readonly watch: LeaseWatch;
  readonly holdStage: HoldStage;
  readonly postgres: HostPostgres;
  readonly disk: HostDisk;
  /** The verb of a workflow's action that is being executed here, or an order of this table that still runs. */
  readonly busy: string | null;
  /** Null where it has not been judged (PostgreSQL runs as it should, or nothing to judge against). */
  readonly rejoin: RejoinVerdict | null;
  /** How often PostgreSQL was restarted in place since it last ran for a while. */
  readonly restartsInPlace: number;
  /** How long PostgreSQL has not been running as it should, in ms. */
  readonly troubledForMs: number;
  /** How long the lease has been seen unchanged, in ms of the host's clock. */
  readonly silentMs: number;
  /** A claim of the bootstrap by another node has not moved for this long, in ms. */
  readonly bootstrapSilentMs: number;
  /** How long this host has been trying to join, in ms; 0 once it has. */
  readonly joiningForMs: number;
  /** The primary reports a replication slot for this node. */
  readonly slotReady: boolean;
  /** Where the primary of the current epoch can be reached is known. */
  readonly upstreamKnown: boolean;
  /** How long the lease has been free without an operation to move it, in ms. */
  readonly unattendedMs: number;
}

export type HostOrder =
  | { readonly kind: 'none' }
  | { readonly kind: 'kill-postgres' }
  | { readonly kind: 'register' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'bootstrap'; readonly takeOver: boolean }
  /** Sets aside a first data directory that was made for a claim that another node took over. */
  | { readonly kind: 'discard-bootstrap' }
  | { readonly kind: 'create-lease' }
  | { readonly kind: 'adopt-lease' }
  | { readonly kind: 'start-primary' }
  | { readonly kind: 'finish-promotion' }
  | { readonly kind: 'record-epoch' }
  | { readonly kind: 'tend-primary' }
  | { readonly kind: 'hand-over' }
  | { readonly kind: 'clone'; readonly from: NodeId }
  | { readonly kind: 'start-standby'; readonly upstream: NodeId }
  | { readonly kind: 'follow'; readonly upstream: NodeId }
  | { readonly kind: 'rewind'; readonly from: NodeId }
  | { readonly kind: 'rebuild'; readonly from: NodeId }
  | { readonly kind: 'seal' }
  | { readonly kind: 'request-failover' }
  | { readonly kind: 'alert' };

export interface HostDecision {
  /** The id of the row: it appears in the log line, the event and the console. */
  readonly rule: string;
  readonly order: HostOrder;
  readonly reason: string;
}

/** After so many restarts in place in a row the lease is handed over. */
export const maxRestartsInPlace = 3;
/** A postmaster may be starting up, or not answering, for this long before the primary hands over. */
export const primaryTroubleMs = 60_000;
/** A bootstrap claim that has not moved for this long may be taken over. */
export const bootstrapTakeOverMs = 6_000;
/** A free lease without an operation is attended to by every member after this long (the sealer at once). */
export const unattendedLeaseMs = 1_500;

interface Row {
  readonly rule: string;
  readonly when: (state: HostState) => boolean;
  readonly order: (state: HostState) => HostOrder;
  readonly reason: string;
}

const nothing = (): HostOrder => ({ kind: 'none' });

function leaseOf(state: HostState): Lease | null {
  return state.watch.lease;
}

function holdsLease(state: HostState): boolean {
  const lease = leaseOf(state);
  return (
    lease !== null &&
    lease.state === 'held' &&
    lease.holder === state.node &&
    lease.incarnation === state.incarnation
  );
}

function mayBePrimary(state: HostState): boolean {
  if (state.postgres.kind === 'primary') return true;
  const unknown = state.postgres.kind !== 'stopped' && state.postgres.kind !== 'standby';
  return unknown && !state.disk.standbySignal;
}

function currentPrimary(state: HostState): NodeId | null {
  const lease = leaseOf(state);
  if (lease === null || lease.state !== 'held' || lease.holder === state.node) return null;
  return state.record !== null && epochRecord(state.record, lease.epoch) !== null ? lease.holder : null;
}

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

/** The rows, in order. Above the line "workflow", rows hold even while an action is being executed. */
export const hostTable: readonly Row[] = [
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
    rule: 'busy',
    when: (s) => s.busy !== null,
    order: nothing,
    reason: 'an action is being executed here',
  },
  // ---- workflow: rows below wait for the action ----
  {
    rule: 'record-missing',
    when: (s) => s.record === null,
    order: nothing,
    reason: 'the cluster has not been initialised',
  },
  {
    rule: 'epoch-regressed',
    when: (s) => (leaseOf(s)?.epoch ?? 0) < s.disk.highestEpoch,
    order: () => ({ kind: 'alert' }),
    reason: 'the lease vanished or its epoch is lower than one seen before: a restored table?',
  },
  {
    rule: 'bootstrap-lost',
    when: (s) =>
      s.disk.dataDirectory === 'present' &&
      s.disk.bootstrapNonce !== null &&
      s.disk.dataEpoch === 0 &&
      s.disk.bootstrapNonce !== s.record?.bootstrap?.nonce &&
      s.disk.systemIdentifier !== s.record?.systemIdentifier,
    order: () => ({ kind: 'discard-bootstrap' }),
    reason: 'this node made a first data directory, and another node took the bootstrap over meanwhile',
  },
  {
    rule: 'foreign-data',
    when: (s) =>
      s.disk.dataDirectory === 'foreign' ||
      (s.disk.dataDirectory === 'quarantined' && s.record?.systemIdentifier === null) ||
      (s.disk.dataDirectory === 'present' &&
        s.record?.systemIdentifier !== null &&
        s.disk.systemIdentifier !== s.record?.systemIdentifier) ||
      (s.disk.dataDirectory === 'present' &&
        s.record?.systemIdentifier === null &&
        s.disk.bootstrapNonce !== s.record.bootstrap?.nonce),
    order: () => ({ kind: 'refuse' }),
    reason: "the data directory here belongs to another cluster: its system identifier is not the cluster's",
  },
  {
    rule: 'cluster-full',
    when: (s) => !isMember(s) && (s.record?.members.length ?? 0) >= (s.record?.spec.maxNodes ?? 0),
    order: () => ({ kind: 'refuse' }),
    reason: 'the cluster has its maximum of nodes',
  },
  {
    rule: 'join',
    when: (s) => !isMember(s),
    order: () => ({ kind: 'register' }),
    reason: 'this node is not a member yet',
  },
  {
    rule: 'join-timed-out',
    when: (s) => s.disk.dataDirectory === 'absent' && s.joiningForMs > (s.record?.spec.joinTimeoutMs ?? 0),
    order: () => ({ kind: 'refuse' }),
    reason: 'joining took longer than the limit',
  },
  {
    rule: 'bootstrap-free',
    when: (s) => s.record?.systemIdentifier === null && s.record.bootstrap === null,
    order: () => ({ kind: 'bootstrap', takeOver: false }),
    reason: 'nobody has made the first data directory',
  },
  {
    rule: 'bootstrap-interrupted',
    when: (s) =>
      s.record?.systemIdentifier === null &&
      (s.record.bootstrap?.node === s.node || s.bootstrapSilentMs > bootstrapTakeOverMs),
    order: () => ({ kind: 'bootstrap', takeOver: true }),
    reason: 'the bootstrap was claimed and then fell silent',
  },
  {
    rule: 'bootstrap-elsewhere',
    when: (s) => s.record?.systemIdentifier === null,
    order: nothing,
    reason: 'another node makes the first data directory',
  },
  {
    rule: 'first-lease',
    when: (s) =>
      leaseOf(s) === null &&
      s.disk.dataDirectory === 'present' &&
      s.disk.bootstrapNonce !== null &&
      s.disk.bootstrapNonce === s.record?.bootstrap?.nonce,
    order: () => ({ kind: 'create-lease' }),
    reason: 'this node made the first data directory',
  },
  {
    rule: 'lease-absent',
    when: (s) => leaseOf(s) === null,
    order: nothing,
    reason: 'the bootstrap winner has not taken the first lease yet',
  },
  {
    rule: 'adopt-own-lease',
    when: (s) =>
      leaseOf(s)?.state === 'held' &&
      leaseOf(s)?.holder === s.node &&
      leaseOf(s)?.incarnation !== s.incarnation,
    order: () => ({ kind: 'adopt-lease' }),
    reason: 'this node holds the lease through an agent that is no more',
  },
  ...primaryRows(),
  {
    rule: 'lease-silent',
    when: (s) => s.disk.dataDirectory === 'present' && maySealNow(s),
    order: () => ({ kind: 'seal' }),
    reason: "the holder has not renewed for longer than ttl'",
  },
  {
    rule: 'lease-unattended',
    when: (s) =>
      s.disk.dataDirectory === 'present' &&
      leaseOf(s)?.state !== 'held' &&
      s.record?.operation === null &&
      !s.record.paused &&
      s.unattendedMs > unattendedLeaseMs,
    order: () => ({ kind: 'request-failover' }),
    reason: 'the lease is free and no operation moves it',
  },
  ...standbyRows(),
];

function isDown(state: HostState): boolean {
  return state.postgres.kind === 'stopped' || state.postgres.kind === 'orphaned';
}

function isMember(state: HostState): boolean {
  return state.record?.members.includes(state.node) ?? false;
}

function maySealNow(state: HostState): boolean {
  return maySeal(state.watch, state.node, state.watch.sinceMs + state.silentMs);
}

function primaryRows(): Row[] {
  return [
    {
      rule: 'lease-uncertain',
      when: (s) => holdsLease(s) && s.holdStage !== 'valid',
      order: nothing,
      reason: 'the lease is not proven to be held at this instant',
    },
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
        epochRecord(s.record as ClusterRecord, leaseOf(s)?.epoch ?? 0) === null,
      order: () => ({ kind: 'record-epoch' }),
      reason: 'this node is primary and its epoch has not been recorded',
    },
    {
      rule: 'primary-serves',
      when: (s) => holdsLease(s) && s.postgres.kind === 'primary',
      order: () => ({ kind: 'tend-primary' }),
      reason: 'primary, with the lease',
    },
    {
      rule: 'primary-beyond-saving',
      when: (s) =>
        holdsLease(s) &&
        (s.restartsInPlace >= maxRestartsInPlace ||
          s.troubledForMs > primaryTroubleMs ||
          s.disk.dataDirectory !== 'present'),
      order: () => ({ kind: 'hand-over' }),
      reason: 'PostgreSQL does not come up here',
    },
    {
      rule: 'primary-stopped',
      when: (s) => holdsLease(s) && isDown(s),
      order: () => ({ kind: 'start-primary' }),
      reason: 'this node holds the lease and PostgreSQL is down: restart in place',
    },
    {
      rule: 'primary-coming',
      when: (s) => holdsLease(s),
      order: nothing,
      reason: 'this node holds the lease and PostgreSQL is starting up or not answering',
    },
  ];
}

function standbyRows(): Row[] {
  return [
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
      rule: 'follows-another',
      when: (s) => s.postgres.kind === 'standby' && s.postgres.upstream !== upstreamOf(s),
      order: (s) => ({ kind: 'follow', upstream: upstreamOf(s) }),
      reason: 'this standby does not follow the primary of the current epoch',
    },
    {
      rule: 'standby-serves',
      when: () => true,
      order: nothing,
      reason: 'standby of the current epoch',
    },
  ];
}

/** Without a primary only data that cannot have diverged is started: what was a standby, or stopped in this epoch. */
function mayStartWithoutPrimary(state: HostState): boolean {
  return state.disk.dataDirectory === 'present' && state.disk.standbySignal;
}

/** Total: the last row matches always. */
export function decideHost(state: HostState): HostDecision {
  const row = hostTable.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: the host table has no row for this state');
  return { rule: row.rule, order: row.order(state), reason: row.reason };
}
