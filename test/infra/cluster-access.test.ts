/**
 * Who may reach a cluster's hosts, and what the hosts may read: every opening of every security group is listed here, and every statement
 * on secrets, the agent's artifact and keys is looked at.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterTemplates, type Templates } from './cluster-templates.ts';
import {
  actionsOf,
  flat,
  type Json,
  type JsonObject,
  type Statement,
  statementsOf,
  type Template,
} from './synthesised.ts';

let templates: Templates;
let whole: Template;
let orders: Template;
let hosts: Template;
beforeAll(async () => {
  templates = clusterTemplates();
  const { wholeCluster } = await import('../../examples/whole-cluster/app.ts');
  const { existingVpc } = await import('../../examples/existing-vpc/app.ts');
  const { existingHosts } = await import('../../examples/existing-hosts/app.ts');
  whole = await templates.of(wholeCluster);
  orders = await templates.of(existingVpc);
  hosts = await templates.of(existingHosts);
});
afterAll(() => templates.remove());

const groups = ['Clients', 'Balancer', 'Proxies', 'Databases', 'Isolation', 'Endpoints'];
const groupName = (id: Json | undefined) => {
  const text = flat(id ?? null);
  return (
    groups.find((name) => new RegExp(`Groups${name}[0-9A-F]{8}|Network${name}[0-9A-F]{8}`).test(text)) ?? text
  );
};
const ports = (rule: JsonObject) => {
  const { FromPort: from, ToPort: to, IpProtocol: protocol } = rule;
  return `${protocol} ${from === to ? from : `${from}-${to}`}`;
};

/** `from > to: protocol port`, for what a group takes. */
function taken(template: Template): string[] {
  const inline = template
    .ofType('AWS::EC2::SecurityGroup')
    .flatMap(({ id, properties }) =>
      ((properties['SecurityGroupIngress'] ?? []) as readonly JsonObject[]).map(
        (rule) => `${rule['CidrIp']} > ${groupName(id)}: ${ports(rule)}`,
      ),
    );
  const apart = template.ofType('AWS::EC2::SecurityGroupIngress').map(({ properties: rule }) => {
    return `${groupName(rule['SourceSecurityGroupId'])} > ${groupName(rule['GroupId'])}: ${ports(rule)}`;
  });
  return [...inline, ...apart].toSorted();
}

/** The same for what a group sends. */
function sent(template: Template): string[] {
  const inline = template
    .ofType('AWS::EC2::SecurityGroup')
    .flatMap(({ id, properties }) =>
      ((properties['SecurityGroupEgress'] ?? []) as readonly JsonObject[]).map(
        (rule) => `${groupName(id)} > ${rule['CidrIp']}: ${ports(rule)}`,
      ),
    );
  const apart = template.ofType('AWS::EC2::SecurityGroupEgress').map(({ properties: rule }) => {
    return `${groupName(rule['GroupId'])} > ${groupName(rule['DestinationSecurityGroupId'])}: ${ports(rule)}`;
  });
  return [...inline, ...apart].toSorted();
}

const openings = [
  'Balancer > Proxies: tcp 5432',
  'Balancer > Proxies: tcp 5433',
  'Balancer > Proxies: tcp 8008',
  'Clients > Balancer: tcp 5432',
  'Clients > Balancer: tcp 5433',
  'Databases > Databases: tcp 5432',
  'Databases > Databases: tcp 8008',
  'Databases > Databases: udp 8009',
  'Databases > Proxies: udp 8009',
  'Proxies > Databases: tcp 5432',
  'Proxies > Databases: tcp 8008',
  'Proxies > Databases: udp 8009',
];

/** How CDK writes "nothing": without any rule EC2 would let everything out. */
const nothing = '255.255.255.255/32: icmp 252-86';

