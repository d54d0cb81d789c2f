/**
 * `/metrics` of a database host, in Prometheus' text format. Patroni's names where it has the metric, with its labels, so that
 * dashboards and alerts made for it go on working; what only Leasehold has is called `leasehold_...`. Pure: the agent says what it knows.
 */
import type { HoldStage } from '../lease/lease-clock.ts';
import type { Lsn } from '../model/lsn.ts';

export interface MetricFacts {
  readonly cluster: string;
  readonly node: string;
  readonly running: boolean;
  readonly role: 'primary' | 'standby' | 'none';
  /** A standby whose flush is waited for. */
  readonly sync: boolean;
  readonly streaming: boolean;
  readonly replayPaused: boolean;
  readonly pendingRestart: boolean;
  /** A primary's position, else null. */
  readonly currentLsn: Lsn | null;
  readonly receivedLsn: Lsn | null;
  readonly replayedLsn: Lsn | null;
  readonly timeline: number | null;
  /** PostgreSQL's `server_version`, such as `15.18 (Debian ...)`. */
  readonly serverVersion: string;
  readonly lagBytes: number | null;
  /** Somebody holds the lease, as last read. */
  readonly leaseHeld: boolean;
  readonly epoch: number | null;
  readonly holdStage: HoldStage;
  readonly failsafeActive: boolean;
  /** For how long it has been active; 0 when it is not. */
  readonly failsafeSeconds: number;
  /** This node may not take over, because it promised. */
  readonly heldBack: boolean;
  readonly paused: boolean;
  /** When DynamoDB answered last, in seconds since 1970; null: never. */
  readonly storeAnsweredAt: number | null;
  /** And how long ago. */
  readonly storeSilentSeconds: number | null;
}

type Value = number | bigint | boolean | null;

const stages: readonly HoldStage[] = ['none', 'valid', 'unready', 'quit', 'kill', 'expired'];

/** Name, type, what it says, value; a null value is left out. */
function metrics(f: MetricFacts): readonly (readonly [string, 'gauge' | 'counter', string, Value])[] {
  return [
    ['patroni_postgres_running', 'gauge', 'PostgreSQL runs', f.running],
    ['patroni_primary', 'gauge', 'This node is the primary', f.running && f.role === 'primary'],
    ['patroni_replica', 'gauge', 'This node is a standby', f.running && f.role === 'standby'],
    ['patroni_sync_standby', 'gauge', 'This node is a synchronous standby', f.role === 'standby' && f.sync],
    ['patroni_xlog_location', 'counter', "The primary's WAL position in bytes", f.currentLsn ?? 0n],
    ['patroni_xlog_received_location', 'counter', 'Received WAL position in bytes', f.receivedLsn ?? 0n],
    ['patroni_xlog_replayed_location', 'counter', 'Replayed WAL position in bytes', f.replayedLsn ?? 0n],
    ['patroni_xlog_paused', 'gauge', 'The replay is paused', f.replayPaused],
    ['patroni_postgres_streaming', 'gauge', 'This standby streams', f.streaming],
    ['patroni_postgres_server_version', 'gauge', 'As server_version_num', versionNumber(f.serverVersion)],
    ['patroni_postgres_timeline', 'counter', 'Timeline', f.timeline ?? 0],
    ['patroni_cluster_unlocked', 'gauge', 'Nobody holds the lease', !f.leaseHeld],
    [
      'patroni_failsafe_mode_is_active',
      'gauge',
      'The hold rests on the promises of all members',
      f.failsafeActive,
    ],
    [
      'patroni_dcs_last_seen',
      'gauge',
      'When DynamoDB answered last, seconds since 1970',
      f.storeAnsweredAt ?? 0,
    ],
    ['patroni_pending_restart', 'gauge', 'A setting waits for a restart', f.pendingRestart],
    ['patroni_is_paused', 'gauge', 'Automatic failover is off', f.paused],
    ['leasehold_epoch', 'gauge', 'Epoch of the lease, as last read', f.epoch],
    ['leasehold_replication_lag_bytes', 'gauge', "Behind the primary's last report", f.lagBytes],
    ['leasehold_failsafe_seconds', 'gauge', 'For how long failsafe mode has been active', f.failsafeSeconds],
    ['leasehold_held_back', 'gauge', 'This node may not take over now: it promised', f.heldBack],
    ['leasehold_dynamodb_silent_seconds', 'gauge', 'Since DynamoDB answered last', f.storeSilentSeconds],
  ];
}

export function renderMetrics(facts: MetricFacts): string {
  const labels = `scope="${escaped(facts.cluster)}",name="${escaped(facts.node)}"`;
  const lines = metrics(facts).flatMap(([name, type, help, value]) =>
    value === null ? [] : [...head(name, type, help), `${name}{${labels}} ${numberOf(value)}`],
  );
  const stage = stages.map(
    (one) => `leasehold_lease_stage{${labels},stage="${one}"} ${numberOf(one === facts.holdStage)}`,
  );
  const stageHelp = 'Of the fence of this node, by the lease that it holds; none: it holds none';
  return `${[...lines, ...head('leasehold_lease_stage', 'gauge', stageHelp), ...stage].join('\n')}\n`;
}

function head(name: string, type: string, help: string): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function numberOf(value: Exclude<Value, null>): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** `15.18 (Debian ...)` is 150018, `16beta1` is 160000; null when there is none. */
function versionNumber(text: string): number | null {
  const match = /^(\d+)(?:\.(\d+))?/.exec(text);
  return match === null ? null : Number(match[1]) * 10_000 + Number(match[2] ?? 0);
}
