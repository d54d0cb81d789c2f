/**
 * Drills of one cluster by schedule, for whoever asks for them: nothing makes them by itself. A function in the VPC switches over inside
 * its window, while it writes through the endpoint as clients do. It may read its cluster, start the state machine, and write drills and
 * events; it can touch neither lease nor record, and no host.
 *
 * The subnets must reach DynamoDB, Step Functions, Parameter Store and the endpoint: by NAT, or by VPC endpoints.
 */
import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { Rule, type Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { parseDrillWindow } from '../core/drill/drill-window.ts';
import type { LeaseholdControlPlane } from './control-plane.ts';
import { stateMachineArn } from './names.ts';
import {
  describeExecutions,
  drillTable,
  networkInterfaces,
  readSecret,
  startExecutions,
} from './permissions.ts';
import { WorkflowFunction } from './workflow-function.ts';

export interface ScheduledDrillProps {
  readonly cluster: string;
  readonly controlPlane: LeaseholdControlPlane;
  /** The folder that `bundleFunctions` filled. */
  readonly bundles: string;
  readonly vpc: IVpc;
  /** Left out: the VPC's private ones. */
  readonly subnets?: SubnetSelection;
  /** Whom the endpoint lets in. */
  readonly securityGroups: readonly ISecurityGroup[];
  /** Where clients connect. */
  readonly endpoint: { readonly host: string; readonly port: number; readonly database: string };
  /** `username` and `password` of the canary's user, as JSON. */
  readonly secret: ISecret;
  /** PEM of who signed the server's certificate; left out: without TLS. */
  readonly certificateAuthority?: string;
  /** When to try, in UTC: inside the window. */
  readonly schedule: Schedule;
  /** When a drill may begin at all, such as `sat,sun 02:00-04:30` (UTC). */
  readonly window: string;
  /** Left out: `leasehold_canary`. Where the user may not create it, it must be there, with columns drill and sequence. */
  readonly canaryTable?: string;
}

export class ScheduledDrill extends Construct {
  readonly alarm: Alarm;

  /** Throws InvalidInput for a window that is none: at synthesis, not on a Sunday night. */
  constructor(scope: Construct, id: string, props: ScheduledDrillProps) {
    super(scope, id);
    const { cluster, controlPlane, endpoint, secret } = props;
    const { table, documents, observability } = controlPlane;
    parseDrillWindow(props.window, 'window');
    const { lambda, role } = new WorkflowFunction(this, 'Drill', {
      name: 'drill',
      suffix: `-${cluster}`,
      description: `Drills of the cluster ${cluster}: a switchover while a canary writes`,
      timeout: Duration.minutes(14),
      code: Code.fromAsset(props.bundles),
      network: {
        vpc: props.vpc,
        securityGroups: props.securityGroups,
        ...(props.subnets === undefined ? {} : { subnets: props.subnets }),
      },
      environment: {
        TABLE_NAME: table.tableName,
        STATE_MACHINE_ARN: stateMachineArn(this),
        RUN_ACTION_DOCUMENT: documents.runAction.ref,
        FENCE_DOCUMENT: documents.fence.ref,
        DRILL_CLUSTER: cluster,
        DRILL_HOST: endpoint.host,
        DRILL_PORT: `${endpoint.port}`,
        DRILL_DATABASE: endpoint.database,
        DRILL_SECRET: `/aws/reference/secretsmanager/${secret.secretName}`,
        DRILL_WINDOW: props.window,
        DRILL_TABLE: props.canaryTable ?? 'leasehold_canary',
        ...(props.certificateAuthority === undefined ? {} : { DRILL_CA: props.certificateAuthority }),
      },
      statements: [
        ...drillTable(table, cluster),
        startExecutions(this),
        describeExecutions(this),
        readSecret(this, secret.secretName),
        networkInterfaces(),
      ],
    });
    secret.grantRead(role);
    // A drill that failed is looked at by somebody before there is another one.
    lambda.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(5) });
    new Rule(this, 'Schedule', {
      description: `Drills of the cluster ${cluster}`,
      schedule: props.schedule,
      targets: [new LambdaFunction(lambda, { retryAttempts: 0, maxEventAge: Duration.minutes(5) })],
    });
    this.alarm = new Alarm(this, 'DrillFails', {
      alarmDescription: `Cluster ${cluster}: a drill failed or was refused. See docs/runbook/drill-failed.md`,
      metric: lambda.metricErrors({ period: Duration.minutes(1) }),
      threshold: 1,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    this.alarm.addAlarmAction(new SnsAction(observability.topic));
  }
}
