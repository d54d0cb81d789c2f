/**
 * The functions of the workflow, each with its time limit and its permissions. A function's limit lies below that of the state
 * that waits for it, so that its own error arrives and not the state's time-out.
 */
import { Duration } from 'aws-cdk-lib';
import type { TableV2 } from 'aws-cdk-lib/aws-dynamodb';
import type { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { Watching } from '../core/health/cluster-metrics.ts';
import { clustersIndex } from './cluster-table.ts';
import type { HostDocuments } from './host-documents.ts';
import { authorityPrefix, type FunctionName, functionNames, stateMachineArn } from './names.ts';
import {
  answerTasks,
  describeExecutions,
  fenceHosts,
  listClusters,
  readCommands,
  sendCommands,
  signCertificates,
  startExecutions,
  workflowTable,
} from './permissions.ts';
import { WorkflowFunction } from './workflow-function.ts';

export interface WorkflowFunctionsProps {
  readonly table: TableV2;
  readonly documents: HostDocuments;
  /** The folder that `bundleFunctions` filled. */
  readonly bundles: string;
  /** The customer's key of table and logs, where there is one. */
  readonly encryptionKey?: IKey;
  readonly watching: Watching;
}

interface Plan {
  readonly description: string;
  readonly timeoutSeconds: number;
  readonly statements: readonly PolicyStatement[];
  /** Beside what all are told. */
  readonly environment?: Readonly<Record<string, string>>;
  /** It runs each minute: most of what X-Ray would record, and be paid for, is that nothing happened. */
  readonly untraced?: true;
}

export class WorkflowFunctions extends Construct {
  readonly byName: Readonly<Record<FunctionName, WorkflowFunction>>;

  constructor(scope: Construct, id: string, props: WorkflowFunctionsProps) {
    super(scope, id);
    const plans = this.#plans(props);
    const environment = {
      TABLE_NAME: props.table.tableName,
      STATE_MACHINE_ARN: stateMachineArn(this),
      RUN_ACTION_DOCUMENT: props.documents.runAction.ref,
      FENCE_DOCUMENT: props.documents.fence.ref,
      WATCHING: props.watching,
    };
    const code = Code.fromAsset(props.bundles);
    const entries = functionNames.map((name): [FunctionName, WorkflowFunction] => {
      const { description, timeoutSeconds, statements, environment: own, untraced } = plans[name];
      const timeout = Duration.seconds(timeoutSeconds);
      const id = `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
      return [
        name,
        new WorkflowFunction(this, id, {
          name,
          description,
          timeout,
          code,
          environment: { ...environment, ...own },
          statements,
          untraced: untraced === true,
          encryptionKey: props.encryptionKey,
        }),
      ];
    });
    this.byName = Object.fromEntries(entries) as Record<FunctionName, WorkflowFunction>;
  }

  #plans({ table, documents, encryptionKey }: WorkflowFunctionsProps): Readonly<Record<FunctionName, Plan>> {
    const cluster = workflowTable(table, encryptionKey);
    return {
      begin: {
        description: 'Checks a request and claims the operation',
        // Long enough to watch a holder of the longest lease.
        timeoutSeconds: 360,
        statements: [...cluster, describeExecutions(this)],
      },
      order: {
        description: 'Orders one action from one host',
        timeoutSeconds: 30,
        statements: [...cluster, ...sendCommands(this, [documents.runAction]), answerTasks(this)],
      },
      demote: {
        description: 'Arms the hand-over, or fences the host of a lost primary',
        timeoutSeconds: 320,
        statements: [
          ...cluster,
          ...sendCommands(this, [documents.runAction, documents.fence]),
          readCommands(),
          ...fenceHosts(this),
          answerTasks(this),
        ],
      },
      choose: {
        description: 'Names who takes the lease next',
        timeoutSeconds: 330,
        statements: [...cluster],
      },
      finish: {
        description: 'Closes an operation and settles the old host',
        timeoutSeconds: 240,
        statements: [...cluster, readCommands(), ...fenceHosts(this)],
      },
      abort: {
        description: 'Compensates for a step that failed',
        timeoutSeconds: 100,
        statements: [...cluster, ...sendCommands(this, [documents.runAction])],
      },
      sentinel: {
        description: 'Closes abandoned operations and starts failovers that nobody started',
        timeoutSeconds: 55,
        untraced: true,
        statements: [
          ...cluster,
          listClusters(table, clustersIndex),
          describeExecutions(this),
          startExecutions(this),
        ],
      },
      certify: {
        description: "Signs hosts' certificates",
        timeoutSeconds: 55,
        untraced: true,
        statements: [...signCertificates(this, table, encryptionKey), listClusters(table, clustersIndex)],
        environment: {
          AUTHORITY_PREFIX: authorityPrefix(this),
          ...(encryptionKey === undefined ? {} : { AUTHORITY_KEY: encryptionKey.keyArn }),
        },
      },
    };
  }
}
