/**
 * What the hosts of one cluster may do: a role and an instance profile for its database hosts, and one for its proxy hosts.
 * One role a cluster at least, because IAM tells items apart by partition key alone.
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
import { Construct } from 'constructs';
import { databaseAgent, proxyAgent } from './permissions.ts';

export interface AgentAccessProps {
  readonly cluster: string;
  readonly table: ITableV2;
}

export class AgentAccess extends Construct {
  readonly database: InstanceProfile;
  readonly proxy: InstanceProfile;

  constructor(scope: Construct, id: string, props: AgentAccessProps) {
    super(scope, id);
    const { cluster, table } = props;
    this.database = this.#profile('Database', cluster, databaseAgent(this, table, cluster));
    this.proxy = this.#profile('Proxy', cluster, proxyAgent(this, table, cluster));
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
