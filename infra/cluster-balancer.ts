/**
 * The address that clients have: an internal network load balancer before the proxies, told by their agents which of them lets clients
 * through to the primary. When none does, it sends new connections to all of them, and no attribute of AWS changes that; it does
 * no harm, because a proxy never routes to a node of another epoch (invariant P1) and holds or refuses clients by itself.
 */
import { Duration, Validations } from 'aws-cdk-lib';
import type { ISecurityGroup, ISubnet, IVpc } from 'aws-cdk-lib/aws-ec2';
import { NetworkLoadBalancer, NetworkTargetGroup, Protocol } from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { InstanceIdTarget } from 'aws-cdk-lib/aws-elasticloadbalancingv2-targets';
import { Construct } from 'constructs';
import type { ClusterPorts } from './cluster-ports.ts';

export interface ClusterBalancerProps {
  readonly vpc: IVpc;
  readonly subnets: readonly ISubnet[];
  readonly group: ISecurityGroup;
  readonly ports: ClusterPorts;
  /** Instance ids. */
  readonly proxies: readonly string[];
  readonly deletionProtection: boolean;
}

export class ClusterBalancer extends Construct {
  readonly dnsName: string;

  constructor(scope: Construct, id: string, props: ClusterBalancerProps) {
    super(scope, id);
    const { ports } = props;
    const balancer = new NetworkLoadBalancer(this, 'Balancer', {
      vpc: props.vpc,
      vpcSubnets: { subnets: [...props.subnets] },
      internetFacing: false,
      // Two proxies in three zones: every zone's address reaches both.
      crossZoneEnabled: true,
      securityGroups: [props.group],
      deletionProtection: props.deletionProtection,
    });
    Validations.of(balancer).acknowledge({
      id: 'AwsSolutions-ELB2',
      reason: 'A network load balancer logs accesses of TLS listeners only. Flow logs show the rest.',
    });
    this.dnsName = balancer.loadBalancerDnsName;
    for (const [name, port, path] of [
      ['Endpoint', ports.endpoint, '/primary'],
      // A proxy without a primary still has standbys to offer.
      ['Replicas', ports.replicas, '/liveness'],
    ] as const) {
      const proxies = this.#targets(name, port, path, props);
      balancer.addListener(name, { port, protocol: Protocol.TCP, defaultTargetGroups: [proxies] });
    }
  }

  #targets(name: string, port: number, path: string, props: ClusterBalancerProps): NetworkTargetGroup {
    const group = new NetworkTargetGroup(this, `${name}Proxies`, {
      vpc: props.vpc,
      port,
      protocol: Protocol.TCP,
      targets: props.proxies.map((instanceId) => new InstanceIdTarget(instanceId, port)),
      preserveClientIp: true,
      crossZoneEnabled: true,
      healthCheck: {
        protocol: Protocol.HTTP,
        path,
        port: String(props.ports.rest),
        healthyHttpCodes: '200',
        interval: Duration.seconds(5),
        timeout: Duration.seconds(3),
        healthyThresholdCount: 2,
        // Longer than a failover: whoever waits in a proxy for the next primary shall not be disconnected.
        unhealthyThresholdCount: 3,
      },
      // One healthy proxy is enough for AWS to leave the other out.
      targetGroupHealth: { dnsMinimumHealthyTargetCount: 1, routingMinimumHealthyTargetCount: 1 },
      deregistrationDelay: Duration.seconds(60),
      connectionTermination: true,
    });
    // Clients of a proxy host that died are told so, rather than left to their own time-outs.
    group.setAttribute('target_health_state.unhealthy.connection_termination.enabled', 'true');
    return group;
  }
}
