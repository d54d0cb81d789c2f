/**
 * What pg_auto_failover is told: its times, the files of the first node's server (the others copy them), and what its monitor
 * says of the nodes. Pure.
 */
import type { SynchronousMode } from '../../history/check-losses.ts';
import { login, peerSettings, settingLines } from './peer-postgres.ts';

export interface PgafTimes {
  /** Settings of the monitor's extension, in milliseconds. */
  readonly healthCheckPeriodMs: number;
  readonly healthCheckTimeoutMs: number;
  readonly healthCheckMaxRetries: number;
  readonly healthCheckRetryDelayMs: number;
  readonly nodeConsideredUnhealthyMs: number;
  readonly primaryDemoteMs: number;
  readonly startupGraceMs: number;
  /** Of each keeper, in seconds: alone for so long, and a primary stops itself. */
  readonly networkPartitionS: number;
}

/** Of its documentation. */
export const pgafDefaults: PgafTimes = {
  healthCheckPeriodMs: 5_000,
  healthCheckTimeoutMs: 5_000,
  healthCheckMaxRetries: 2,
  healthCheckRetryDelayMs: 2_000,
  nodeConsideredUnhealthyMs: 20_000,
  primaryDemoteMs: 30_000,
  startupGraceMs: 10_000,
  networkPartitionS: 20,
};

/** A keeper reports once a second, which no setting changes: these leave it two reports, and the deposed primary as long as it takes to stop itself. */
export const pgafTuned: PgafTimes = {
  healthCheckPeriodMs: 500,
  healthCheckTimeoutMs: 500,
  healthCheckMaxRetries: 1,
  healthCheckRetryDelayMs: 100,
  nodeConsideredUnhealthyMs: 3_000,
  primaryDemoteMs: 3_000,
  startupGraceMs: 3_000,
  networkPartitionS: 3,
};

/** Lines for the monitor's postgresql.conf. Its defaults would take a quarter of the machine's memory as shared buffers. */
export function monitorSettings(times: PgafTimes, socketFolder: string): string {
  return settingLines({
    unix_socket_directories: socketFolder,
    shared_buffers: '128MB',
    'pgautofailover.health_check_period': String(times.healthCheckPeriodMs),
    'pgautofailover.health_check_timeout': String(times.healthCheckTimeoutMs),
    'pgautofailover.health_check_max_retries': String(times.healthCheckMaxRetries),
    'pgautofailover.health_check_retry_delay': String(times.healthCheckRetryDelayMs),
    'pgautofailover.node_considered_unhealthy_timeout': String(times.nodeConsideredUnhealthyMs),
    'pgautofailover.primary_demote_timeout': String(times.primaryDemoteMs),
    'pgautofailover.startup_grace_period': String(times.startupGraceMs),
  });
}

/**
 * Lines for a node's postgresql.conf. They come after what pg_auto_failover includes, so that they count: it computes shared buffers from the
 * machine's memory, and here everybody has PostgreSQL's defaults.
 */
export function nodeSettings(socketFolder: string): string {
  return settingLines({
    ...peerSettings,
    unix_socket_directories: socketFolder,
    shared_buffers: '128MB',
    work_mem: '4MB',
    maintenance_work_mem: '64MB',
    effective_cache_size: '4GB',
    autovacuum_vacuum_scale_factor: '0.2',
    autovacuum_analyze_scale_factor: '0.1',
    track_functions: 'none',
  });
}

/** Whom HAProxy's check logs in as. */
export const checkUser = 'haproxy_check';

/** The node's pg_hba.conf. Clients log in with a password, as everywhere; its own users as `--auth trust` lets them in. */
export function accessRules(): string {
  const own = 'pgautofailover_replicator,pgautofailover_monitor';
  return [
    'local all all trust',
    `host all ${login.user} 127.0.0.1/32 scram-sha-256`,
    `host postgres ${checkUser} 127.0.0.1/32 trust`,
    `host all,replication ${own} 127.0.0.1/32 trust`,
    '',
  ].join('\n');
}

/** Without a synchronous standby in `off`; in `on` one when there is one; in `strict` no commit without one. */
export function replicationOf(mode: SynchronousMode): {
  readonly quorum: boolean;
  readonly syncStandbys: 0 | 1;
} {
  return { quorum: mode !== 'off', syncStandbys: mode === 'strict' ? 1 : 0 };
}

export interface MonitorRow {
  readonly nodename: string;
  readonly reportedstate: string;
  readonly goalstate: string;
}

export const monitorQuery =
  'select nodename, reportedstate::text, goalstate::text from pgautofailover.node order by nodeid';

/** What keeps the monitor's nodes from being a whole cluster of `size`; null when nothing does. */
export function monitorProblem(rows: readonly MonitorRow[], size: number): string | null {
  if (rows.length !== size) return `the monitor knows ${rows.length} of ${size} nodes`;
  const moving = rows.find(({ reportedstate, goalstate }) => reportedstate !== goalstate);
  if (moving !== undefined) {
    return `${moving.nodename} is ${moving.reportedstate} and shall be ${moving.goalstate}`;
  }
  const primaries = rows.filter(({ goalstate }) => goalstate === 'primary');
  const secondaries = rows.filter(({ goalstate }) => goalstate === 'secondary');
  if (primaries.length === 1 && secondaries.length === size - 1) return null;
  return `the monitor's nodes are ${rows.map(({ goalstate }) => goalstate).join(', ')}`;
}
