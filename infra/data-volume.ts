/**
 * A database host's data: a volume apart from the root, encrypted, in its subnet's zone, that outlives the machine and, unless told
 * otherwise, the stack.
 */
import { type RemovalPolicy, type Size, Tags } from 'aws-cdk-lib';
import {
  type CfnInstance,
  CfnVolumeAttachment,
  EbsDeviceVolumeType,
  type ISubnet,
  Volume,
} from 'aws-cdk-lib/aws-ec2';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { clusterTag } from './names.ts';

export interface DataVolumeProps {
  readonly cluster: string;
  readonly host: string;
  /** Its zone becomes the volume's; a volume never moves to another. */
  readonly subnet: ISubnet;
  readonly size: Size;
  readonly iops: number;
  readonly throughputMib: number;
  readonly removalPolicy: RemovalPolicy;
  readonly encryptionKey?: IKey;
}

/** What EC2 is told. On Nitro the kernel names it as it likes; hosts find the volume by its id, which is its NVMe serial number. */
const deviceName = '/dev/sdf';

export class DataVolume extends Construct {
  readonly volumeId: string;

  constructor(scope: Construct, id: string, props: DataVolumeProps) {
    super(scope, id);
    const { cluster, host } = props;
    const volume = new Volume(this, 'Volume', {
      availabilityZone: props.subnet.availabilityZone,
      size: props.size,
      volumeType: EbsDeviceVolumeType.GP3,
      iops: props.iops,
      throughput: props.throughputMib,
      encrypted: true,
      encryptionKey: props.encryptionKey,
      removalPolicy: props.removalPolicy,
    });
    this.volumeId = volume.volumeId;
    Tags.of(this).add(clusterTag, cluster);
    Tags.of(this).add('leasehold:host', host);
    Tags.of(this).add('Name', `${cluster}-${host}-data`);
  }

  attachTo(instance: CfnInstance): void {
    new CfnVolumeAttachment(this, 'Attachment', {
      device: deviceName,
      instanceId: instance.ref,
      volumeId: this.volumeId,
    });
  }
}