describe('who may reach whom', () => {
  test('is this list and no more', () => {
    expect(taken(whole)).toEqual(openings);
  });

  test('is open at both ends; out of the VPC go only HTTP and HTTPS of hosts', () => {
    const outside = ['Databases', 'Proxies'].flatMap((group) =>
      ['tcp 443', 'tcp 80'].map((port) => `${group} > 0.0.0.0/0: ${port}`),
    );
    expect(sent(whole)).toEqual([...openings, ...outside, `Isolation > ${nothing}`].toSorted());
  });

  test('nobody reaches port 22, nor anything from everywhere', () => {
    for (const template of [whole, orders]) {
      const rules = [
        ...template.ofType('AWS::EC2::SecurityGroupIngress').map(({ properties }) => properties),
        ...template
          .ofType('AWS::EC2::SecurityGroup')
          .flatMap(({ properties }) => (properties['SecurityGroupIngress'] ?? []) as readonly JsonObject[]),
      ];
      expect(rules.length).toBeGreaterThanOrEqual(openings.length);
      for (const rule of rules) {
        expect(rule['IpProtocol']).not.toBe('-1');
        expect(Number(rule['FromPort']) > 22 || Number(rule['ToPort']) < 22).toBe(true);
        expect(flat(rule)).not.toMatch(/0\.0\.0\.0\/0|::\/0/);
      }
    }
  });

  test("a group for isolated hosts has no rule, no member, and the cluster's tag", () => {
    const isolation = whole.one('AWS::EC2::SecurityGroup', 'Isolation');
    expect(isolation.properties['SecurityGroupIngress']).toBeUndefined();
    expect(isolation.properties['Tags']).toContainEqual({ Key: 'leasehold:cluster', Value: 'main' });
    const members = whole.ofType('AWS::EC2::Instance').map(({ whole: body }) => flat(body));
    for (const member of members) expect(member).not.toContain(`"Fn::GetAtt":["${isolation.id}"`);
  });

  test('the groups are the only ones that carry the tag by which the workflow may hand them out', () => {
    const tagged = whole
      .ofType('AWS::EC2::SecurityGroup')
      .filter(({ properties }) => flat(properties['Tags'] ?? null).includes('leasehold:cluster'));
    expect(tagged.map(({ id }) => groupName(id))).toEqual(['Isolation']);
  });

  test('clients of other networks come in where they are named, and endpoints take HTTPS of hosts', () => {
    const more = [
      '10.0.0.0/16 > Balancer: tcp 5432',
      '10.0.0.0/16 > Balancer: tcp 5433',
      'Databases > Endpoints: tcp 443',
      'Proxies > Endpoints: tcp 443',
    ];
    expect(taken(orders)).toEqual([...openings, ...more].toSorted());
  });
});

describe('the ways to AWS', () => {
  const services = (template: Template, type: string) =>
    template
      .ofType('AWS::EC2::VPCEndpoint')
      .filter(({ properties }) => properties['VpcEndpointType'] === type)
      .map(({ properties }) => /[a-z0-9]+(?="\]|"$)/.exec(flat(properties['ServiceName'] ?? null))?.[0])
      .toSorted();

  test('to DynamoDB and S3 lead through no NAT gateway', () => {
    expect(services(whole, 'Gateway')).toEqual(['dynamodb', 's3']);
    expect(services(orders, 'Gateway')).toEqual(['dynamodb', 's3']);
    const [dynamodb] = orders
      .ofType('AWS::EC2::VPCEndpoint')
      .map(({ properties }) => properties['RouteTableIds']);
    expect(dynamodb).toEqual(['rtb-0aaaaaaaaaaaaaaaa', 'rtb-0bbbbbbbbbbbbbbbb', 'rtb-0cccccccccccccccc']);
  });

  test('to the other services are endpoints where there is no NAT, or where they are asked for', async () => {
    const all = ['ec2messages', 'logs', 'secretsmanager', 'ssm', 'ssmmessages', 'states'];
    expect(services(whole, 'Interface')).toEqual([]);
    expect(services(orders, 'Interface')).toEqual(all);
    const isolated = await templates.cluster({ cluster: 'main', natGateways: 0 });
    expect(services(isolated, 'Interface')).toEqual(all);
    expect(isolated.ofType('AWS::EC2::NatGateway')).toEqual([]);
    expect(isolated.ofType('AWS::EC2::InternetGateway')).toEqual([]);
  });

  test('of a VPC that exists are left as they are: no VPC, subnet or route is made', () => {
    for (const type of ['AWS::EC2::VPC', 'AWS::EC2::Subnet', 'AWS::EC2::Route', 'AWS::EC2::FlowLog'])
      expect(orders.ofType(type)).toEqual([]);
    const subnets = orders
      .ofType('AWS::EC2::Instance')
      .map(({ properties }) => (properties['NetworkInterfaces'] as readonly JsonObject[])[0]?.['SubnetId']);
    expect(new Set(subnets).size).toBe(3);
    const zones = orders.ofType('AWS::EC2::Volume').map(({ properties }) => properties['AvailabilityZone']);
    expect(zones).toEqual(['eu-central-1a', 'eu-central-1b', 'eu-central-1c']);
  });

  test('a VPC of our own keeps flow logs', () => {
    expect(whole.one('AWS::EC2::FlowLog').properties).toMatchObject({
      TrafficType: 'ALL',
      ResourceType: 'VPC',
    });
  });
});

