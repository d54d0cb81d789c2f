/**
 * A whole cluster on EC2: database hosts in as many zones as there are, up to three, each with a data volume of its own; proxies behind an
 * internal load balancer; security groups, secrets and roles. docs/aws.md lists what it makes, and what is kept when it is deleted.
 */
import { CfnOutput, Duration, Size, Stack } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { InvalidInput } from '../core/wire/fields.ts';
import { AgentAccess } from './agent-access.ts';
import { type AgentArtifact, agentArtifact } from './agent-artifact.ts';
import { ClusterBalancer } from './cluster-balancer.ts';
import { ClusterGroups } from './cluster-groups.ts';
import { ClusterNetwork, type ClusterNetworkProps } from './cluster-network.ts';
import { type ClusterPlan, type ClusterSettings, type PlannedHost, planCluster } from './cluster-plan.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import { ClusterSecrets } from './cluster-secrets.ts';
import type { LeaseholdControlPlane } from './control-plane.ts';
import { DataVolume } from './data-volume.ts';
import { type HostUserDataProps, hostUserData } from './host-user-data.ts';
import { letLogsUse } from './key-use.ts';
import { Machine } from './machine.ts';
import { pascalCase } from './names.ts';
import { withSystemsManager } from './systems-manager-agent.ts';

/** The network's props are ClusterNetwork's, the cluster's are ClusterSettings'. */
export interface PostgresClusterProps extends ClusterNetworkProps, ClusterSettings {
  readonly controlPlane: LeaseholdControlPlane;
  /** `agentArtifact(file)`. */
  readonly agent: AgentArtifact;
  /** Of volumes, secrets and flow logs. Default: the account's own keys. */
  readonly encryptionKey?: IKey;
  /** How often each secret is rotated, in whole days; false: never by itself. Default: 30 days. */
  readonly rotateSecrets?: Duration | false;
}

export class PostgresCluster extends Construct {
  readonly network: ClusterNetwork;
  readonly groups: ClusterGroups;
  readonly secrets: ClusterSecrets;
  readonly access: AgentAccess;
  readonly balancer: ClusterBalancer;
  /** By the host's name. */
  readonly machines: Readonly<Record<string, Machine>>;

