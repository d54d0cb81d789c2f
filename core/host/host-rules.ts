/**
 * The words of the host's decision table: what can be ordered, what a row is, and the few questions about a state that
 * several rows ask.
 */
import { type ClusterRecord, epochRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';
import type { HostState } from './host-state.ts';

export type HostOrder =
  | { readonly kind: 'none' }
  | { readonly kind: 'kill-postgres' }
  | { readonly kind: 'register' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'bootstrap'; readonly takeOver: boolean }
  /** Makes the data that is here the cluster's first, because an operator has named it. */
  | { readonly kind: 'adopt-directory' }
  /** Sets aside a first data directory that was made for a claim that another node took over. */
  | { readonly kind: 'discard-bootstrap' }
  | { readonly kind: 'create-lease' }
  | { readonly kind: 'adopt-lease' }
  | { readonly kind: 'start-primary' }
  | { readonly kind: 'finish-promotion' }
  | { readonly kind: 'record-epoch' }
  | { readonly kind: 'tend-primary' }
  | { readonly kind: 'hand-over' }
  /** Hands over if one of these standbys has the end of the log, else starts in place. */
  | { readonly kind: 'hand-over-if-proven'; readonly successors: readonly NodeId[] }
  /** Asks the workflow for a hand-over while the lease is held: it stops cleanly if that is possible. */
  | { readonly kind: 'ask-hand-over' }
  | { readonly kind: 'kill-hung' }
  /** Renews the lease no more: its time bounds what nothing here can stop. */
  | { readonly kind: 'let-lapse' }
  | { readonly kind: 'clone'; readonly from: NodeId }
  | { readonly kind: 'start-standby'; readonly upstream: NodeId }
  | { readonly kind: 'follow'; readonly upstream: NodeId }
  | { readonly kind: 'rewind'; readonly from: NodeId }
  | { readonly kind: 'rebuild'; readonly from: NodeId }
  | { readonly kind: 'seal' }
  | { readonly kind: 'request-failover' }
  | { readonly kind: 'alert' };

/** What a decision rests on, for its event. */
export type RowDetails = Readonly<Record<string, string | number | boolean | null>>;

export interface HostDecision {
  /** The id of the row: it appears in the log line, the event and the console. */
  readonly rule: string;
  readonly order: HostOrder;
  readonly reason: string;
  readonly details?: RowDetails;
}

export interface Row {
  readonly rule: string;
  readonly when: (state: HostState) => boolean;
  readonly order: (state: HostState) => HostOrder;
  readonly reason: string;
  readonly details?: (state: HostState) => RowDetails;
}

export const nothing = (): HostOrder => ({ kind: 'none' });

export function leaseOf(state: HostState): Lease | null {
  return state.watch.lease;
}

export function holdsLease(state: HostState): boolean {
  const lease = leaseOf(state);
  return (
    lease !== null &&
    lease.state === 'held' &&
    lease.holder === state.node &&
    lease.incarnation === state.incarnation
  );
}

export function mayBePrimary(state: HostState): boolean {
  if (state.postgres.kind === 'primary') return true;
  if (state.postgres.kind === 'standby') return state.mayHaveOpened;
  return state.postgres.kind !== 'stopped' && !state.disk.standbySignal;
}

export function currentPrimary(state: HostState): NodeId | null {
  const lease = leaseOf(state);
  if (lease === null || lease.state !== 'held' || lease.holder === state.node) return null;
  return state.record !== null && epochRecord(state.record, lease.epoch) !== null ? lease.holder : null;
}

/**
 * The lease is free and nobody moves it. A switchover whose primary was sealed cannot go on: a failover takes its place
 * (`begin` preempts it).
 */
export function needsFailover(record: ClusterRecord, lease: Lease): boolean {
  if (lease.state === 'held') return false;
  return record.operation === null || (record.operation.kind === 'switchover' && lease.state === 'sealed');
}

export function isDown(state: HostState): boolean {
  return state.postgres.kind === 'stopped' || state.postgres.kind === 'orphaned';
}

export function isMember(state: HostState): boolean {
  return state.record?.members.includes(state.node) ?? false;
}