const may = (template: Template, action: RegExp) =>
  [...template.ofType('AWS::IAM::Policy'), ...template.ofType('AWS::IAM::ManagedPolicy')].flatMap((policy) =>
    statementsOf(policy)
      .filter((statement) => actionsOf(statement).some((one) => action.test(one)))
      .map((statement): [string, Statement] => [policy.id, statement]),
  );

describe('secrets', () => {
  test('are three, made by AWS, kept, and shaped as hosts expect them', () => {
    const secrets = whole.ofType('AWS::SecretsManager::Secret');
    const shapes = secrets.map(({ properties }) => properties['GenerateSecretString'] as JsonObject);
    expect(shapes.map((shape) => [shape['SecretStringTemplate'], shape['GenerateStringKey']])).toEqual([
      ['{"username":"postgres"}', 'password'],
      ['{"username":"replicator"}', 'password'],
      [undefined, undefined],
    ]);
    for (const shape of shapes) expect(shape).toMatchObject({ ExcludePunctuation: true, PasswordLength: 40 });
    for (const { whole: body } of secrets) expect(body['DeletionPolicy']).toBe('Retain');
  });

  test("can be read by their own cluster's hosts alone, each by its whole name", () => {
    // Who signs certificates has the authorities' secrets, and none that hosts have: see attacks.test.ts.
    const readers = may(whole, /^secretsmanager:/).filter(([policy]) => !policy.includes('Certify'));
    const byHosts = readers.filter(([policy]) => !policy.includes('Rotate'));
    expect(byHosts.map(([policy]) => policy.replace(/[0-9A-F]{8}$/, ''))).toEqual([
      'MainAccessDatabasePolicy',
      'MainAccessProxyPolicy',
    ]);
    expect(readers).toHaveLength(3);
    const names = whole.ofType('AWS::SecretsManager::Secret').map(({ id }) => ({ Ref: id }));
    for (const [, statement] of byHosts) {
      expect(actionsOf(statement)).toEqual(['secretsmanager:GetSecretValue']);
      expect(statement.Resource).toEqual(names);
    }
  });

  test("are rotated each month by the control plane's function, not at once, and say whose and which they are", () => {
    const schedules = whole.ofType('AWS::SecretsManager::RotationSchedule');
    expect(schedules).toHaveLength(3);
    const [rotate] = whole.ofType('AWS::Lambda::Function').filter(({ id }) => id.includes('Rotate'));
    for (const { properties } of schedules) {
      expect(properties).toMatchObject({
        RotationLambdaARN: { 'Fn::GetAtt': [rotate?.id, 'Arn'] },
        RotationRules: { AutomaticallyAfterDays: 30 },
        RotateImmediatelyOnUpdate: false,
      });
    }
    const tags = whole
      .ofType('AWS::SecretsManager::Secret')
      .map(({ properties }) => properties['Tags'] as readonly { Key: string; Value: string }[]);
    expect(tags.map((list) => list.find(({ Key }) => Key === 'leasehold:secret')?.Value)).toEqual([
      ...['superuser', 'replication', 'cluster'],
    ]);
    for (const list of tags) expect(list).toContainEqual({ Key: 'leasehold:cluster', Value: 'main' });
  });

  test('are not rotated by themselves where their owner says so', async () => {
    const byHand = await templates.cluster({ cluster: 'main', rotateSecrets: false });
    expect(byHand.ofType('AWS::SecretsManager::RotationSchedule')).toEqual([]);
    expect(byHand.ofType('AWS::SecretsManager::Secret')).toHaveLength(3);
  });

  test('never stand in the template or in user data, only their names do', () => {
    for (const template of [whole, orders]) {
      const text = flat(template.resources.map(({ whole: body }) => body));
      expect(text).not.toContain('resolve:secretsmanager');
      expect(text).not.toContain('"SecretString"');
    }
  });
});

