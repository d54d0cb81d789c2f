/**
 * One Lambda function of the workflow, with a log group and a role of its own that has only what the step needs.
 */
import { type Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import type { ISecurityGroup, IVpc, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { type PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import {
  Architecture,
  type Code,
  Function as LambdaFunction,
  Runtime,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import {
  arnInFinding,
  authoritySecretArns,
  executionArns,
  type FunctionName,
  instanceArns,
  securityGroupArns,
} from './names.ts';

export interface WorkflowFunctionProps {
  readonly name: FunctionName | 'drill' | 'rotate';
  /** Of the function's own name, where there are several of a kind. */
  readonly suffix?: string;
  readonly description: string;
  readonly timeout: Duration;
  /** The bundles of all functions. */
  readonly code: Code;
  readonly environment: Readonly<Record<string, string>>;
  readonly statements: readonly PolicyStatement[];
  /** Left out: in no VPC. */
  readonly network?: {
    readonly vpc: IVpc;
    readonly subnets?: SubnetSelection;
    readonly securityGroups: readonly ISecurityGroup[];
  };
  /** X-Ray does not record its runs. */
  readonly untraced?: boolean;
  /** Of the logs; without one CloudWatch uses its own. */
  readonly encryptionKey?: IKey;
}

export class WorkflowFunction extends Construct {
  readonly lambda: LambdaFunction;
  readonly role: Role;

  constructor(scope: Construct, id: string, props: WorkflowFunctionProps) {
    super(scope, id);
    const functionName = `${Stack.of(this).stackName}-${props.name}${props.suffix ?? ''}`;
    const logGroup = new LogGroup(this, 'Logs', {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
      encryptionKey: props.encryptionKey,
    });
    this.role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description: `What the ${props.name} step of Leasehold may do`,
    });
    logGroup.grantWrite(this.role);
    for (const statement of props.statements) this.role.addToPolicy(statement);
    this.lambda = new LambdaFunction(this, 'Function', {
      functionName,
      description: props.description,
      code: props.code,
      handler: `${props.name}.handler`,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: 1024,
      timeout: props.timeout,
      tracing: props.untraced === true ? Tracing.DISABLED : Tracing.ACTIVE,
      role: this.role,
      logGroup,
      environment: { ...props.environment, NODE_OPTIONS: '--enable-source-maps' },
      ...networkOf(props),
    });
    const resource = (arn: string) => `AwsSolutions-IAM5[Resource::${arnInFinding(this, arn)}]`;
    Validations.of(this.role).acknowledge(
      {
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason:
          'X-Ray takes segments, Run Command gives invocations, EC2 describes instances and Lambda makes network interfaces under no narrower resource.',
      },
      {
        id: resource(instanceArns(this)),
        reason: "Hosts come and go: a condition on the cluster's tag says which.",
      },
      {
        id: resource(securityGroupArns(this)),
        reason:
          "The group for isolated hosts is the operator's: a condition on the cluster's tag says which.",
      },
      {
        id: resource(authoritySecretArns(this)),
        reason: "Each cluster's authorities are a secret, made when the cluster first needs it.",
      },
      {
        id: resource(executionArns(this)),
        reason: 'Executions of this one state machine; their names are not known beforehand.',
      },
    );
  }
}

function networkOf({ network }: WorkflowFunctionProps) {
  if (network === undefined) return {};
  const { vpc, subnets, securityGroups } = network;
  return {
    vpc,
    securityGroups: [...securityGroups],
    ...(subnets === undefined ? {} : { vpcSubnets: subnets }),
  };
}
