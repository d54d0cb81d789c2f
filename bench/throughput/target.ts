/** What the throughput suite measures: ways to a primary and to standbys, whoever has set them up. */
import type { GroupProcesses } from '../measure/process-usage.ts';

/** One way to PostgreSQL. */
export interface Route {
  /** `direct`, `haproxy`, `pgbouncer`, `both`, or a name that the command line gave. */
  readonly path: string;
  readonly serves: 'primary' | 'standbys';
  readonly dsn: string;
}

export interface Target {
  readonly routes: readonly Route[];
  /** For tables, settings and counters: a session of its own at the primary, or what comes closest. */
  readonly adminDsn: string;
  /** Processes of this machine that take part. */
  readonly groups: GroupProcesses;
  /** Who is primary now; null where nobody here can know. A change in the middle of a measurement spoils it. */
  primary(): Promise<string | null>;
}

/** The path names of a cluster of this machine, with what each goes through. */
export const embeddedPaths = {
  direct: 'straight to the PostgreSQL of the primary, or of one standby',
  haproxy: 'HAProxy, then PostgreSQL; standbys in turn',
  pgbouncer: 'a PgBouncer that the bench starts with the settings of ours, straight to the primary',
  'pgbouncer-haproxy': 'PgBouncer, then HAProxy by a Unix socket: the endpoint without its first pass',
  both: 'the endpoint: HAProxy, PgBouncer, HAProxy again',
} as const;

export type EmbeddedPath = keyof typeof embeddedPaths;