test('hosts read one object of S3, the agent, and list or write none', () => {
  const readers = may(whole, /^s3:/);
  expect(readers).toHaveLength(2);
  for (const [, statement] of readers) {
    expect(actionsOf(statement)).toEqual(['s3:GetObject']);
    expect(flat(statement.Resource)).toMatch(/\/[0-9a-f]{64}\.gz"/);
    expect(flat(statement.Resource)).not.toContain('*');
  }
});

test('hosts of a cluster in a stack of its own reach only its items, and answer the one state machine', () => {
  const items = may(orders, /^dynamodb:/);
  expect(items.length).toBeGreaterThanOrEqual(4);
  for (const [, { Condition: condition }] of items) {
    const keys = (condition as Record<string, Record<string, string[]>>)['ForAllValues:StringEquals'];
    for (const key of keys?.['dynamodb:LeadingKeys'] ?? ['none']) expect(key).toMatch(/^cluster#orders(#|$)/);
  }
  for (const [, { Resource }] of may(orders, /^states:/))
    expect(flat(Resource)).toContain('stateMachine:Leasehold-failover');
});

/** The rotation uses whatever key a secret has, through Secrets Manager. */
const withoutRotation = (template: Template) =>
  may(template, /^kms:/).filter(([, { Sid }]) => Sid !== 'KeysThroughSecretsManager');

describe("a key of the customer's", () => {
  test('encrypts volumes, secrets and roots of a cluster', () => {
    const key = orders.one('AWS::KMS::Key').id;
    for (const type of ['AWS::EC2::Volume', 'AWS::SecretsManager::Secret'])
      for (const { properties } of orders.ofType(type))
        expect(flat(properties['KmsKeyId'] ?? null)).toContain(key);
    for (const { properties } of orders.ofType('AWS::EC2::LaunchTemplate'))
      expect(flat(properties['LaunchTemplateData'] ?? null)).toContain(
        `"KmsKeyId":{"Fn::GetAtt":["${key}","Arn"]}`,
      );
    for (const [, { Condition }] of may(orders, /^kms:/))
      expect(flat(Condition ?? null)).toContain('"kms:ViaService"');
    expect(may(orders, /^kms:/)).toHaveLength(2);
  });

  test('encrypts the table and every log of a control plane, and opens to its principals through DynamoDB only, and for authorities through Secrets Manager', () => {
    // The topic of the alarms has one of its own.
    const [key = ''] = hosts.ofType('AWS::KMS::Key').flatMap(({ id }) => (id.includes('Alarms') ? [] : id));
    expect(key).not.toBe('');
    const table = hosts.one('AWS::DynamoDB::GlobalTable').properties;
    expect(table['SSESpecification']).toEqual({ SSEEnabled: true, SSEType: 'KMS' });
    expect(flat(table['Replicas'] ?? null)).toContain(key);
    const logs = hosts.ofType('AWS::Logs::LogGroup');
    expect(logs.length).toBeGreaterThanOrEqual(8);
    for (const { properties } of logs) expect(flat(properties['KmsKeyId'] ?? null)).toContain(key);
    const users = withoutRotation(hosts);
    const through = (service: string) =>
      users.filter(([, { Condition }]) =>
        flat(Condition ?? null).includes(`"kms:ViaService":{"Fn::Join":["",["${service}."`),
      );
    // Nine functions, and two roles for each of the two clusters; who signs keeps authorities too.
    expect(through('dynamodb')).toHaveLength(9 + 4);
    expect(through('secretsmanager').map(([id]) => id.includes('Certify'))).toEqual([true]);
    expect(users).toHaveLength(9 + 4 + 1);
    for (const [, { Resource }] of users) expect(flat(Resource)).toContain(key);
  });

  test('is used by nobody where there is none', () => {
    expect(withoutRotation(whole)).toEqual([]);
    expect(flat(whole.one('AWS::DynamoDB::GlobalTable').properties)).not.toContain('SSESpecification');
  });
});
