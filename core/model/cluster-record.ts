/**
 * The cluster's record: what is wanted (spec), what is under way (intent) and what each epoch was (history). One item
 * beside the lease, changed only by compare-and-set on `version`. The lease decides whom to follow; the record is
 * intent, and the place where the workflow's progress is read.
 */
import type { ClusterSecrets } from './cluster-secrets.ts';
import type { FencedHost, FencingChoice } from './fencing.ts';
import type { NodeId, SynchronousMode, SynchronousRule } from './lease.ts';
import type { Lsn } from './lsn.ts';
import type { SystemIdentifier } from './system-identifier.ts';
import type { HistoryEntry } from './timeline.ts';
import { defaultTls, type TlsSpec } from './tls.ts';

export type FailoverState =
  | 'stable'
  | 'initiated'
  | 'waiting_for_catchup'
  | 'demoting_old_primary'
  | 'promoting_new_primary'
  | 'reconfiguring_replicas';

/** In the order in which an operation passes through them. */
export const failoverStates: readonly FailoverState[] = [
  'stable',
  'initiated',
  'waiting_for_catchup',
  'demoting_old_primary',
  'promoting_new_primary',
  'reconfiguring_replicas',
];

/** What is wanted of synchronous replication; what is in force is in the lease. */
export interface SynchronousSpec {
  readonly mode: SynchronousMode;
  readonly method: SynchronousRule['method'];
  /** 0 exactly when the mode is `off`. */
  readonly k: number;
}

export interface ClusterSpec {
  readonly ttlMs: number;
  readonly heartbeatMs: number;
  /** How many members the cluster may have at the most: a wrong configuration must not bring it down. */
  readonly maxNodes: number;
  readonly sync: SynchronousSpec;
  /** A candidate may lag by at most this much when an operation begins. */
  readonly maxLagBytes: number;
  /** How long a switchover waits for its target to catch up before it is aborted. */
  readonly catchUpTimeoutMs: number;
  /** How long a node that wants to join waits before it gives up. */
  readonly joinTimeoutMs: number;
  /** How many kept data directories a node retains after a rebuild. */
  readonly keptDataDirectories: number;
  /** What EC2 is asked to do with a host that gives no proof that it is down. */
  readonly fencing: FencingChoice;
  /** While DynamoDB does not answer the primary stays writable with the promises of all members. */
  readonly failsafe: boolean;
  readonly tls: TlsSpec;
}

/** What one epoch was: recorded before a client may enter. */
export interface EpochRecord {
  readonly epoch: number;
  readonly node: NodeId;
  readonly timeline: number;
  /** Where this epoch's timeline left its parent; null for the first epoch and for a restart on the same timeline. */
  readonly forkLsn: Lsn | null;
  /** The history of the timeline, oldest first. */
  readonly history: readonly HistoryEntry[];
}

export interface Bootstrap {
  readonly node: NodeId;
  /** Made anew by each claim; what a loser started is worthless from then on. */
  readonly nonce: string;
  /** Rises while the claimant is at work, so that others can see silence. */
  readonly seq: number;
  /**
   * An operator has told `node` to take its own data, of this system, for the cluster's: nobody else may make any, however long that
   * takes. Missing where nothing is to be adopted.
   */
  readonly adopts?: SystemIdentifier;
}

/** Begins the nonce of an adoption: what is adopted is never set aside as a first data directory that came too late. */
export const adoptionPrefix = 'adopt-';

/** The operation under way. */
export interface CurrentOperation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly executionArn: string | null;
}

export type OperationKind = 'switchover' | 'failover';

export interface LastFailover {
  readonly operation: string;
  readonly reason: string;
  /** ISO 8601, for people only: no decision uses it. */
  readonly time: string;
  readonly from: NodeId;
  readonly to: NodeId;
}

export interface ClusterRecord {
  readonly cluster: string;
  /** Made at init; distinguishes two clusters that had the same name. */
  readonly uid: string;
  readonly version: number;
  readonly spec: ClusterSpec;
  /** Database nodes that have joined, in the order of joining. */
  readonly members: readonly NodeId[];
  readonly proxies: readonly NodeId[];
  /** Null until the bootstrap winner has written it. */
  readonly systemIdentifier: SystemIdentifier | null;
  readonly bootstrap: Bootstrap | null;
  readonly failoverState: FailoverState;
  readonly operation: CurrentOperation | null;
  /** The number of the last attempt that was claimed in this epoch's operations; rises with each operation. */
  readonly attempt: number;
  readonly intendedPrimary: NodeId | null;
  readonly failoverTargetPrimary: NodeId | null;
  readonly lastFailover: LastFailover | null;
  /** The newest epochs, by number, ascending; bounded to `recordedEpochs`. */
  readonly epochs: readonly EpochRecord[];
  readonly paused: boolean;
  /** What was done to hosts through EC2 and not undone yet. */
  readonly fencedHosts: readonly FencedHost[];
  /** Missing: none was ever rotated. */
  readonly secrets?: ClusterSecrets;
}

/** So many epochs stay in the record: an item may not grow without a bound. */
export const recordedEpochs = 50;

export const defaultSpec: ClusterSpec = {
  ttlMs: 5000,
  heartbeatMs: 1000,
  maxNodes: 7,
  sync: { mode: 'off', method: 'any', k: 0 },
  maxLagBytes: 16 * 1024 * 1024,
  catchUpTimeoutMs: 30_000,
  joinTimeoutMs: 300_000,
  keptDataDirectories: 1,
  fencing: { mode: 'stop' },
  failsafe: true,
  tls: defaultTls,
};

export function epochRecord(record: ClusterRecord, epoch: number): EpochRecord | null {
  return record.epochs.find((known) => known.epoch === epoch) ?? null;
}
