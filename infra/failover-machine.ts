/**
 * The state machine: one literal definition file, the same that the tests and the embedded runtime run, with the functions' ARNs
 * put in. Standard, because names of executions must stay unique and executions wait for hosts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { DefinitionBody, LogLevel, StateMachine, StateMachineType } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { stateMachineName } from './names.ts';
import type { WorkflowFunctions } from './workflow-functions.ts';

export const definitionFile = join(import.meta.dirname, 'failover.asl.json');

/** By the substitution in the definition; the sentinel is no step of it. */
export const substitutions = {
  BeginFunctionArn: 'begin',
  OrderFunctionArn: 'order',
  DemoteFunctionArn: 'demote',
  ChooseFunctionArn: 'choose',
  FinishFunctionArn: 'finish',
  AbortFunctionArn: 'abort',
} as const;

export class FailoverMachine extends Construct {
  readonly machine: StateMachine;

  /** `encryptionKey` is for the logs; without one CloudWatch uses its own. */
  constructor(scope: Construct, id: string, functions: WorkflowFunctions, encryptionKey?: IKey) {
    super(scope, id);
    const steps = Object.entries(substitutions).map(([key, name]) => ({
      key,
      lambda: functions.byName[name].lambda,
    }));
    this.machine = new StateMachine(this, 'StateMachine', {
      stateMachineName: stateMachineName(this),
      comment: 'Leasehold: one failover or switchover',
      stateMachineType: StateMachineType.STANDARD,
      definitionBody: DefinitionBody.fromString(readFileSync(definitionFile, 'utf8')),
      definitionSubstitutions: Object.fromEntries(steps.map(({ key, lambda }) => [key, lambda.functionArn])),
      timeout: Duration.hours(1),
      tracingEnabled: true,
      logs: {
        destination: new LogGroup(this, 'Logs', {
          logGroupName: `/aws/vendedlogs/states/${stateMachineName(this)}`,
          retention: RetentionDays.ONE_MONTH,
          removalPolicy: RemovalPolicy.DESTROY,
          encryptionKey,
        }),
        level: LogLevel.ALL,
        includeExecutionData: true,
      },
    });
    // Not grantInvoke, which also grants every version of the functions.
    this.machine.addToRolePolicy(
      new PolicyStatement({
        sid: 'RunSteps',
        actions: ['lambda:InvokeFunction'],
        resources: steps.map(({ lambda }) => lambda.functionArn),
      }),
    );
    Validations.of(this.machine.role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'Step Functions delivers logs, and X-Ray takes segments, under no narrower resource.',
    });
  }
}
