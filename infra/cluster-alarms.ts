/**
 * The alarms of one cluster, on what the sentinel says of it each minute. Each names its page in docs/runbook/. `essential`: three, of which
 * one stands for every kind of trouble that can wait for a few minutes; `full`: one for each kind. Figures that are 0 are not sent, so
 * a minute without one is a good one; only with `full` "no primary" is always sent, and its absence counts as trouble.
 */
import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, Metric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import {
  type MetricName,
  metricDimension,
  metricNamespace,
  troubleLimits,
  type Watching,
} from '../core/health/cluster-metrics.ts';
import { defaultSpec } from '../core/model/cluster-record.ts';

export interface ClusterAlarmsProps {
  readonly cluster: string;
  /** Left out: `essential`, or `full` where a limit is given. */
  readonly watching?: Watching;
  /** In bytes; left out: as many as an election lets a candidate lag (16 MiB). */
  readonly mostLagBytes?: number;
  /** How long an operation may take before somebody looks, in seconds; left out: 300. */
  readonly mostOperationSeconds?: number;
}

type Essential = 'NoPrimary' | 'SplitBrain';
export type ClusterAlarm =
  | Essential
  | 'Trouble'
  | 'ReplicationLag'
  | 'RenewalsFailing'
  | 'OperationTooLong'
  | 'FailsafeActive'
  | 'NodeGone'
  | 'DiskTrouble';

interface Plan {
  readonly metric: MetricName;
  readonly what: string;
  /** In docs/runbook/. */
  readonly page: string;
  readonly threshold: number;
  /** So many of the last so many minutes. */
  readonly minutes: readonly [number, number];
  readonly missing?: TreatMissingData;
}

/** One metric of one cluster, minute by minute. */
export function clusterMetric(cluster: string, metricName: MetricName, statistic = 'Maximum'): Metric {
  return new Metric({
    namespace: metricNamespace,
    metricName,
    dimensionsMap: { [metricDimension]: cluster },
    statistic,
    period: Duration.minutes(1),
  });
}

export class ClusterAlarms extends Construct {
  readonly byName: Readonly<Record<Essential, Alarm> & Partial<Record<ClusterAlarm, Alarm>>>;

  constructor(scope: Construct, id: string, props: ClusterAlarmsProps) {
    super(scope, id);
    const entries = (Object.entries(plans(props)) as [ClusterAlarm, Plan][]).map(([name, plan]) => [
      name,
      this.#alarm(name, plan, props.cluster),
    ]);
    this.byName = Object.fromEntries(entries) as ClusterAlarms['byName'];
  }

  #alarm(name: string, plan: Plan, cluster: string): Alarm {
    const [datapointsToAlarm, evaluationPeriods] = plan.minutes;
    return new Alarm(this, name, {
      alarmDescription: `Cluster ${cluster}: ${plan.what}. See docs/runbook/${plan.page}.md`,
      metric: clusterMetric(cluster, plan.metric),
      threshold: plan.threshold,
      datapointsToAlarm,
      evaluationPeriods,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: plan.missing ?? TreatMissingData.NOT_BREACHING,
    });
  }
}

function plans(props: ClusterAlarmsProps): Partial<Record<ClusterAlarm, Plan>> {
  const limited = props.mostLagBytes !== undefined || props.mostOperationSeconds !== undefined;
  const watching = props.watching ?? (limited ? 'full' : 'essential');
  const essential = atOnce(watching);
  return watching === 'full' ? { ...essential, ...ofEachKind(props) } : { ...essential, Trouble: trouble };
}

function atOnce(watching: Watching): Record<Essential, Plan> {
  return {
    NoPrimary: {
      metric: 'NoPrimary',
      what: 'nobody holds the lease or renews it',
      page: 'no-primary',
      threshold: 1,
      // A failover takes seconds: one look may fall into it, two do not.
      minutes: [2, 2],
      ...(watching === 'full' ? { missing: TreatMissingData.BREACHING } : {}),
    },
    SplitBrain: {
      metric: 'SplitBrainSuspected',
      what: 'two hosts had a writable PostgreSQL at the same time',
      page: 'split-brain-suspected',
      threshold: 1,
      minutes: [1, 1],
    },
  };
}

const trouble: Plan = {
  metric: 'Trouble',
  what: 'a host is out, a standby lags, a disk is sick, renewals fail, failsafe is active, or an operation does not end',
  page: 'trouble',
  threshold: 1,
  minutes: [3, 5],
};

function ofEachKind(props: ClusterAlarmsProps): Partial<Record<ClusterAlarm, Plan>> {
  return {
    ReplicationLag: {
      metric: 'ReplicationLagBytes',
      what: 'a standby lags so far that it would not be chosen',
      page: 'replication-lag',
      threshold: props.mostLagBytes ?? defaultSpec.maxLagBytes,
      minutes: [5, 5],
    },
    RenewalsFailing: {
      metric: 'RenewalsMissedPercent',
      what: 'half of the renewals of the lease are missing',
      page: 'renewals-failing',
      threshold: troubleLimits.RenewalsMissedPercent,
      minutes: [2, 3],
    },
    OperationTooLong: {
      metric: 'OperationRunningSeconds',
      what: 'an operation does not end',
      page: 'operation-too-long',
      threshold: props.mostOperationSeconds ?? troubleLimits.OperationRunningSeconds,
      minutes: [1, 1],
    },
    FailsafeActive: {
      metric: 'FailsafeActive',
      what: 'the primary cannot reach DynamoDB and writes on by the promises of its peers',
      page: 'failsafe-active',
      threshold: troubleLimits.FailsafeActive,
      minutes: [1, 1],
    },
    NodeGone: {
      metric: 'HostsOut',
      what: 'a host is silent, or does not do its work',
      page: 'node-gone',
      threshold: troubleLimits.HostsOut,
      minutes: [3, 5],
    },
    DiskTrouble: {
      metric: 'DiskTrouble',
      what: 'a data disk is low on space, full, read-only, frozen or failing',
      page: 'disk-trouble',
      threshold: troubleLimits.DiskTrouble,
      minutes: [2, 3],
    },
  };
}
