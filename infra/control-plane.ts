/**
 * The control plane of any number of clusters in one account and region: table, functions, state machine, documents and the sentinel's
 * schedule, and what wakes people. Nothing of it runs while nothing happens, but for the sentinel's two or three small reads a minute and cluster.
 */
import { Duration } from 'aws-cdk-lib';
import type { TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { ITopicSubscription } from 'aws-cdk-lib/aws-sns';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Watching } from '../core/health/cluster-metrics.ts';
import { AgentAccess } from './agent-access.ts';
import { ClusterTable, type ClusterTableProps } from './cluster-table.ts';
import { FailoverMachine } from './failover-machine.ts';
import { HostDocuments } from './host-documents.ts';
import { letLogsUse } from './key-use.ts';
import { Observability, type ObservabilityProps } from './observability.ts';
import { SecretRotation } from './secret-rotation.ts';
import { WorkflowFunctions } from './workflow-functions.ts';

/** The table's props are ClusterTable's. A key of the customer's also encrypts the logs of functions and operations. */
export interface LeaseholdControlPlaneProps extends ClusterTableProps {
  /** Clusters whose hosts exist already, and get instance profiles here. A `PostgresCluster` makes its own. */
  readonly clusters: readonly string[];
  /** The folder that `bundleFunctions` filled. */
  readonly bundles: string;
  /** Who hears of alarms; left out: they are seen in CloudWatch only. */
  readonly alarmSubscriptions?: readonly ITopicSubscription[];
  /** By cluster, when its alarms go off; what is left out is as usual. */
  readonly thresholds?: ObservabilityProps['thresholds'];
  /** How much is watched, and paid for: see ObservabilityProps. */
  readonly watching?: Watching;
  readonly dashboard?: boolean;
  readonly alarmKey?: boolean;
}

export class LeaseholdControlPlane extends Construct {
  readonly table: TableV2;
  /** Of the table and the logs; undefined where they are AWS' own. */
  readonly encryptionKey: IKey | undefined;
  readonly functions: WorkflowFunctions;
  readonly machine: StateMachine;
  readonly documents: HostDocuments;
  readonly access: Readonly<Record<string, AgentAccess>>;
  readonly observability: Observability;
  /** Rotates the secrets that are set up so; a `PostgresCluster` sets up its own. */
  readonly rotation: SecretRotation;

  constructor(scope: Construct, id: string, props: LeaseholdControlPlaneProps) {
    super(scope, id);
    const { encryptionKey } = props;
    const { table } = new ClusterTable(this, 'Clusters', props);
    this.table = table;
    this.encryptionKey = encryptionKey;
    if (encryptionKey !== undefined) letLogsUse(encryptionKey, this);
    this.documents = new HostDocuments(this, 'Documents');
    this.functions = new WorkflowFunctions(this, 'Functions', {
      table,
      documents: this.documents,
      bundles: props.bundles,
      encryptionKey,
      watching: props.watching ?? 'essential',
    });
    this.machine = new FailoverMachine(this, 'Failover', this.functions, encryptionKey).machine;
    this.access = Object.fromEntries(
      props.clusters.map((cluster) => [
        cluster,
        new AgentAccess(this, `Access-${cluster}`, { cluster, table, tableKey: encryptionKey }),
      ]),
    );
    this.rotation = new SecretRotation(this, 'Rotation', {
      table,
      documents: this.documents,
      bundles: props.bundles,
      encryptionKey,
    });
    this.#watch();
    this.observability = new Observability(this, 'Observability', {
      ...props,
      machine: this.machine,
      sentinel: this.functions.byName.sentinel.lambda,
      certify: this.functions.byName.certify.lambda,
      rotate: this.rotation.lambda,
    });
  }

  #watch(): void {
    const { lambda } = this.functions.byName.sentinel;
    new Rule(this, 'SentinelSchedule', {
      description: 'Closes abandoned operations and starts failovers that nobody started',
      schedule: Schedule.rate(Duration.minutes(1)),
      // A minute that is missed is made up for by the next.
      targets: [new LambdaFunction(lambda, { retryAttempts: 0, maxEventAge: Duration.minutes(1) })],
    });
    const certify = this.functions.byName.certify.lambda;
    new Rule(this, 'CertifySchedule', {
      description: "Signs hosts' certificates",
      schedule: Schedule.rate(Duration.minutes(1)),
      targets: [new LambdaFunction(certify, { retryAttempts: 0, maxEventAge: Duration.minutes(1) })],
    });
  }
}
