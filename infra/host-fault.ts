/**
 * A fault for drills, for whoever asks for it: an experiment of AWS FIS that stops one instance of a cluster. FIS cannot know who is primary, so it
 * takes the instance that somebody has marked with the fault tag, and fails when there is none: nothing is struck by chance.
 * It stops when the cluster has no primary for two minutes, or two, and starts the instance again after a while in any case.
 */
import { Stack, Validations } from 'aws-cdk-lib';
import type { IAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnExperimentTemplate } from 'aws-cdk-lib/aws-fis';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { LeaseholdControlPlane } from './control-plane.ts';
import { arnInFinding, clusterTag, instanceArns } from './names.ts';

/** On the instance that is to be stopped, with this value; taken away again after the drill. */
export const faultTag = { key: 'leasehold:fault', value: 'stop' } as const;

export interface HostFaultProps {
  readonly cluster: string;
  readonly controlPlane: LeaseholdControlPlane;
  /** The instance is started again after so many minutes; left out: 5. */
  readonly startAfterMinutes?: number;
}

export class HostFault extends Construct {
  readonly template: CfnExperimentTemplate;

  constructor(scope: Construct, id: string, props: HostFaultProps) {
    super(scope, id);
    const { cluster, controlPlane, startAfterMinutes = 5 } = props;
    if (!Number.isInteger(startAfterMinutes) || startAfterMinutes < 1 || startAfterMinutes > 720)
      throw new Error(`startAfterMinutes was ${startAfterMinutes}; it takes a whole number from 1 to 720`);
    const alarms = controlPlane.observability.alarmsOf(cluster);
    if (alarms === undefined)
      throw new Error(`cluster was "${cluster}"; it takes one whose alarms the control plane has`);
    const stops = [alarms.byName.NoPrimary, alarms.byName.SplitBrain];
    this.template = new CfnExperimentTemplate(this, 'Template', {
      description: `Leasehold: stops the marked instance of the cluster ${cluster}`,
      roleArn: this.#role(cluster).roleArn,
      targets: {
        Marked: {
          resourceType: 'aws:ec2:instance',
          resourceTags: { [clusterTag]: cluster, [faultTag.key]: faultTag.value },
          filters: [{ path: 'State.Name', values: ['running'] }],
          selectionMode: 'COUNT(1)',
        },
      },
      actions: {
        Stop: {
          actionId: 'aws:ec2:stop-instances',
          parameters: { startInstancesAfterDuration: `PT${startAfterMinutes}M` },
          targets: { Instances: 'Marked' },
        },
      },
      stopConditions: stops.map((alarm: IAlarm) => ({
        source: 'aws:cloudwatch:alarm',
        value: alarm.alarmArn,
      })),
      experimentOptions: { accountTargeting: 'single-account', emptyTargetResolutionMode: 'fail' },
      tags: { Name: `${Stack.of(this).stackName}-${cluster}-stop-host`, [clusterTag]: cluster },
    });
  }

  #role(cluster: string): Role {
    const role = new Role(this, 'Role', {
      description: `What an experiment on the Leasehold cluster ${cluster} may do`,
      assumedBy: new ServicePrincipal('fis.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': Stack.of(this).account },
          ArnLike: {
            'aws:SourceArn': Stack.of(this).formatArn({
              service: 'fis',
              resource: 'experiment',
              resourceName: '*',
            }),
          },
        },
      }),
    });
    role.addToPolicy(
      new PolicyStatement({
        sid: 'StopAndStartTheMarked',
        actions: ['ec2:StopInstances', 'ec2:StartInstances'],
        resources: [instanceArns(this)],
        conditions: {
          StringEquals: {
            [`ec2:ResourceTag/${clusterTag}`]: cluster,
            [`ec2:ResourceTag/${faultTag.key}`]: faultTag.value,
          },
        },
      }),
    );
    role.addToPolicy(
      new PolicyStatement({ sid: 'SeeHosts', actions: ['ec2:DescribeInstances'], resources: ['*'] }),
    );
    Validations.of(role).acknowledge(
      {
        id: `AwsSolutions-IAM5[Resource::${arnInFinding(this, instanceArns(this))}]`,
        reason: 'Hosts come and go: conditions on two tags say which.',
      },
      {
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'EC2 describes instances under no narrower resource.',
      },
    );
    return role;
  }
}
