/**
 * A control plane and one cluster in a VPC of its own, in one stack:
 *
 *   npx cdk synth --app 'node examples/whole-cluster/app.ts' -c agent=<the agent's artifact for arm64>
 */
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { type AgentArtifact, agentArtifact } from '../../infra/agent-artifact.ts';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';
import { PostgresCluster } from '../../infra/postgres-cluster.ts';

export function wholeCluster(app: App, bundles: string, agent: AgentArtifact): LeaseholdStack {
  const stack = new LeaseholdStack(app, { clusters: [], bundles });
  new PostgresCluster(stack, 'Main', {
    controlPlane: stack.controlPlane,
    cluster: 'main',
    agent,
    postgres: { settings: { shared_buffers: '2GB' } },
  });
  return stack;
}

if (import.meta.main) {
  const app = new App();
  const bundles = bundleFunctions(join(import.meta.dirname, '../../.build/whole-cluster/functions'));
  wholeCluster(app, bundles, agentArtifact(app.node.tryGetContext('agent')));
  app.synth();
}