  constructor(scope: Construct, id: string, props: PostgresClusterProps) {
    super(scope, id);
    const { controlPlane, cluster, encryptionKey } = props;
    if (controlPlane.access[cluster] !== undefined)
      throw new InvalidInput('cluster', cluster, "a name that is not among the control plane's `clusters`");
    if (agentArtifact(props.agent.path).sha256 !== props.agent.sha256)
      throw new InvalidInput('agent.sha256', props.agent.sha256, `the SHA-256 of ${props.agent.path}`);
    const asset = new Asset(this, 'Agent', { path: props.agent.path });
    if (encryptionKey !== undefined) letLogsUse(encryptionKey, this);
    this.network = new ClusterNetwork(this, 'Network', props);
    const { vpc, subnets } = this.network;
    const plan = planCluster(props, subnets.length);
    this.groups = new ClusterGroups(this, 'Groups', {
      cluster,
      vpc,
      ports: plan.ports,
      clients: props.clients ?? [],
    });
    this.network.addInterfaceEndpoints([this.groups.databases, this.groups.proxies]);
    const every = props.rotateSecrets ?? Duration.days(30);
    this.secrets = new ClusterSecrets(this, 'Secrets', {
      ...{ cluster, encryptionKey },
      rotation: every === false ? undefined : { by: controlPlane.rotation, every },
    });
    this.access = new AgentAccess(this, 'Access', {
      cluster,
      table: controlPlane.table,
      tableKey: controlPlane.encryptionKey,
      controlPlane,
      boot: { secrets: this.secrets.all, artifact: { bucket: asset.bucket, key: asset.s3ObjectKey } },
    });
    this.machines = Object.fromEntries(
      plan.hosts.map((host) => [host.name, this.#host(host, plan, props, asset)]),
    );
    const proxies = plan.hosts.flatMap(({ name, role }) =>
      role === 'proxy' ? (this.machines[name]?.instance?.ref ?? []) : [],
    );
    this.balancer = new ClusterBalancer(this, 'Balancer', {
      vpc,
      subnets,
      group: this.groups.balancer,
      ports: plan.ports,
      proxies,
      deletionProtection: plan.deletionProtection,
    });
    controlPlane.observability.watch(cluster);
    this.#output(cluster, plan.ports);
  }

  #host(host: PlannedHost, plan: ClusterPlan, props: PostgresClusterProps, asset: Asset): Machine {
    const { cluster, encryptionKey } = props;
    const database = host.role === 'database';
    const subnet = this.network.subnets[host.zone];
    if (subnet === undefined) throw new Error(`no subnet of zone ${host.zone}`);
    const place = { cluster, host: host.name, subnet, encryptionKey };
    const parent = new Construct(this, pascalCase(host.name));
    const volume = database ? new DataVolume(parent, 'Data', { ...place, ...plan.dataVolume }) : undefined;
    const machine = new Machine(parent, 'Machine', {
      ...place,
      role: host.role,
      number: host.machine,
      group: database ? this.groups.databases : this.groups.proxies,
      profile: database ? this.access.database : this.access.proxy,
      instanceType: database ? plan.instanceType : plan.proxyInstanceType,
      image: plan.image,
      rootDevice: plan.rootDevice,
      rootVolume: Size.gibibytes(20),
      terminationProtection: plan.deletionProtection,
      userData: withSystemsManager(
        hostUserData({
          ...this.#identity(host, props, asset),
          ports: plan.ports,
          ...(volume === undefined
            ? { poolSize: plan.poolSize }
            : { postgres: { ...plan.postgres, dataVolumeId: volume.volumeId } }),
        }),
      ),
    });
    if (machine.instance !== undefined) {
      // A host that boots before it may reach anything gives up after a while.
      machine.instance.node.addDependency(this.network, this.groups);
      volume?.attachTo(machine.instance);
    }
    return machine;
  }

  #identity(host: PlannedHost, { cluster, controlPlane, agent }: PostgresClusterProps, asset: Asset) {
    return {
      role: host.role,
      cluster,
      node: host.name,
      region: Stack.of(this).region,
      tableName: controlPlane.table.tableName,
      stateMachineArn: controlPlane.machine.stateMachineArn,
      secrets: {
        superuser: this.secrets.superuser.secretArn,
        replication: this.secrets.replication.secretArn,
        cluster: this.secrets.cluster.secretArn,
      },
      artifact: { bucket: asset.s3BucketName, key: asset.s3ObjectKey, sha256: agent.sha256 },
    } satisfies Partial<HostUserDataProps>;
  }

  #output(cluster: string, ports: ClusterPorts): void {
    const stack = Stack.of(this);
    const dsn = (port: number) =>
      `postgresql://USER:PASSWORD@${this.balancer.dnsName}:${port}/DATABASE?application_name=APPLICATION&sslmode=verify-full&sslrootcert=authorities.pem`;
    const running = Object.entries(this.machines).flatMap(([name, { instance }]) =>
      instance === undefined ? [] : [{ name, instanceId: instance.ref }],
    );
    const outputs: Record<string, [value: string | undefined, description: string]> = {
      Endpoint: [dsn(ports.endpoint), 'The primary, through pools of connections'],
      Replicas: [dsn(ports.replicas), 'The standbys, in turn, without pools'],
      TlsName: [
        this.balancer.dnsName,
        'For `tls.names` of the cluster file, so that sslmode=verify-full holds',
      ],
      SuperuserSecret: [this.secrets.superuser.secretArn, 'JSON: username and password of the superuser'],
      Clients: [this.groups.clients.securityGroupId, 'Members of this security group may connect'],
      Isolation: [this.groups.isolation.securityGroupId, 'For `fencing` of mode isolate'],
      Hosts: [
        running.map(({ name, instanceId }) => `${name}=${instanceId}`).join(' '),
        'The machine of each host',
      ],
      Session: [
        running[0] === undefined ? undefined : `aws ssm start-session --target ${running[0].instanceId}`,
        'A shell on a host, without SSH',
      ],
    };
    for (const [name, [value, description]] of Object.entries(outputs))
      if (value !== undefined) new CfnOutput(stack, `${pascalCase(cluster)}${name}`, { value, description });
  }
}
