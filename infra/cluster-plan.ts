/**
 * What a cluster is asked to be, defaults filled in and checked before anything is made: which hosts there are, in which zone each lies
 * and which machine it has. A refusal names the prop.
 */
import { RemovalPolicy, Size } from 'aws-cdk-lib';
import {
  type IMachineImage,
  InstanceArchitecture,
  InstanceType,
  type IPeer,
  MachineImage,
} from 'aws-cdk-lib/aws-ec2';
import { InvalidInput, readInteger } from '../core/wire/fields.ts';
import { type ClusterPorts, clusterPorts } from './cluster-ports.ts';
import type { MachineNumber } from './machine.ts';

export interface ClusterSettings {
  /** The cluster's name, 1 to 31 of a to z, 0 to 9 and -. It must not be among the control plane's `clusters`. */
  readonly cluster: string;
  /** Database hosts, 1 to 15, called `node-1` and so on. Default: 3. */
  readonly instances?: number;
  /** Proxy hosts, 1 to 15, called `proxy-1` and so on. Default: 2. */
  readonly proxies?: number;
  /** Of database hosts: Nitro, and of the artifact's architecture. Default: m7g.large. */
  readonly instanceType?: InstanceType;
  /** Of proxy hosts, of the same architecture. Default: c7g.medium, or c7i.large where `instanceType` is x86. */
  readonly proxyInstanceType?: InstanceType;
  /** Default: Debian's own image of Debian 12, by its public parameter. */
  readonly image?: IMachineImage;
  /** The image's root device. Default: `/dev/xvda`. */
  readonly rootDevice?: string;
  readonly dataVolume?: {
    /** Default: 100 GiB. */
    readonly size?: Size;
    /** 3000 to 16000. Default: 3000. */
    readonly iops?: number;
    /** MiB a second, 125 to 1000. Default: 125. */
    readonly throughputMib?: number;
    /** When its host is taken out, or the stack deleted. Default: it is kept. */
    readonly removalPolicy?: RemovalPolicy;
  };
  readonly postgres?: {
    /** 14 to 18. Default: 15, which Debian 12 has itself. */
    readonly major?: number;
    /** Name to value, as in postgresql.conf. Default: none. */
    readonly settings?: Readonly<Record<string, string>>;
    /** Run once, as root, when a host is the cluster's primary at its first start. Default: none. */
    readonly initScript?: string;
    /** Run once, as root, when a host is a standby at its first start. Default: none. */
    readonly replicaInitScript?: string;
  };
  /** Server connections that each proxy may open to the primary. Default: 50. */
  readonly poolSize?: number;
  /** Default: `defaultPorts`. */
  readonly ports?: Partial<ClusterPorts>;
  /** Who may connect besides members of the clients' security group. Default: nobody. */
  readonly clients?: readonly IPeer[];
  /** By host: which machine it has, see `Machine`. Default: 1, for every host. */
  readonly machines?: Readonly<Record<string, MachineNumber>>;
  /** The load balancer and the machines cannot be deleted before this is false. Default: true. */
  readonly deletionProtection?: boolean;
}

export interface PlannedHost {
  readonly name: string;
  readonly role: 'database' | 'proxy';
  /** Position among the network's subnets. */
  readonly zone: number;
  readonly machine: MachineNumber;
}

const mostHosts = 15;
const zonesWanted = 3;
const clusterName = /^[a-z][a-z0-9-]{0,30}$/;

export type ClusterPlan = ReturnType<typeof planCluster>;

/** `zones`: how many the network has. Throws InvalidInput, also when hosts of one role would share a zone that they need not share. */
export function planCluster(settings: ClusterSettings, zones: number) {
  const { instanceType = new InstanceType('m7g.large'), dataVolume = {}, postgres = {} } = settings;
  if (!clusterName.test(settings.cluster))
    throw new InvalidInput('cluster', settings.cluster, 'a to z, 0 to 9 and -, 31 at most, a letter first');
  const x86 = instanceType.architecture === InstanceArchitecture.X86_64;
  const proxyInstanceType = settings.proxyInstanceType ?? new InstanceType(x86 ? 'c7i.large' : 'c7g.medium');
  if (proxyInstanceType.architecture !== instanceType.architecture)
    throw new InvalidInput(
      'proxyInstanceType',
      proxyInstanceType.toString(),
      'the same architecture as instanceType',
    );
  const debian = `/aws/service/debian/release/12/latest/${x86 ? 'amd64' : 'arm64'}`;
  return {
    hosts: planHosts(settings, zones),
    ports: clusterPorts(settings.ports),
    instanceType,
    proxyInstanceType,
    image: settings.image ?? MachineImage.fromSsmParameter(debian),
    rootDevice: settings.rootDevice ?? '/dev/xvda',
    dataVolume: {
      size: dataVolume.size ?? Size.gibibytes(100),
      iops: readInteger(dataVolume.iops ?? 3000, 'dataVolume.iops', 3000, 16_000),
      throughputMib: readInteger(dataVolume.throughputMib ?? 125, 'dataVolume.throughputMib', 125, 1000),
      removalPolicy: dataVolume.removalPolicy ?? RemovalPolicy.RETAIN,
    },
    postgres: { ...postgres, major: postgres.major ?? 15, settings: postgres.settings ?? {} },
    poolSize: settings.poolSize ?? 50,
    deletionProtection: settings.deletionProtection ?? true,
  };
}

function planHosts(settings: ClusterSettings, zones: number): PlannedHost[] {
  const { machines = {} } = settings;
  const instances = readInteger(settings.instances ?? 3, 'instances', 1, mostHosts);
  const proxies = readInteger(settings.proxies ?? 2, 'proxies', 1, mostHosts);
  const needed = Math.min(zonesWanted, Math.max(instances, proxies));
  if (zones < needed)
    throw new InvalidInput('vpcSubnets', `in ${zones} zones`, `subnets in at least ${needed} zones`);
  const hosts = (['database', 'proxy'] as const).flatMap((role) =>
    Array.from({ length: role === 'database' ? instances : proxies }, (_none, at) => {
      const name = `${role === 'database' ? 'node' : 'proxy'}-${at + 1}`;
      return { name, role, zone: at % zones, machine: machineNumber(machines[name] ?? 1, name) };
    }),
  );
  const names = hosts.map(({ name }) => name);
  const unknown = Object.keys(machines).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new InvalidInput('machines', unknown, `hosts: ${names.join(', ')}`);
  return hosts;
}

function machineNumber(value: MachineNumber, host: string): MachineNumber {
  if (value === 'none') return value;
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidInput(`machines.${host}`, value, 'a whole number from 1, or none');
}
