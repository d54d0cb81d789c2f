/**
 * What is measured, whoever made it: a cluster of three nodes on this machine with ways in for clients, that can be struck and watched
 * until it is whole again. Leasehold and its peers each stand behind this, so that a suite does the same to all of them and
 * differs by nothing but what the system does about it.
 */
import type { LatencyProfile } from '../../local/aws/latency-profile.ts';
import type { SynchronousMode } from '../history/check-losses.ts';
import type { HostDriverName } from '../read-options.ts';

/** In the order in which tables show them. */
export const scenarioNames = [
  'switchover',
  'host-killed',
  'postgres-killed',
  'agent-killed',
  'postmaster-stopped',
  'store-away',
  'partition',
  'failover-asked',
  'failover-asked-without-proof',
] as const;
export type Scenario = (typeof scenarioNames)[number];

/** What is done, in words that hold for every system. */
export const scenarioWords: Readonly<Record<Scenario, string>> = {
  switchover: 'an operator asks for a planned change of primary',
  'host-killed': "everything on the primary's host is killed at once; it is started again once clients write",
  'postgres-killed': 'SIGKILL of the postmaster on the primary',
  'agent-killed':
    "SIGKILL of the program that looks after the primary's PostgreSQL; it is started again as any service",
  'postmaster-stopped':
    'SIGSTOP of the postmaster on the primary: established sessions live on, new ones hang',
  'store-away': 'what the cluster keeps its state in (DynamoDB, etcd, the monitor) is away for a while',
  partition: 'the primary is cut off from everything (netns)',
  'failover-asked': 'everything on the primary is killed, and an operator asks for a failover at once',
  'failover-asked-without-proof':
    'the same while nobody can prove that the host is down (Run Command and EC2 away)',
};

/**
 * Ways from a client to the primary: HAProxy then PgBouncer; HAProxy alone; a DSN with all nodes and target_session_attrs=read-write,
 * where the client itself tries them in order.
 */
export const pathNames = ['endpoint', 'haproxy', 'multi-host'] as const;
export type PathName = (typeof pathNames)[number];

/** The DSNs of a path, tried in order; more than one only for `multi-host`. A path that a system does not have is missing. */
export type Paths = Readonly<Partial<Record<PathName, readonly string[]>>>;

/** How long an operation took, by the system's own history. */
export interface OperationTimes {
  readonly kind: 'switchover' | 'failover';
  readonly ms: number;
  /** One after another. */
  readonly steps: readonly { readonly name: string; readonly ms: number }[];
  /** What hosts did in them, side by side: each kind once, with the time of the host that took longest. */
  readonly actions: readonly { readonly name: string; readonly ms: number }[];
}

/** What a system has written down of the time since a blow, oldest first. */
export interface SystemHistory {
  readonly operations: readonly OperationTimes[];
  readonly events: readonly { readonly name: string; readonly afterMs: number }[];
}

export interface SystemUnderTest {
  /** Such as `leasehold` or `patroni-tuned`: what its column, bar or line is called. */
  readonly name: string;
  /** All that a reader must know to judge its figures: time-outs, intervals, synchronous mode. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Program to version. */
  readonly versions: Readonly<Record<string, string>>;
  /** What can be done to it as it was opened. */
  readonly scenarios: ReadonlySet<Scenario>;
  readonly paths: Paths;
  /**
   * Waits for a primary that is open for writes, two standbys that stream from it (in synchronous mode the synchronous ones in force), and a way in for
   * clients. Does what an operator would where the system needs one. The milliseconds it took; throws what is missing when the time is up (0: looks once).
   */
  untilWhole(timeoutMs: number, signal: AbortSignal): Promise<number>;
  /** The node that is primary; throws when there is none. */
  primary(): Promise<string>;
  /** Straight to a node's PostgreSQL, past everything. */
  nodeDsn(node: string): string;
  /**
   * Does it to the primary of this moment. Resolves once it is done: for a switchover or a failover that was asked for, once the system
   * says that another node is primary. Throws when it could not be done; then nothing is left to undo.
   */
  strike(scenario: Scenario, signal: AbortSignal): Promise<Strike>;
  /** On a whole system: all that ended since then. Left out where the system keeps no such history. */
  historySince?(struck: Date): Promise<SystemHistory>;
  /** Ends every process; `keep` leaves logs and data, and says where. Also after a failed `strike`. */
  close(keep: boolean): Promise<void>;
}

export interface Strike {
  /** When it was done, by `performance.now()`; left out: when it was asked for. */
  readonly atMs?: number;
  /** Takes it back: starts what stays down, continues what was stopped, brings back what is away. Must be called, also after an abort. */
  undo(): Promise<void>;
}

export interface OpenSystem {
  readonly mode: SynchronousMode;
  readonly hosts: HostDriverName;
  /** How late AWS answers; nothing to a system that does not use it. */
  readonly latency: LatencyProfile;
  /** How long Leasehold's lease lives; null: as its budgets have it for that latency. */
  readonly ttlMs: number | null;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Brings one up. A peer has one of these for each of its settings. */
export interface SystemMaker {
  readonly name: string;
  /** Debian packages without which it cannot be opened, those that are not here. */
  missingPackages(): readonly string[];
  /** Null where it can be opened in this way, else why not (a mode or a host driver that it does not have). */
  refuses(options: Pick<OpenSystem, 'mode' | 'hosts'>): string | null;
  /** Whole when it resolves. When it does not become so, or the signal is aborted, everything is down before it throws. */
  open(options: OpenSystem): Promise<SystemUnderTest>;
}
