/**
 * One EC2 instance, made from a launch template of its own and then left alone. A deployment that changes the image, the user data or the
 * agent makes a new version of the template, and no machine that runs is touched, let alone all at once: the instance is pinned to
 * the template's first version. A new machine is asked for by the next number, which makes a new template.
 */
import { type Size, Tags } from 'aws-cdk-lib';
import {
  BlockDeviceVolume,
  CfnInstance,
  EbsDeviceVolumeType,
  type IMachineImage,
  type InstanceType,
  type ISecurityGroup,
  type ISubnet,
  LaunchTemplate,
  LaunchTemplateHttpTokens,
  UserData,
} from 'aws-cdk-lib/aws-ec2';
import type { InstanceProfile } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { clusterTag } from './names.ts';

/** Which machine a host has: the first, the next, or none for now. */
export type MachineNumber = number | 'none';

export interface MachineProps {
  readonly cluster: string;
  /** The host's name in the cluster. */
  readonly host: string;
  readonly role: 'database' | 'proxy';
  readonly number: MachineNumber;
  readonly subnet: ISubnet;
  readonly group: ISecurityGroup;
  readonly profile: InstanceProfile;
  readonly instanceType: InstanceType;
  readonly image: IMachineImage;
  /** The image's root device. */
  readonly rootDevice: string;
  readonly rootVolume: Size;
  readonly encryptionKey?: IKey;
  readonly userData: string;
  readonly terminationProtection: boolean;
}

export class Machine extends Construct {
  /** Undefined while the host has none. */
  readonly instance: CfnInstance | undefined;

  constructor(scope: Construct, id: string, props: MachineProps) {
    super(scope, id);
    const { cluster, host, role, subnet } = props;
    if (props.number === 'none') return;
    const template = this.#template(props, props.number);
    this.instance = new CfnInstance(this, 'Instance', {
      launchTemplate: { launchTemplateId: template.launchTemplateId, version: '1' },
      networkInterfaces: [
        {
          deviceIndex: '0',
          subnetId: subnet.subnetId,
          groupSet: [props.group.securityGroupId],
          associatePublicIpAddress: false,
          deleteOnTermination: true,
        },
      ],
      monitoring: true,
      disableApiTermination: props.terminationProtection,
    });
    this.instance.node.addDependency(subnet.internetConnectivityEstablished);
    for (const [key, value] of Object.entries({
      [clusterTag]: cluster,
      'leasehold:host': host,
      'leasehold:role': role,
      Name: `${cluster}-${host}`,
    }))
      Tags.of(this).add(key, value);
  }

  #template(props: MachineProps, number: number): LaunchTemplate {
    const root = BlockDeviceVolume.ebs(props.rootVolume.toGibibytes(), {
      volumeType: EbsDeviceVolumeType.GP3,
      encrypted: true,
      kmsKey: props.encryptionKey,
      deleteOnTermination: true,
    });
    return new LaunchTemplate(this, `Template${number}`, {
      instanceType: props.instanceType,
      machineImage: props.image,
      instanceProfile: props.profile,
      userData: UserData.custom(props.userData),
      blockDevices: [{ deviceName: props.rootDevice, volume: root }],
      ebsOptimized: true,
      detailedMonitoring: true,
      httpEndpoint: true,
      httpTokens: LaunchTemplateHttpTokens.REQUIRED,
      httpPutResponseHopLimit: 1,
      instanceMetadataTags: false,
    });
  }
}
