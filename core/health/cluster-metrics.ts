/**
 * The metrics that are sent to CloudWatch, by name: what the sentinel says of each cluster every minute, and what the workflow says when
 * an operation ends. Code that emits, alarms and dashboards take the names from here, so that none of them can watch what nobody
 * sends. Each metric has one dimension, the cluster, because every combination of dimensions is a metric to pay for.
 */
export const metricNamespace = 'Leasehold';
export const metricDimension = 'cluster';

/** By name, the unit as CloudWatch calls it. */
export const healthMetrics = {
  /** 1: nobody holds the lease, or nobody renews it. */
  NoPrimary: 'Count',
  /** Of the standby that is furthest behind. */
  ReplicationLagBytes: 'Bytes',
  /** Of the renewals that the heartbeat asks for, since the look before. */
  RenewalsMissedPercent: 'Percent',
  /** Members and proxies that do no work: never reported, silent, without a running PostgreSQL, or not streaming. */
  HostsOut: 'Count',
  /** 1: a primary holds on to the promises of its peers, because it cannot reach DynamoDB. */
  FailsafeActive: 'Count',
  /** 1: two hosts had a PostgreSQL that accepts writes at the same time. */
  SplitBrainSuspected: 'Count',
  /** Members whose data disk is low on space, full, read-only, frozen or failing. */
  DiskTrouble: 'Count',
  /** For how long the operation under way has been. */
  OperationRunningSeconds: 'Seconds',
  /** How many of these are beyond their limits, "no primary" and "split brain" left out: one alarm watches it for all of them. */
  Trouble: 'Count',
} as const;

export const operationMetrics = {
  Switchovers: 'Count',
  Failovers: 'Count',
  OperationSucceeded: 'Count',
  OperationAborted: 'Count',
  OperationFailed: 'Count',
  /** What it had prepared on other hosts was ordered back, or the old primary took the lease again. */
  OperationRolledBack: 'Count',
  /** From its begin to its end. */
  OperationSeconds: 'Seconds',
  /** The sentinel closed an abandoned operation, or started a failover. */
  SentinelActed: 'Count',
} as const;

export const drillMetrics = {
  /** The longest time without an acknowledged write that a drill's canary saw. */
  DrillGapMilliseconds: 'Milliseconds',
} as const;

export type HealthMetric = keyof typeof healthMetrics;
export type MetricName = HealthMetric | keyof typeof operationMetrics | keyof typeof drillMetrics;

export const metricUnits: Readonly<
  Record<MetricName, 'Count' | 'Bytes' | 'Percent' | 'Seconds' | 'Milliseconds'>
> = {
  ...healthMetrics,
  ...operationMetrics,
  ...drillMetrics,
};

/** Null: it cannot be said now. */
export type HealthFigures = Readonly<Record<HealthMetric, number | null>>;

/**
 * From where on a figure is trouble, as alarms go by it too. Null: by the cluster's own limit. Two are left out, for each of which somebody
 * is woken at once.
 */
export const troubleLimits = {
  ReplicationLagBytes: null,
  RenewalsMissedPercent: 50,
  HostsOut: 1,
  FailsafeActive: 1,
  DiskTrouble: 1,
  OperationRunningSeconds: 300,
} as const satisfies Partial<Record<HealthMetric, number | null>>;

export type Trouble = keyof typeof troubleLimits;

export function troublesIn(
  figures: Readonly<Record<Trouble, number | null>>,
  mostLagBytes: number,
): readonly Trouble[] {
  const names = Object.keys(troubleLimits) as Trouble[];
  return names.filter((name) => (figures[name] ?? -1) >= (troubleLimits[name] ?? mostLagBytes));
}

/** `essential`: what is wrong, and nothing while all is well. `full`: two figures always, for graphs and for alarms on their absence. */
export type Watching = 'essential' | 'full';

const always: readonly HealthMetric[] = ['NoPrimary', 'ReplicationLagBytes'];

/** What is worth its price: CloudWatch asks for a metric by the hours in which it was sent, and most are 0 all year. */
export function worthSending(
  figures: HealthFigures,
  watching: Watching,
): Readonly<Partial<Record<HealthMetric, number>>> {
  const isWorthIt = (name: HealthMetric, value: number): boolean => {
    if (watching === 'full') return value > 0 || always.includes(name);
    // A standby of a busy primary is always some bytes behind.
    return value > 0 && (name !== 'ReplicationLagBytes' || (figures.Trouble ?? 0) > 0);
  };
  const entries = Object.entries(figures) as [HealthMetric, number | null][];
  return Object.fromEntries(entries.filter(([name, value]) => value !== null && isWorthIt(name, value)));
}
