/**
 * The control plane alone, with a key of your own, for hosts that exist already: each gets the instance profile of its cluster and role,
 * which the outputs name, and the tag `leasehold:cluster`.
 *
 *   npx cdk synth --app 'node examples/existing-hosts/app.ts'
 */
import { join } from 'node:path';
import { App, CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdControlPlane } from '../../infra/control-plane.ts';

export function existingHosts(app: App, bundles: string): Stack {
  const stack = new Stack(app, 'Leasehold', { description: 'Leasehold: the control plane' });
  const encryptionKey = new Key(stack, 'Key', {
    description: "Leasehold's table and logs",
    enableKeyRotation: true,
    removalPolicy: RemovalPolicy.RETAIN,
  });
  const { table, machine, access } = new LeaseholdControlPlane(stack, 'ControlPlane', {
    clusters: ['orders', 'invoices'],
    bundles,
    encryptionKey,
  });
  new CfnOutput(stack, 'TableName', { value: table.tableName });
  new CfnOutput(stack, 'StateMachineArn', { value: machine.stateMachineArn });
  for (const [cluster, { database, proxy }] of Object.entries(access)) {
    new CfnOutput(stack, `${cluster}database`, { value: database.instanceProfileName });
    new CfnOutput(stack, `${cluster}proxy`, { value: proxy.instanceProfileName });
  }
  return stack;
}

if (import.meta.main) {
  const app = new App();
  existingHosts(app, bundleFunctions(join(import.meta.dirname, '../../.build/existing-hosts/functions')));
  app.synth();
}
