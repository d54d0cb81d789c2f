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
import { AlarmTopic } from './alarm-topic.ts';
import { ClusterAlarms, type ClusterAlarmsProps } from './cluster-alarms.ts';
import { ClusterDashboard } from './cluster-dashboard.ts';

export interface ObservabilityProps {
  readonly clusters: readonly string[];
  readonly machine: StateMachine;
  readonly sentinel: IFunction;
  /** Who hears of alarms; left out: nobody, they are seen in CloudWatch. */
  readonly alarmSubscriptions?: readonly ITopicSubscription[];
  /** By cluster, other thresholds than the usual ones. */
  readonly thresholds?: Readonly<Record<string, Omit<ClusterAlarmsProps, 'cluster'>>>;
  /** False: none is made. */
  readonly dashboard?: boolean;
}

export class Observability extends Construct {
  readonly topic: Topic;
  readonly byCluster: Readonly<Record<string, ClusterAlarms>>;
  /** All of them. */
  readonly alarms: readonly Alarm[];

  constructor(scope: Construct, id: string, props: ObservabilityProps) {
    super(scope, id);
    const { topic } = new AlarmTopic(
      this,
      'Alarms',
      props.alarmSubscriptions === undefined ? {} : { subscriptions: props.alarmSubscriptions },
    );
    this.topic = topic;
    this.byCluster = Object.fromEntries(
      props.clusters.map((cluster) => [
        cluster,
        new ClusterAlarms(this, `Cluster-${cluster}`, { ...props.thresholds?.[cluster], cluster }),
      ]),
    );
    const ofClusters = Object.values(this.byCluster).flatMap(({ byName }) => Object.values(byName));
    this.alarms = [...ofClusters, ...this.#ofControlPlane(props)];
    const action = new SnsAction(topic);
    for (const alarm of this.alarms) {
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
    if (props.dashboard !== false)
      new ClusterDashboard(this, 'Overview', {
        name: Stack.of(this).stackName,
        clusters: props.clusters,
        alarms: this.alarms,
      });
  }

  #ofControlPlane({ machine, sentinel }: ObservabilityProps): readonly Alarm[] {
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
        alarmDescription:
          'The sentinel could not look after every cluster for three minutes. See docs/runbook/sentinel-failing.md',
        metric: sentinel.metricErrors({ period }),
      }),
      new Alarm(this, 'OperationFails', {
        ...once,
        alarmDescription:
          'A failover or switchover did not succeed: its execution names what is in the way. See docs/runbook/operation-failed.md',
        metric: machine.metricFailed({ period }),
      }),
    ];
  }
}
