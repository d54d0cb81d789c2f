/**
 * Where a cluster's hosts are: a VPC of its own, or private subnets of one that exists, one subnet a zone. DynamoDB and S3 are reached by
 * gateway endpoints, so that neither the lease nor an installation depends on a NAT gateway; the other services by interface endpoints
 * where there is no NAT.
 */
import { Fn, RemovalPolicy } from 'aws-cdk-lib';
import {
  FlowLogDestination,
  GatewayVpcEndpoint,
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpoint,
  InterfaceVpcEndpointAwsService,
  IpAddresses,
  type ISecurityGroup,
  type ISubnet,
  type IVpc,
  Port,
  SecurityGroup,
  type SubnetSelection,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { InvalidInput, readInteger } from '../core/wire/fields.ts';

export interface ClusterNetworkProps {
  /** A VPC that exists. Default: a new one with private subnets in three zones, and flow logs. */
  readonly vpc?: IVpc;
  /** Which subnets of `vpc`; the first of each zone is used. Default: the private ones that have a way out. */
  readonly vpcSubnets?: SubnetSelection;
  /** Zones of a new VPC, by name. Default: the first three that the region lists; name them where a cluster shall live long. */
  readonly availabilityZones?: readonly string[];
  /** Addresses of a new VPC. Default: `10.42.0.0/16`. */
  readonly cidr?: string;
  /** NAT gateways of a new VPC. Default: one a zone. 0: the subnets have no way out, and `interfaceEndpoints` is on. */
  readonly natGateways?: number;
  /** Endpoints for Systems Manager, Step Functions, Secrets Manager and CloudWatch Logs. Default: only where a new VPC has no NAT. */
  readonly interfaceEndpoints?: boolean;
  /** Endpoints for DynamoDB and S3 in the subnets' route tables. Default: true; false where `vpc` has them already. */
  readonly gatewayEndpoints?: boolean;
  /** Of the flow logs. Default: CloudWatch's own. */
  readonly encryptionKey?: IKey;
}

const zoneCount = 3;
const ofNewVpc = ['availabilityZones', 'cidr', 'natGateways'] as const;

const services = {
  Ssm: InterfaceVpcEndpointAwsService.SSM,
  SsmMessages: InterfaceVpcEndpointAwsService.SSM_MESSAGES,
  Ec2Messages: InterfaceVpcEndpointAwsService.EC2_MESSAGES,
  StepFunctions: InterfaceVpcEndpointAwsService.STEP_FUNCTIONS,
  SecretsManager: InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
  Logs: InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
};

export class ClusterNetwork extends Construct {
  readonly vpc: IVpc;
  /** One a zone, in the zones' order. */
  readonly subnets: readonly ISubnet[];
  readonly #interfaceEndpoints: boolean;

  constructor(scope: Construct, id: string, props: ClusterNetworkProps) {
    super(scope, id);
    const { vpc, natGateways = zoneCount, gatewayEndpoints = true } = props;
    if (vpc !== undefined) {
      for (const name of ofNewVpc)
        if (props[name] !== undefined)
          throw new InvalidInput(name, props[name], 'nothing where `vpc` is given');
    } else if (props.vpcSubnets !== undefined) {
      throw new InvalidInput('vpcSubnets', '(given)', 'nothing without `vpc`');
    }
    this.vpc = vpc ?? this.#newVpc(props, readInteger(natGateways, 'natGateways', 0, zoneCount));
    const noWayOut = vpc === undefined && natGateways === 0;
    const selection = props.vpcSubnets ?? {
      subnetType: noWayOut ? SubnetType.PRIVATE_ISOLATED : SubnetType.PRIVATE_WITH_EGRESS,
    };
    this.subnets = onePerZone(this.vpc.selectSubnets(selection).subnets);
    this.#interfaceEndpoints = props.interfaceEndpoints ?? noWayOut;
    if (gatewayEndpoints) this.#addGatewayEndpoints();
  }

  /** What only works once the hosts' groups are known. */
  addInterfaceEndpoints(hosts: readonly ISecurityGroup[]): void {
    if (!this.#interfaceEndpoints) return;
    const group = new SecurityGroup(this, 'Endpoints', {
      vpc: this.vpc,
      description: 'Leasehold: the way of hosts to AWS services',
      allowAllOutbound: false,
    });
    for (const host of hosts) group.addIngressRule(host, Port.tcp(443), 'HTTPS of hosts');
    for (const [name, service] of Object.entries(services)) {
      new InterfaceVpcEndpoint(this, name, {
        vpc: this.vpc,
        service,
        subnets: { subnets: [...this.subnets] },
        securityGroups: [group],
        open: false,
      });
    }
  }

  #newVpc(props: ClusterNetworkProps, natGateways: number): Vpc {
    const zones = props.availabilityZones ?? [0, 1, 2].map((at) => Fn.select(at, Fn.getAzs()));
    if (zones.length !== zoneCount || new Set(zones).size !== zoneCount)
      throw new InvalidInput('availabilityZones', zones, 'the names of three zones');
    const hosts =
      natGateways === 0
        ? [{ name: 'hosts', subnetType: SubnetType.PRIVATE_ISOLATED, cidrMask: 20 }]
        : [
            { name: 'hosts', subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 20 },
            { name: 'nat', subnetType: SubnetType.PUBLIC, cidrMask: 26, mapPublicIpOnLaunch: false },
          ];
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr(props.cidr ?? '10.42.0.0/16'),
      availabilityZones: [...zones],
      natGateways,
      subnetConfiguration: hosts,
    });
    const logGroup = new LogGroup(this, 'FlowLogs', {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
      encryptionKey: props.encryptionKey,
    });
    vpc.addFlowLog('FlowLog', { destination: FlowLogDestination.toCloudWatchLogs(logGroup) });
    return vpc;
  }

  #addGatewayEndpoints(): void {
    for (const { subnetId, routeTable } of this.subnets) {
      if (routeTable?.routeTableId === undefined)
        throw new InvalidInput(
          'vpc',
          `subnet ${subnetId} without a route table`,
          'subnets with their route tables (privateSubnetRouteTableIds), or gatewayEndpoints: false where DynamoDB has an endpoint already',
        );
    }
    const subnets = [{ subnets: [...this.subnets] }];
    for (const [name, service] of [
      ['DynamoDb', GatewayVpcEndpointAwsService.DYNAMODB],
      ['S3', GatewayVpcEndpointAwsService.S3],
    ] as const)
      new GatewayVpcEndpoint(this, name, { vpc: this.vpc, service, subnets });
  }
}

function onePerZone(subnets: readonly ISubnet[]): ISubnet[] {
  const byZone = new Map<string, ISubnet>();
  for (const subnet of subnets)
    if (!byZone.has(subnet.availabilityZone)) byZone.set(subnet.availabilityZone, subnet);
  return [...byZone.values()];
}
