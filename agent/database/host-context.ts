/**
 * What every piece of work on a database host needs, put together once in `run-database.ts` and passed on: no globals.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { WakeUp } from '../../adapters/wake-up.ts';
import type { HostHealth } from '../../core/host/host-health.ts';
import type { Writer } from '../../core/lease/lease-write.ts';
import type { HostSecretUse } from '../../core/model/cluster-secrets.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import type { AgentRelease, NodeReport } from '../../core/model/node-report.ts';
import type { CertificateKeeper } from '../certificates.ts';
import type { DiskState } from '../disk-state.ts';
import type { Emit, Log } from '../emit.ts';
import type { Journal } from '../journal.ts';
import type { LeaseKeeper } from '../lease-keeper.ts';
import type { Server } from './server.ts';
import type { SynchronousNames } from './synchronous-names.ts';

export interface HostContext {
  readonly config: DatabaseHostConfig;
  readonly writer: Writer;
  /** What this agent came with; null: with no artifact. */
  readonly release: AgentRelease | null;
  readonly store: ClusterStore;
  readonly keeper: LeaseKeeper;
  readonly server: Server;
  readonly names: SynchronousNames;
  readonly disk: DiskState;
  readonly journal: Journal;
  readonly wakeUp: WakeUp;
  readonly emit: Emit;
  readonly log: Log;
  /** Milliseconds of the clock that counts suspension. */
  readonly now: () => number;
  /** Renews the lease of this epoch no more: it runs out, and every stage of the fence comes in its time. */
  readonly letLapse: () => void;
  /** How well this host is, as its probes found it last. */
  readonly health: () => HostHealth;
  /** The last reports that were read of all nodes, this one's included. */
  readonly nodes: () => readonly NodeReport[];
  /** The reports have been read at least once. */
  readonly directoryRead: () => boolean;
  /** How often they are to be read while none is missing. */
  readonly nodesEveryMs: () => number;
  /** What this node says of itself changed: report before the next period. */
  readonly reportSoon: () => void;
  /** While set, `/primary` answers 503 although the lease is held. */
  readonly setHandingOver: (handingOver: boolean) => void;
  /** How far this host has followed rotations; undefined: it follows none. */
  readonly secretUse: () => HostSecretUse | undefined;
  /** The port that the REST server got. */
  readonly restPort: () => number;
  /** Reads the reports of all nodes now. */
  readonly readNodes: () => Promise<void>;
  /** Whom to trust where TLS is required, and whether this host has had its first certificate. */
  readonly certificates: Pick<CertificateKeeper, 'trusted' | 'isMissing'>;
  /** Resolves at the next wake-up datagram, or after `timeoutMs`. */
  /** From now on, or no longer, clients wait for what this host is doing: its rounds do not compete with it. */
  readonly clientsWait: (wait: boolean) => void;
  readonly nextWake: (timeoutMs: number) => Promise<void>;
}
