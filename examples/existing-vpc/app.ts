/**
 * A cluster in private subnets of a VPC that exists, with a key of your own, in a stack apart from the control plane's. Put your own ids
 * in the place of those below; nothing is looked up, so that it synthesises without an account:
 *
 *   npx cdk synth --app 'node examples/existing-vpc/app.ts' -c agent=<the agent's artifact for arm64>
 */
import { join } from 'node:path';
import { App, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Peer, Vpc } from 'aws-cdk-lib/aws-ec2';
import { Key } from 'aws-cdk-lib/aws-kms';
import { type AgentArtifact, agentArtifact } from '../../infra/agent-artifact.ts';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';
import { PostgresCluster } from '../../infra/postgres-cluster.ts';

export function existingVpc(app: App, bundles: string, agent: AgentArtifact): Stack {
  const { controlPlane } = new LeaseholdStack(app, { clusters: [], bundles });
  const stack = new Stack(app, 'Orders', { description: 'Leasehold: the cluster orders' });
  const vpc = Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'],
    privateSubnetIds: ['subnet-0aaaaaaaaaaaaaaaa', 'subnet-0bbbbbbbbbbbbbbbb', 'subnet-0cccccccccccccccc'],
    privateSubnetRouteTableIds: ['rtb-0aaaaaaaaaaaaaaaa', 'rtb-0bbbbbbbbbbbbbbbb', 'rtb-0cccccccccccccccc'],
  });
  const encryptionKey = new Key(stack, 'Key', {
    description: 'Volumes, secrets and flow logs of the cluster orders',
    enableKeyRotation: true,
    removalPolicy: RemovalPolicy.RETAIN,
  });
  new PostgresCluster(stack, 'Cluster', {
    controlPlane,
    cluster: 'orders',
    agent,
    vpc,
    interfaceEndpoints: true,
    clients: [Peer.ipv4('10.0.0.0/16')],
    encryptionKey,
  });
  return stack;
}

if (import.meta.main) {
  const app = new App();
  const bundles = bundleFunctions(join(import.meta.dirname, '../../.build/existing-vpc/functions'));
  existingVpc(app, bundles, agentArtifact(app.node.tryGetContext('agent')));
  app.synth();
}
