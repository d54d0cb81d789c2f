/**
 * What a node says of itself: its PostgreSQL, its place in the history, where it can be reached. Written by that node
 * alone, when something but a position changes, else every few seconds. A report is evidence, never a permission.
 */
import type { HostSecretUse } from './cluster-secrets.ts';
import type { NodeId } from './lease.ts';
import type { Lsn } from './lsn.ts';
import type { SystemIdentifier } from './system-identifier.ts';

/** "Cannot connect", "starting up" and "query failed" are different facts. */
export type PostgresState = 'absent' | 'stopped' | 'unreachable' | 'starting_up' | 'query_failed' | 'running';

export type NodeRole = 'primary' | 'standby' | 'none';

/** What the agent is doing with its data directory beyond running it. */
export type NodeActivity =
  | 'none'
  | 'bootstrapping'
  | 'cloning'
  | 'rewinding'
  | 'rebuilding'
  | 'refused'
  | 'waiting';

/** What keeps a node from being chosen although its PostgreSQL may run. */
export type NodeHealth =
  | 'ok'
  | 'disk-full'
  | 'disk-read-only'
  | 'disk-frozen'
  | 'disk-failed'
  | 'postgres-hung';

export interface NodeAddresses {
  /** Where PostgreSQL listens. */
  readonly host: string;
  readonly port: number;
  readonly restPort: number;
  /** UDP, for the wake-up datagram. */
  readonly wakePort: number;
}

/** Which artifact an agent came with, as its host unpacked it. */
export interface AgentRelease {
  /** As `VERSION` in the artifact. */
  readonly version: string;
  /** Of the artifact: 64 hexadecimal digits. */
  readonly sha256: string;
}

export interface NodeReport {
  readonly node: NodeId;
  readonly incarnation: string;
  readonly instanceId: string;
  /** Rises with each report of this incarnation. */
  readonly seq: number;
  readonly role: NodeRole;
  readonly postgres: PostgresState;
  readonly activity: NodeActivity;
  /** Why it is in that activity or cannot go on; for people. */
  readonly detail: string;
  readonly systemIdentifier: SystemIdentifier | null;
  readonly timeline: number | null;
  /** The epoch whose primary this node is or follows; null when it follows none. */
  readonly epoch: number | null;
  /** Primary: the current write position. Standby: the larger of received and replayed. */
  readonly lsn: Lsn | null;
  readonly replayLsn: Lsn | null;
  readonly lagBytes: number | null;
  /** A standby: it streams from `upstream` now. */
  readonly streaming: boolean;
  readonly upstream: NodeId | null;
  readonly slots: readonly string[];
  readonly tags: NodeTags;
  /** Missing in the report of an older agent: `ok`. */
  readonly health?: NodeHealth;
  /** The file system of the data directory is nearly full; missing in the report of an older agent. */
  readonly diskLow?: boolean;
  /** It holds its lease by the promises of its peers, or has promised a peer not to take over; missing as above. */
  readonly failsafe?: boolean;
  /** Which versions of the secrets it uses; missing where it cannot follow a rotation. */
  readonly secrets?: HostSecretUse;
  readonly addresses: NodeAddresses;
  /** Of PostgreSQL. */
  readonly version: string;
  /** Missing where the agent came with no artifact, and in the report of an older one. */
  readonly agent?: AgentRelease;
}

export interface NodeTags {
  readonly nofailover: boolean;
  /** Larger is preferred among equals. */
  readonly failoverPriority: number;
}

export const defaultTags: NodeTags = { nofailover: false, failoverPriority: 0 };

/** What a proxy says of itself. */
export interface ProxyReport {
  readonly proxy: NodeId;
  readonly incarnation: string;
  readonly instanceId: string;
  readonly seq: number;
  /** The epoch it routes to; null when it routes nowhere. */
  readonly epoch: number | null;
  readonly routesTo: NodeId | null;
  readonly paused: boolean;
  /** The operation for which it is paused. */
  readonly pausedFor: string | null;
  /** The operation for which it could not pause in time. */
  readonly pauseFailedFor: string | null;
  readonly detail: string;
  /** As in a node's report. */
  readonly secrets?: HostSecretUse;
  readonly addresses: ProxyAddresses;
  /** As in a node's report. */
  readonly agent?: AgentRelease;
}

export interface ProxyAddresses {
  readonly host: string;
  /** HAProxy in front of PgBouncer: where clients go. */
  readonly endpointPort: number;
  readonly pgbouncerPort: number;
  /** HAProxy straight to the primary's PostgreSQL. */
  readonly primaryPort: number;
  /** HAProxy to the standbys. */
  readonly replicasPort: number;
  readonly restPort: number;
  readonly wakePort: number;
}
