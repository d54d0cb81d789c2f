/** One dashboard for all clusters: the control plane's alarms on top, then of each cluster its alarms, its figures and its operations. */
import { Duration } from 'aws-cdk-lib';
import {
  type Alarm,
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IMetric,
  MathExpression,
  SingleValueWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { MetricName } from '../core/health/cluster-metrics.ts';
import { clusterMetric } from './cluster-alarms.ts';

export interface ClusterDashboardProps {
  readonly name: string;
  /** Of the control plane itself, on top. */
  readonly alarms: readonly Alarm[];
}

const day = Duration.days(1);
const rowHeight = 6;

export class ClusterDashboard extends Construct {
  readonly dashboard: Dashboard;

  constructor(scope: Construct, id: string, props: ClusterDashboardProps) {
    super(scope, id);
    this.dashboard = new Dashboard(this, 'Dashboard', {
      dashboardName: props.name,
      defaultInterval: Duration.hours(3),
    });
    this.dashboard.addWidgets(alarmRow('Control plane: alarms', props.alarms));
  }

  /** One cluster more, below the others. */
  add(cluster: string, alarms: readonly Alarm[]): void {
    this.dashboard.addWidgets(alarmRow(`${cluster}: alarms`, alarms));
    this.dashboard.addWidgets(...health(cluster));
    this.dashboard.addWidgets(...operations(cluster));
  }
}

function alarmRow(title: string, alarms: readonly Alarm[]): AlarmStatusWidget {
  return new AlarmStatusWidget({ title, width: 24, height: 3, alarms: [...alarms] });
}

function graph(title: string, width: number, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, width, height: rowHeight, left, leftYAxis: { min: 0 } });
}

function health(cluster: string): GraphWidget[] {
  const of = (...names: MetricName[]) => names.map((name) => clusterMetric(cluster, name));
  return [
    graph(
      `${cluster}: trouble`,
      8,
      of('NoPrimary', 'FailsafeActive', 'SplitBrainSuspected', 'HostsOut', 'DiskTrouble'),
    ),
    graph(`${cluster}: lag of the worst standby (bytes)`, 8, of('ReplicationLagBytes')),
    graph(`${cluster}: renewals missed (%)`, 8, of('RenewalsMissedPercent')),
  ];
}

function operations(cluster: string): (GraphWidget | SingleValueWidget)[] {
  const sum = (name: MetricName) => clusterMetric(cluster, name, 'Sum');
  const aDay = (name: MetricName) => sum(name).with({ period: day });
  const rate = new MathExpression({
    label: 'succeeded (%)',
    expression: '100 * FILL(good, 0) / (FILL(good, 0) + FILL(aborted, 0) + FILL(failed, 0))',
    usingMetrics: {
      good: aDay('OperationSucceeded'),
      aborted: aDay('OperationAborted'),
      failed: aDay('OperationFailed'),
    },
    period: day,
  });
  return [
    graph(`${cluster}: operations`, 6, [
      sum('Switchovers'),
      sum('Failovers'),
      sum('OperationAborted'),
      sum('OperationFailed'),
      sum('OperationRolledBack'),
      sum('SentinelActed'),
    ]),
    graph(`${cluster}: how long they take (s)`, 6, [
      clusterMetric(cluster, 'OperationSeconds'),
      clusterMetric(cluster, 'OperationRunningSeconds'),
    ]),
    graph(`${cluster}: gap in drills (ms)`, 6, [clusterMetric(cluster, 'DrillGapMilliseconds')]),
    new SingleValueWidget({
      title: `${cluster}: success, by day`,
      width: 6,
      height: rowHeight,
      metrics: [rate],
    }),
  ];
}
