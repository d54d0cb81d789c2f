/**
 * Who may reach whom, with no more open than is used: clients the load balancer, it the proxies, they PostgreSQL, database hosts one
 * another; agents their peers. Nobody reaches port 22: operators come by Session Manager. `isolation` lets nothing in or out.
 */
import { Tags } from 'aws-cdk-lib';
import { type IPeer, type IVpc, Peer, Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import type { ClusterPorts } from './cluster-ports.ts';
import { clusterTag } from './names.ts';

export interface ClusterGroupsProps {
  readonly cluster: string;
  readonly vpc: IVpc;
  readonly ports: ClusterPorts;
  /** Who may connect besides members of `clients`, such as `Peer.ipv4('10.0.0.0/16')`. */
  readonly clients: readonly IPeer[];
}

export class ClusterGroups extends Construct {
  /** For applications: a member may connect to the load balancer. */
  readonly clients: SecurityGroup;
  readonly balancer: SecurityGroup;
  readonly proxies: SecurityGroup;
  readonly databases: SecurityGroup;
  /** For EC2 fencing by isolation; nobody is a member before. */
  readonly isolation: SecurityGroup;

  constructor(scope: Construct, id: string, props: ClusterGroupsProps) {
    super(scope, id);
    const { cluster, ports } = props;
    this.clients = this.#group('Clients', props, 'applications');
    this.balancer = this.#group('Balancer', props, 'the load balancer');
    this.proxies = this.#group('Proxies', props, 'proxy hosts');
    this.databases = this.#group('Databases', props, 'database hosts');
    this.isolation = this.#group('Isolation', props, 'isolated hosts: nothing in, nothing out');
    Tags.of(this.isolation).add(clusterTag, cluster);

    for (const [port, what] of [
      [ports.endpoint, 'the primary'],
      [ports.replicas, 'the standbys'],
    ] as const) {
      open(this.clients, this.balancer, Port.tcp(port), `clients of ${what}`);
      for (const peer of props.clients)
        this.balancer.addIngressRule(peer, Port.tcp(port), `clients of ${what}`);
      open(this.balancer, this.proxies, Port.tcp(port), `clients of ${what}`);
    }
    open(this.balancer, this.proxies, Port.tcp(ports.rest), 'health checks');
    open(this.proxies, this.databases, Port.tcp(ports.postgres), 'PostgreSQL');
    open(this.proxies, this.databases, Port.tcp(ports.rest), 'health checks');
    open(this.proxies, this.databases, Port.udp(ports.wake), 'wake-up datagrams');
    open(this.databases, this.proxies, Port.udp(ports.wake), 'wake-up datagrams');
    open(this.databases, this.databases, Port.tcp(ports.postgres), 'replication');
    open(this.databases, this.databases, Port.tcp(ports.rest), 'the peer channel');
    open(this.databases, this.databases, Port.udp(ports.wake), 'wake-up datagrams');
    for (const hosts of [this.proxies, this.databases]) {
      hosts.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'AWS services and packages');
      hosts.addEgressRule(Peer.anyIpv4(), Port.tcp(80), 'packages, which are signed');
    }
  }

  #group(id: string, { cluster, vpc }: ClusterGroupsProps, what: string): SecurityGroup {
    return new SecurityGroup(this, id, {
      vpc,
      description: `Leasehold cluster ${cluster}: ${what}`,
      allowAllOutbound: false,
    });
  }
}

/** Both ends, as neither may send or take anything by default. */
function open(from: SecurityGroup, to: SecurityGroup, port: Port, description: string): void {
  to.addIngressRule(from, port, description, true);
  from.addEgressRule(to, port, description, true);
}
