/**
 * What a whole cluster is made of: its hosts, volumes, load balancer, and what a later deployment leaves alone. Who may reach whom and read
 * what is in cluster-access.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterTemplates, type Props, type Templates } from './cluster-templates.ts';
import { flat, type Json, type JsonObject, type Resource, type Template } from './synthesised.ts';

let templates: Templates;
let whole: Template;
beforeAll(async () => {
  templates = clusterTemplates();
  const { wholeCluster } = await import('../../examples/whole-cluster/app.ts');
  whole = await templates.of(wholeCluster);
});
afterAll(() => templates.remove());

const hostName = (of: Resource) =>
  (of.properties['Tags'] as readonly { Key: string; Value: string }[]).find(
    ({ Key }) => Key === 'leasehold:host',
  )?.Value ?? '';
const byHost = (template: Template, type: string) =>
  new Map(template.ofType(type).map((one) => [hostName(one), one]));
const instances = (template = whole) => byHost(template, 'AWS::EC2::Instance');
const reference = (value: Json | undefined) => (value as { Ref?: string } | undefined)?.Ref;
const interfaceOf = ({ properties }: Resource) =>
  (properties['NetworkInterfaces'] as readonly JsonObject[])[0] as JsonObject;
const subnetOf = (instance: Resource) => {
  const id = reference(interfaceOf(instance)['SubnetId']);
  const found = whole.ofType('AWS::EC2::Subnet').find((subnet) => subnet.id === id);
  if (found === undefined) throw new Error(`${instance.id} is in no subnet of the template`);
  return found;
};
const templateOf = (instance: Resource, template = whole) => {
  const id = reference((instance.properties['LaunchTemplate'] as JsonObject)['LaunchTemplateId']);
  const found = template.ofType('AWS::EC2::LaunchTemplate').find((one) => one.id === id);
  return found?.properties['LaunchTemplateData'] as JsonObject;
};

const userDataOf = (instance: Resource) => flat(templateOf(instance)['UserData'] ?? null);

describe('the hosts', () => {
  test('are three of databases in three zones, and two proxies in two', () => {
    expect([...instances().keys()].toSorted()).toEqual(['node-1', 'node-2', 'node-3', 'proxy-1', 'proxy-2']);
    const zones = (hosts: readonly string[]) =>
      hosts.map((host) =>
        flat(subnetOf(instances().get(host) as Resource).properties['AvailabilityZone'] ?? null),
      );
    expect(new Set(zones(['node-1', 'node-2', 'node-3'])).size).toBe(3);
    expect(new Set(zones(['proxy-1', 'proxy-2'])).size).toBe(2);
  });

  test('have no public address, and their subnets give none', () => {
    for (const instance of instances().values()) {
      expect(interfaceOf(instance)).toMatchObject({ AssociatePublicIpAddress: false, DeviceIndex: '0' });
      expect(subnetOf(instance).properties['MapPublicIpOnLaunch']).toBe(false);
    }
    for (const subnet of whole.ofType('AWS::EC2::Subnet'))
      expect(subnet.properties['MapPublicIpOnLaunch']).toBe(false);
  });

  test('answer only IMDSv2, from themselves alone, and are watched each minute', () => {
    for (const instance of instances().values()) {
      expect(templateOf(instance)).toMatchObject({
        MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 1, HttpEndpoint: 'enabled' },
        Monitoring: { Enabled: true },
      });
      expect(instance.properties).toMatchObject({ Monitoring: true, DisableApiTermination: true });
    }
  });

  test("get Systems Manager's agent where their image has none, from the region's bucket, before anything else", () => {
    for (const instance of instances().values()) {
      const userData = userDataOf(instance);
      expect(userData).toContain('/amazon-ssm-');
      expect(userData.indexOf('amazon-ssm-agent')).toBeLessThan(userData.indexOf('END_OF_PARAMETERS'));
    }
  });

  test('have no SSH key', () => {
    expect(flat(whole.ofType('AWS::EC2::LaunchTemplate').map(({ whole: all }) => all))).not.toContain(
      'KeyName',
    );
    expect(flat(whole.ofType('AWS::EC2::Instance').map(({ whole: all }) => all))).not.toContain('KeyName');
  });

  test("carry the cluster's tag, by which the workflow may command, stop and isolate them", () => {
    for (const [host, { properties }] of instances()) {
      expect(properties['Tags']).toEqual(
        expect.arrayContaining([
          { Key: 'leasehold:cluster', Value: 'main' },
          { Key: 'leasehold:role', Value: host.startsWith('node') ? 'database' : 'proxy' },
        ]),
      );
    }
  });

  test('have the profile of their role', () => {
    for (const [host, instance] of instances()) {
      const profile = flat(templateOf(instance)['IamInstanceProfile'] ?? null);
      expect(profile).toContain(host.startsWith('node') ? 'AccessDatabaseProfile' : 'AccessProxyProfile');
    }
  });
});

describe('the data', () => {
  test('lies on a volume a host, in the zone of its subnet, encrypted', () => {
    const volumes = byHost(whole, 'AWS::EC2::Volume');
    expect([...volumes.keys()].toSorted()).toEqual(['node-1', 'node-2', 'node-3']);
    for (const [host, { properties }] of volumes) {
      const subnet = subnetOf(instances().get(host) as Resource);
      expect(properties['AvailabilityZone']).toEqual(subnet.properties['AvailabilityZone']);
      expect(properties).toMatchObject({ Encrypted: true, VolumeType: 'gp3', MultiAttachEnabled: false });
    }
  });

  test('is kept when its volume is replaced, taken out or the stack deleted', () => {
    for (const { whole: volume } of whole.ofType('AWS::EC2::Volume'))
      expect(volume).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
  });

  test('is attached to its own host, which is told to look for its id', () => {
    const volumes = byHost(whole, 'AWS::EC2::Volume');
    const attached = whole.ofType('AWS::EC2::VolumeAttachment').map(({ properties }) => ({
      instance: reference(properties['InstanceId']),
      volume: reference(properties['VolumeId']),
      device: properties['Device'],
    }));
    const wanted = [...volumes].map(([host, { id: volume }]) => ({
      instance: instances().get(host)?.id,
      volume,
      device: '/dev/sdf',
    }));
    expect(attached).toEqual(expect.arrayContaining(wanted));
    expect(attached).toHaveLength(3);
    for (const [host, { id }] of volumes) expect(userDataOf(instances().get(host) as Resource)).toContain(id);
  });

  test('is not on the root, which is encrypted too and goes with its machine', () => {
    for (const instance of instances().values())
      expect(templateOf(instance)['BlockDeviceMappings']).toEqual([
        {
          DeviceName: '/dev/xvda',
          Ebs: { DeleteOnTermination: true, Encrypted: true, VolumeSize: 20, VolumeType: 'gp3' },
        },
      ]);
  });

  test('can be made to go with the stack, if somebody says so', async () => {
    const { RemovalPolicy } = await import('aws-cdk-lib');
    const { SNAPSHOT } = RemovalPolicy;
    const template = await templates.cluster({ cluster: 'main', dataVolume: { removalPolicy: SNAPSHOT } });
    for (const { whole: volume } of template.ofType('AWS::EC2::Volume'))
      expect(volume).toMatchObject({ DeletionPolicy: 'Snapshot', UpdateReplacePolicy: 'Snapshot' });
  });
});

describe('a later deployment', () => {
  const bodies = (template: Template, type: string) =>
    Object.fromEntries(template.ofType(type).map(({ id, whole: body }) => [id, body]));
  const untouched = ['AWS::EC2::Instance', 'AWS::EC2::Volume', 'AWS::EC2::VolumeAttachment'];

  test('with another agent, image and settings touches no machine: only templates change', async () => {
    const { MachineImage } = await import('aws-cdk-lib/aws-ec2');
    const image = MachineImage.fromSsmParameter('/our/image');
    const settings = { work_mem: '64MB' };
    const before = await templates.cluster({ cluster: 'main' });
    const after = await templates.cluster({ cluster: 'main', image, postgres: { settings } }, '2');
    for (const type of untouched) expect(bodies(after, type)).toEqual(bodies(before, type));
    const [old, now] = [before, after].map((template) => bodies(template, 'AWS::EC2::LaunchTemplate'));
    expect(Object.keys(now ?? {})).toEqual(Object.keys(old ?? {}));
    expect(now).not.toEqual(old);
    for (const { properties } of after.ofType('AWS::EC2::Instance'))
      expect(properties['LaunchTemplate']).toMatchObject({ Version: '1' });
  });

  test('that takes a machine away leaves its volume as it is, and the next number makes a new machine for it', async () => {
    const before = await templates.cluster({ cluster: 'main' });
    const without = await templates.cluster({ cluster: 'main', machines: { 'node-2': 'none' } });
    const next = await templates.cluster({ cluster: 'main', machines: { 'node-2': 2 } });
    expect([...instances(without).keys()].toSorted()).toEqual(['node-1', 'node-3', 'proxy-1', 'proxy-2']);
    expect(without.ofType('AWS::EC2::VolumeAttachment')).toHaveLength(2);
    for (const template of [without, next])
      expect(bodies(template, 'AWS::EC2::Volume')).toEqual(bodies(before, 'AWS::EC2::Volume'));
    const used = (template: Template, host: string) =>
      instances(template).get(host)?.properties['LaunchTemplate'];
    expect(used(next, 'node-2')).not.toEqual(used(before, 'node-2'));
    expect(used(next, 'node-1')).toEqual(used(before, 'node-1'));
  });
});

describe('the load balancer', () => {
  test('is internal, in all zones, reaches proxies across them, and is not deleted by accident', () => {
    const { properties } = whole.one('AWS::ElasticLoadBalancingV2::LoadBalancer');
    expect(properties).toMatchObject({ Scheme: 'internal', Type: 'network' });
    expect(properties['Subnets']).toHaveLength(3);
    expect(properties['LoadBalancerAttributes']).toEqual(
      expect.arrayContaining([
        { Key: 'deletion_protection.enabled', Value: 'true' },
        { Key: 'load_balancing.cross_zone.enabled', Value: 'true' },
      ]),
    );
  });

  test("asks the proxies' agents whether they let clients through, and is patient for longer than a failover", () => {
    const groups = whole.ofType('AWS::ElasticLoadBalancingV2::TargetGroup');
    expect(groups.map(({ properties }) => [properties['Port'], properties['HealthCheckPath']])).toEqual([
      [5432, '/primary'],
      [5433, '/liveness'],
    ]);
    const proxies = ['proxy-1', 'proxy-2'].map((host) => instances().get(host)?.id);
    for (const { properties } of groups) {
      expect(properties).toMatchObject({
        Protocol: 'TCP',
        HealthCheckProtocol: 'HTTP',
        HealthCheckPort: '8008',
        Matcher: { HttpCode: '200' },
      });
      const [interval, failures] = ['HealthCheckIntervalSeconds', 'UnhealthyThresholdCount'].map((name) =>
        Number(properties[name]),
      );
      // The budget of a failover on AWS is 8 s; the first failure may come as it begins.
      expect((interval ?? 0) * ((failures ?? 0) - 1)).toBeGreaterThan(8);
      const targets = properties['Targets'] as readonly { Id: { Ref: string } }[];
      expect(targets.map(({ Id }) => Id.Ref)).toEqual(proxies);
    }
  });

  test('listens where the outputs say, without a password in them', () => {
    const ports = whole
      .ofType('AWS::ElasticLoadBalancingV2::Listener')
      .map(({ properties }) => properties['Port']);
    expect(ports).toEqual([5432, 5433]);
    expect(flat(whole.outputs['MainEndpoint'] ?? null)).toMatch(
      /postgresql:\/\/USER:PASSWORD@.*:5432\/.*sslmode=verify-full&sslrootcert=authorities.pem/,
    );
    expect(whole.outputs['MainTlsName']).toBeDefined();
    expect(flat(whole.outputs['MainReplicas'] ?? null)).toContain(':5433/');
    for (const name of ['MainSuperuserSecret', 'MainClients', 'MainIsolation', 'MainHosts', 'MainSession'])
      expect(whole.outputs[name], name).toBeDefined();
    expect(flat(whole.outputs)).not.toContain('resolve:secretsmanager');
  });
});

describe('a request that makes no sense is refused by the name of the prop', () => {
  const long = 'x'.repeat(3_400);
  const refused: [string, Props, RegExp][] = [
    ['a name', { cluster: 'Main' }, /cluster was "Main"/],
    ['a name of the control plane', { cluster: 'other' }, /cluster was "other".*`clusters`/],
    ['no database', { cluster: 'main', instances: 0 }, /instances was 0/],
    ['no proxy', { cluster: 'main', proxies: 0 }, /proxies was 0/],
    ['two zones', { cluster: 'main', availabilityZones: ['a', 'b'] }, /availabilityZones was \["a","b"\]/],
    ['a machine of nobody', { cluster: 'main', machines: { 'node-9': 2 } }, /machines was "node-9".*node-3/],
    ['half a machine', { cluster: 'main', machines: { 'node-1': 1.5 } }, /machines.node-1 was 1.5/],
    ['one port twice', { cluster: 'main', ports: { replicas: 5432 } }, /ports was .*a port of its own/],
    [
      'a hasty volume',
      { cluster: 'main', dataVolume: { throughputMib: 1000 } },
      /throughputMib was 1000.*750/,
    ],
    ['a slow volume', { cluster: 'main', dataVolume: { iops: 100 } }, /dataVolume.iops was 100/],
    [
      'scripts that EC2 does not take',
      { cluster: 'main', postgres: { initScript: long, settings: { a: long, b: long } } },
      /user data of node-1 was "\(\d+ characters\)".*init scripts/,
    ],
    ['a future PostgreSQL', { cluster: 'main', postgres: { major: 40 } }, /postgres.major was 40/],
  ];
  test.each(refused)('%s', async (_what, props, message) => {
    await expect(templates.cluster(props)).rejects.toThrow(message);
  });

  test('a VPC that lacks a zone or its route tables, or is mixed with what a new one takes', async () => {
    const { Vpc } = await import('aws-cdk-lib/aws-ec2');
    const { Stack } = await import('aws-cdk-lib');
    const vpc = (zones: readonly string[], routeTables: readonly string[]) =>
      Vpc.fromVpcAttributes(new Stack(), 'Vpc', {
        vpcId: 'vpc-0123456789abcdef0',
        availabilityZones: [...zones],
        privateSubnetIds: zones.map((zone) => `subnet-${zone}`),
        ...(routeTables.length === 0 ? {} : { privateSubnetRouteTableIds: [...routeTables] }),
      });
    const made = (props: Omit<Props, 'cluster'>) => templates.cluster({ cluster: 'main', ...props });
    const three = ['a', 'b', 'c'];
    await expect(made({ vpc: vpc(['a', 'b'], ['r', 's']) })).rejects.toThrow(/in 2 zones.*at least 3 zones/);
    await expect(made({ vpc: vpc(three, []) })).rejects.toThrow(
      /subnet-a without a route table.*gatewayEndpoints/,
    );
    await expect(made({ vpc: vpc(three, three), cidr: '10.0.0.0/16' })).rejects.toThrow(
      /cidr was "10.0.0.0\/16"/,
    );
    await expect(made({ vpcSubnets: {} })).rejects.toThrow(/vpcSubnets .*nothing without `vpc`/);
    const instances = await made({ vpc: vpc(three, []), gatewayEndpoints: false });
    expect(instances.ofType('AWS::EC2::VPCEndpoint')).toEqual([]);
  });

  test('an agent that is not there, or is not what it was', async () => {
    const { agentArtifact } = await import('../../infra/agent-artifact.ts');
    expect(() => agentArtifact(undefined)).toThrow(/agent was absent/);
    expect(() => agentArtifact('/nowhere/agent.tar.gz')).toThrow(/agent was "\/nowhere\/agent.tar.gz"/);
    const { wholeCluster } = await import('../../examples/whole-cluster/app.ts');
    await expect(
      templates.of((app, bundles, agent) => wholeCluster(app, bundles, { ...agent, sha256: '00' })),
    ).rejects.toThrow(/agent.sha256 was "00"/);
  });
});

test('the table of a control plane can be made to go with its stack, if somebody says so', async () => {
  const { RemovalPolicy, Stack } = await import('aws-cdk-lib');
  const { LeaseholdControlPlane } = await import('../../infra/control-plane.ts');
  const template = await templates.of((app, bundles) => {
    const stack = new Stack(app, 'Trial');
    const props = { clusters: [], bundles, deletionProtection: false, removalPolicy: RemovalPolicy.DESTROY };
    new LeaseholdControlPlane(stack, 'ControlPlane', props);
    return stack;
  });
  const { whole: table, properties } = template.one('AWS::DynamoDB::GlobalTable');
  expect(table).toMatchObject({ DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' });
  expect(properties['Replicas']).toMatchObject([{ DeletionProtectionEnabled: false }]);
  const kept = whole.one('AWS::DynamoDB::GlobalTable');
  expect(kept.whole).toMatchObject({ DeletionPolicy: 'Retain' });
  expect(kept.properties['Replicas']).toMatchObject([{ DeletionProtectionEnabled: true }]);
});

test('what it consists of, and what stays when it is deleted', async () => {
  const lines = whole.resources.map(({ id, type, whole: body }) => {
    const kept = body['DeletionPolicy'] === 'Retain' ? ' (stays)' : '';
    return `${type} ${id.replace(/[0-9A-F]{8,}$/, '')}${kept}`;
  });
  await expect(`${lines.toSorted().join('\n')}\n`).toMatchFileSnapshot('whole-cluster.resources.txt');
});
