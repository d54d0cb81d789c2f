/**
 * The control plane with its table in three regions, strongly consistent: the leases, and what is known of every cluster, outlive a region.
 * Clusters do not: docs/regions.md says what this gives and what it does not.
 *
 *   npx cdk synth --app 'node examples/three-regions/app.ts'
 */
import { join } from 'node:path';
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdControlPlane } from '../../infra/control-plane.ts';

export function threeRegions(app: App, bundles: string): Stack {
  const stack = new Stack(app, 'Leasehold', {
    description: 'Leasehold: the control plane, its table in three regions',
    env: { region: 'eu-west-1' },
  });
  const { table, machine } = new LeaseholdControlPlane(stack, 'ControlPlane', {
    clusters: ['main'],
    bundles,
    tableRegions: { replicas: ['eu-west-2'], witness: 'eu-central-1' },
  });
  new CfnOutput(stack, 'TableName', { value: table.tableName });
  new CfnOutput(stack, 'StateMachineArn', { value: machine.stateMachineArn });
  return stack;
}

if (import.meta.main) {
  const app = new App();
  threeRegions(app, bundleFunctions(join(import.meta.dirname, '../../.build/three-regions/functions')));
  app.synth();
}
