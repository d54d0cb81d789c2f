/**
 * What the hosts of one cluster may do: a role and an instance profile for its database hosts, and one for its proxy hosts.
 * One role a cluster at least, because IAM tells items apart by partition key alone. Hosts that are made here may read their own
 * cluster's secrets and the agent's artifact too, each by its whole name.
 */
import { Stack, Validations } from 'aws-cdk-lib';
import type { ITableV2 } from 'aws-cdk-lib/aws-dynamodb';
import {
  InstanceProfile,
  ManagedPolicy,
  type PolicyStatement,
  Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { type BootReads, databaseAgent, proxyAgent, readAtBoot } from './permissions.ts';

export interface AgentAccessProps {
  readonly cluster: string;
  readonly table: ITableV2;
  /** The customer's key of the table, where it has one. */
  readonly tableKey?: IKey;
  /** Lies in the stack of the state machine. Default: this. */
  readonly controlPlane?: Construct;
  /** For hosts that are made here. Default: hosts have their secrets and their agent already. */
  readonly boot?: BootReads;
}

export class AgentAccess extends Construct {
  readonly database: InstanceProfile;
  readonly proxy: InstanceProfile;

  constructor(scope: Construct, id: string, props: AgentAccessProps) {
    super(scope, id);
    const { cluster, table, tableKey, controlPlane = this } = props;
    const boot = props.boot === undefined ? [] : readAtBoot(props.boot);
    const database = databaseAgent(controlPlane, table, cluster, tableKey);
    const proxy = proxyAgent(controlPlane, table, cluster, tableKey);
    this.database = this.#profile('Database', cluster, [...database, ...boot]);
    this.proxy = this.#profile('Proxy', cluster, [...proxy, ...boot]);
  }

  #profile(id: string, cluster: string, statements: PolicyStatement[]): InstanceProfile {
    const name = `${Stack.of(this).stackName}-${cluster}-${id.toLowerCase()}`;
    const policy = new ManagedPolicy(this, `${id}Policy`, {
      managedPolicyName: name,
      description: `What ${id.toLowerCase()} hosts of the Leasehold cluster ${cluster} may do`,
      statements,
    });
    const role = new Role(this, `${id}Role`, {
      roleName: name,
      assumedBy: new ServicePrincipal('ec2.amazonaws.com'),
      managedPolicies: [policy, ManagedPolicy.fromAwsManagedPolicyName('AmazonSSMManagedInstanceCore')],
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore]',
      reason: 'What the SSM agent needs is defined, and kept up to date, by AWS.',
    });
    return new InstanceProfile(this, `${id}Profile`, { role, instanceProfileName: name });
  }
}
