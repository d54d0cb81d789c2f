/**
 * The stack: the control plane and the outputs that hosts, the CLI and the embedded runtime are configured with. Made for no
 * particular account or region.
 */
import { type App, CfnOutput, Stack, Tags } from 'aws-cdk-lib';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Watching } from '../core/health/cluster-metrics.ts';
import { LeaseholdControlPlane } from './control-plane.ts';
import { pascalCase, stackName } from './names.ts';

export interface LeaseholdStackProps {
  readonly clusters: readonly string[];
  /** The folder that `bundleFunctions` filled. */
  readonly bundles: string;
  /** Whoever confirms the mail that SNS sends there hears of alarms. */
  readonly alarmEmails?: readonly string[];
  /** How much is watched, and paid for; left out: `essential`. */
  readonly watching?: Watching;
}

export class LeaseholdStack extends Stack {
  readonly controlPlane: LeaseholdControlPlane;

  constructor(app: App, props: LeaseholdStackProps) {
    super(app, stackName, {
      description: 'Leasehold: high availability for PostgreSQL on EC2, the control plane',
    });
    Tags.of(this).add('application', 'leasehold');
    this.controlPlane = new LeaseholdControlPlane(this, 'ControlPlane', {
      ...props,
      alarmSubscriptions: (props.alarmEmails ?? []).map((address) => new EmailSubscription(address)),
    });
    const { table, machine, documents, access, observability } = this.controlPlane;
    const outputs = {
      TableName: table.tableName,
      StateMachineArn: machine.stateMachineArn,
      RunActionDocument: documents.runAction.ref,
      FenceDocument: documents.fence.ref,
      AlarmTopic: observability.topic.topicArn,
      UpgradeDocument: documents.upgrade.ref,
    };
    for (const [name, value] of Object.entries(outputs)) new CfnOutput(this, name, { value });
    for (const [cluster, { database, proxy }] of Object.entries(access)) {
      const id = pascalCase(cluster);
      new CfnOutput(this, `${id}DatabaseInstanceProfile`, { value: database.instanceProfileName });
      new CfnOutput(this, `${id}ProxyInstanceProfile`, { value: proxy.instanceProfileName });
    }
  }
}

/** `-c alarmEmails=ops@example.com,oncall@example.com`; nobody when nothing is said. */
export function alarmEmailsInContext(app: App): readonly string[] {
  const value: unknown = app.node.tryGetContext('alarmEmails') ?? '';
  if (typeof value !== 'string')
    throw new Error('the context "alarmEmails" takes addresses separated by commas');
  const emails = value
    .split(',')
    .map((address) => address.trim())
    .filter((address) => address !== '');
  const wrong = emails.find((address) => !/^[^@\s]+@[^@\s]+$/.test(address));
  if (wrong !== undefined) throw new Error(`"${wrong}" in the context "alarmEmails" is no address`);
  return emails;
}

/** `-c watching=full`; `essential` when nothing is said. */
export function watchingInContext(app: App): Watching {
  const value: unknown = app.node.tryGetContext('watching') ?? 'essential';
  if (value === 'essential' || value === 'full') return value;
  throw new Error(`the context "watching" was ${JSON.stringify(value)}; it takes essential or full`);
}

/** `-c clusters=main,orders`; `main` when nothing is said. */
export function clustersInContext(app: App): readonly string[] {
  const value: unknown = app.node.tryGetContext('clusters') ?? 'main';
  if (typeof value !== 'string') throw new Error('the context "clusters" takes names separated by commas');
  const clusters = value.split(',').map((name) => name.trim());
  const wrong = clusters.find((name) => !/^[a-z][a-z0-9-]{0,30}$/.test(name));
  if (wrong !== undefined) throw new Error(`"${wrong}" in the context "clusters" is no name of a cluster`);
  return clusters;
}
