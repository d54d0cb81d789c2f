/**
 * What wakes people: the alarms of every cluster and of the control plane itself, the topic they go to, and a dashboard. Each alarm's
 * description names its page in docs/runbook/.
 */
import { Duration, Stack } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ITopicSubscription, Topic } from 'aws-cdk-lib/aws-sns';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Watching } from '../core/health/cluster-metrics.ts';
import { AlarmTopic } from './alarm-topic.ts';
import { ClusterAlarms, type ClusterAlarmsProps } from './cluster-alarms.ts';
import { ClusterDashboard } from './cluster-dashboard.ts';

export interface ObservabilityProps {
  /** Watched from the beginning; more by `watch`. */
  readonly clusters: readonly string[];
  readonly machine: StateMachine;
  readonly sentinel: IFunction;
  readonly certify: IFunction;
  /** Rotates secrets. */
  readonly rotate: IFunction;
  /** Who hears of alarms; left out: nobody, they are seen in CloudWatch. */
  readonly alarmSubscriptions?: readonly ITopicSubscription[];
  /** By cluster, other thresholds than the usual ones. */
  readonly thresholds?: Readonly<Record<string, Omit<ClusterAlarmsProps, 'cluster'>>>;
  /** `full`: an alarm for each kind of trouble, two figures sent always, a dashboard and a key of the topic's own. Left out: `essential`. */
  readonly watching?: Watching;
  /** Left out: with `full`. */
  readonly dashboard?: boolean;
  /** The topic is encrypted by a key of its own; left out: with `full`. */
  readonly alarmKey?: boolean;
}

export class Observability extends Construct {
  readonly topic: Topic;
  readonly #props: ObservabilityProps;
  readonly #dashboard: ClusterDashboard | null;
  readonly #byCluster = new Map<string, ClusterAlarms>();

  constructor(scope: Construct, id: string, props: ObservabilityProps) {
    super(scope, id);
    this.#props = props;
    const isFull = props.watching === 'full';
    const { topic } = new AlarmTopic(this, 'Alarms', {
      encrypted: props.alarmKey ?? isFull,
      ...(props.alarmSubscriptions === undefined ? {} : { subscriptions: props.alarmSubscriptions }),
    });
    this.topic = topic;
    const own = this.#ofControlPlane(props);
    this.#tell(own);
    this.#dashboard =
      (props.dashboard ?? isFull)
        ? new ClusterDashboard(this, 'Overview', { name: Stack.of(this).stackName, alarms: own })
        : null;
    for (const cluster of props.clusters) this.watch(cluster);
  }

  /** The alarms of a cluster, made at the first call for it, with its place on the dashboard. */
  watch(cluster: string): ClusterAlarms {
    const known = this.#byCluster.get(cluster);
    if (known !== undefined) return known;
    const thresholds = this.#props.thresholds?.[cluster];
    const { watching } = this.#props;
    const made = new ClusterAlarms(this, `Cluster-${cluster}`, {
      ...(watching === undefined ? {} : { watching }),
      ...thresholds,
      cluster,
    });
    const alarms = Object.values(made.byName);
    this.#byCluster.set(cluster, made);
    this.#tell(alarms);
    this.#dashboard?.add(cluster, alarms);
    return made;
  }

  /** Undefined: that cluster is not watched. */
  alarmsOf(cluster: string): ClusterAlarms | undefined {
    return this.#byCluster.get(cluster);
  }

  #tell(alarms: readonly Alarm[]): void {
    const action = new SnsAction(this.topic);
    for (const alarm of alarms) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
  }

  #ofControlPlane({ machine, sentinel, certify, rotate }: ObservabilityProps): readonly Alarm[] {
    const once = {
      threshold: 1,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    };
    const period = Duration.minutes(1);
    return [
      new Alarm(this, 'SentinelFails', {
        ...once,
        evaluationPeriods: 3,
        // Each of its runs counts its errors, 0 too: without a figure it does not run.
        treatMissingData: TreatMissingData.BREACHING,
        alarmDescription:
          'The sentinel could not look after every cluster for three minutes. See docs/runbook/sentinel-failing.md',
        metric: sentinel.metricErrors({ period }),
      }),
      new Alarm(this, 'CertificatesFail', {
        ...once,
        evaluationPeriods: 15,
        // As above.
        treatMissingData: TreatMissingData.BREACHING,
        alarmDescription:
          'For a quarter of an hour certificates could not be signed, or one is about to expire, or nobody looked. See docs/runbook/certificates-failing.md',
        metric: certify.metricErrors({ period }),
      }),
      new Alarm(this, 'OperationFails', {
        ...once,
        alarmDescription:
          'A failover or switchover did not succeed: its execution names what is in the way. See docs/runbook/operation-failed.md',
        metric: machine.metricFailed({ period }),
      }),
      new Alarm(this, 'RotationWaits', {
        ...once,
        alarmDescription:
          'A rotation of secrets does not end: the function says what it waits for. See docs/runbook/rotation-does-not-end.md',
        metric: rotate.metricErrors({ period }),
      }),
    ];
  }
}
