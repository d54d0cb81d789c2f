/**
 * What an agent knows of its host when it decides: everything that `decide.ts` looks at, and nothing else. Read at one
 * instant, after the last wait of a round.
 */
import type { HoldStage, LeaseWatch } from '../lease/lease-clock.ts';
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { NodeId } from '../model/lease.ts';
import type { SystemIdentifier } from '../model/system-identifier.ts';
import type { RecoveryView } from './expected-recovery.ts';
import type { HostHealth } from './host-health.ts';

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
  /** Work that opens PostgreSQL is under way, or has been since it was looked at: that it was a standby then proves nothing. */
  readonly mayHaveOpened: boolean;
  readonly disk: HostDisk;
  /** The verb of a workflow's action that is being executed here, or an order of this table that still runs. */
  readonly busy: string | null;
  /** Null where it has not been judged (PostgreSQL runs as it should, or nothing to judge against). */
  readonly rejoin: RejoinVerdict | null;
  readonly health: HostHealth;
  readonly recovery: RecoveryView;
  /** How long ago this agent asked for a hand-over of its own lease, in ms; very long when it never did. */
  readonly handOverAskedForMs: number;
  /** This node has promised the holder not to take over, or may have before its agent started (`core/lease/promises.ts`). */
  readonly heldBack: boolean;
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
  /** Whether this node id is registered to this EC2 instance; `unknown` until the reports have been read. */
  readonly registered: 'here' | 'elsewhere' | 'unknown';
  /** TLS is required and this host has not had its first certificate. */
  readonly lacksCertificate: boolean;
  /** Where the primary of the current epoch can be reached is known. */
  readonly upstreamKnown: boolean;
  /** It follows its upstream by another login than the one that is in use. */
  readonly loginChanged: boolean;
  /** How long the lease has been free without an operation to move it, in ms. */
  readonly unattendedMs: number;
}
