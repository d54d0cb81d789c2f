/**
 * EC2 as fencing uses it: `stopped` is said only when the host's processes are gone, and is still true after the runtime
 * was killed in the middle of stopping.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DescribeInstanceStatusCommand,
  DescribeInstancesCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  ModifyInstanceAttributeCommand,
  RebootInstancesCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DynamoDb, openDynamoDb } from '../../local/aws/dynamodb.ts';
import { type Ec2, type HostDriver, openEc2 } from '../../local/aws/ec2.ts';
import { createLambdaRunner } from '../../local/aws/lambda.ts';
import { type AwsServer, startAwsServer } from '../../local/aws/server.ts';
import { awsCli, clientOptions, hasAwsCli } from './fixtures/endpoints.ts';
import { until } from './fixtures/until.ts';

const place = { region: 'us-east-1', accountId: '000000000000' };
const one = 'i-0000000000000000a';
const two = 'i-0000000000000000b';
const groups = [
  { groupId: 'sg-open', groupName: 'hosts', description: 'the hosts' },
  { groupId: 'sg-shut', groupName: 'isolated', description: 'no traffic & <no> mercy' },
];
const hosts = [
  {
    instanceId: one,
    name: 'db1',
    privateIp: '10.0.0.1',
    securityGroupIds: ['sg-open'],
    tags: { cluster: 'main' },
  },
  { instanceId: two, name: 'db2', privateIp: '10.0.0.2', securityGroupIds: ['sg-open'] },
];

/** A driver whose stops and starts end when the test says so. */
function manualDriver() {
  const calls: string[] = [];
  const waiting: { resolve(): void; reject(error: Error): void }[] = [];
  const pending = (call: string) => {
    calls.push(call);
    return new Promise<void>((resolve, reject) => {
      waiting.push({ resolve, reject });
    });
  };
  const driver: HostDriver = {
    stop: (id, { force }) => pending(`stop ${id} ${force ? 'force' : 'gently'}`),
    start: (id) => pending(`start ${id}`),
    async setSecurityGroups(id, ids) {
      calls.push(`groups ${id} ${ids.join(',')}`);
    },
  };
  return {
    driver,
    calls,
    finish: () => waiting.shift()?.resolve(),
    fail: (message: string) => waiting.shift()?.reject(new Error(message)),
    waiting: () => waiting.length,
  };
}

let folder: string;
let dynamoDb: DynamoDb;
let manual: ReturnType<typeof manualDriver>;
let ec2: Ec2;
let server: AwsServer;
let client: EC2Client;

function open(): Ec2 {
  manual = manualDriver();
  return openEc2({ folder, ...place, hosts, securityGroups: groups, hostDriver: manual.driver });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-ec2-'));
  dynamoDb = await openDynamoDb(place);
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const lambda = createLambdaRunner({
    functions: [],
    region: place.region,
    endpointUrl: () => '',
    credentials,
    logFolder: folder,
  });
  ec2 = open();
  server = await startAwsServer({
    dynamoDb,
    lambda,
    accessKeyId: 'local',
    ec2: { handle: (action, parameters) => ec2.handle(action, parameters) },
  });
  client = new EC2Client(clientOptions(server.endpoint));
});

afterEach(async () => {
  client.destroy();
  await server.close();
  await dynamoDb.close();
  rmSync(folder, { recursive: true, force: true });
});

async function describeAll(): Promise<Record<string, string | undefined>> {
  const { Reservations } = await client.send(new DescribeInstancesCommand({}));
  const instances = (Reservations ?? []).flatMap(({ Instances }) => Instances ?? []);
  return Object.fromEntries(instances.map(({ InstanceId, State }) => [InstanceId, State?.Name]));
}

const stop = (force = true) => client.send(new StopInstancesCommand({ InstanceIds: [one], Force: force }));

describe('stopping', () => {
  test('is stopping until all processes of the host are gone, and only then stopped', async () => {
    const { StoppingInstances } = await stop();
    expect(StoppingInstances?.[0]).toMatchObject({
      InstanceId: one,
      PreviousState: { Name: 'running', Code: 16 },
      CurrentState: { Name: 'stopping', Code: 64 },
    });
    await until(() => manual.waiting() === 1, 'the driver is asked');
    expect(manual.calls).toEqual([`stop ${one} force`]);
    expect(await describeAll()).toEqual({ [one]: 'stopping', [two]: 'running' });
    manual.finish();
    await ec2.instances.settled();
    expect(await describeAll()).toEqual({ [one]: 'stopped', [two]: 'running' });
  });

  test('never says stopped while the driver fails, tries again, and says why', async () => {
    await stop();
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.fail('processes survive');
    await until(() => manual.calls.length === 2, 'the driver is asked again');
    const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds: [one] }));
    const instance = Reservations?.[0]?.Instances?.[0];
    expect(instance?.State?.Name).toBe('stopping');
    expect(instance?.StateReason?.Message).toContain('processes survive');
    manual.finish();
    await ec2.instances.settled();
    expect((await describeAll())[one]).toBe('stopped');
  });

  test('goes on in the next runtime after the first was killed in the middle', async () => {
    await stop();
    await until(() => manual.waiting() === 1, 'the driver is asked');
    ec2 = open();
    expect((await describeAll())[one]).toBe('stopping');
    await until(() => manual.waiting() === 1, 'the new driver is asked');
    expect(manual.calls).toEqual([`stop ${one} force`]);
    manual.finish();
    await ec2.instances.settled();
    ec2 = open();
    expect((await describeAll())[one]).toBe('stopped');
    expect(manual.calls).toEqual([]);
  });

  test('is overtaken by terminating, whose state is never overwritten', async () => {
    await stop(false);
    await client.send(new TerminateInstancesCommand({ InstanceIds: [one] }));
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.finish();
    await until(() => manual.calls.length === 2, 'the driver is asked for the second');
    expect((await describeAll())[one]).toBe('shutting-down');
    manual.finish();
    await ec2.instances.settled();
    expect((await describeAll())[one]).toBe('terminated');
    await expect(stop()).rejects.toMatchObject({ name: 'IncorrectInstanceState' });
  });
});

describe('starting', () => {
  test('is pending until the host is up; a host that is still stopping cannot be started', async () => {
    const start = () => client.send(new StartInstancesCommand({ InstanceIds: [one] }));
    await stop();
    await expect(start()).rejects.toMatchObject({ name: 'IncorrectInstanceState' });
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.finish();
    await ec2.instances.settled();
    const { StartingInstances } = await start();
    expect(StartingInstances?.[0]?.CurrentState?.Name).toBe('pending');
    await until(() => manual.waiting() === 1, 'the driver is asked');
    expect((await describeAll())[one]).toBe('pending');
    manual.finish();
    await ec2.instances.settled();
    expect((await describeAll())[one]).toBe('running');
  });

  test('that fails leaves a stopped host with nothing half alive', async () => {
    await stop();
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.finish();
    await ec2.instances.settled();
    await client.send(new StartInstancesCommand({ InstanceIds: [one] }));
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.fail('no space');
    await until(() => manual.waiting() === 1, 'the driver is asked to clean up');
    manual.finish();
    await ec2.instances.settled();
    expect(manual.calls.at(-1)).toBe(`stop ${one} force`);
    expect((await describeAll())[one]).toBe('stopped');
  });

  test('anew by a reboot leaves the state at running, also when the host does not come back', async () => {
    await client.send(new RebootInstancesCommand({ InstanceIds: [one] }));
    await until(() => manual.waiting() === 1, 'the driver is asked');
    manual.finish();
    await until(() => manual.waiting() === 1, 'the driver is asked to start');
    expect(manual.calls).toEqual([`stop ${one} force`, `start ${one}`]);
    manual.fail('boot loop');
    await ec2.instances.settled();
    expect((await describeAll())[one]).toBe('running');
  });
});

describe('what is described', () => {
  test('instances by id, tag, state and page', async () => {
    const ids = async (input: object) => {
      const { Reservations } = await client.send(new DescribeInstancesCommand(input));
      return (Reservations ?? []).flatMap(({ Instances }) =>
        (Instances ?? []).map(({ InstanceId }) => InstanceId),
      );
    };
    expect(await ids({ Filters: [{ Name: 'tag:cluster', Values: ['ma*'] }] })).toEqual([one]);
    expect(await ids({ Filters: [{ Name: 'tag:Name', Values: ['db1', 'db2'] }] })).toEqual([one, two]);
    expect(await ids({ Filters: [{ Name: 'instance-id', Values: [two] }] })).toEqual([two]);
    expect(await ids({ Filters: [{ Name: 'instance-state-name', Values: ['stopped'] }] })).toEqual([]);
    const first = await client.send(new DescribeInstancesCommand({ MaxResults: 1 }));
    expect(first.Reservations).toHaveLength(1);
    expect(await ids({ NextToken: first.NextToken })).toEqual([two]);
    const unknown = client.send(
      new DescribeInstancesCommand({ Filters: [{ Name: 'color', Values: ['red'] }] }),
    );
    await expect(unknown).rejects.toMatchObject({ name: 'InvalidParameterValue' });
  });

  test('an instance with its address, tags and groups', async () => {
    const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds: [one] }));
    const instance = Reservations?.[0]?.Instances?.[0];
    expect(instance).toMatchObject({
      PrivateIpAddress: '10.0.0.1',
      SecurityGroups: [{ GroupId: 'sg-open', GroupName: 'hosts' }],
      Placement: { AvailabilityZone: 'us-east-1a' },
    });
    expect(instance?.Tags).toContainEqual({ Key: 'cluster', Value: 'main' });
    expect(instance?.LaunchTime).toBeInstanceOf(Date);
  });

  test('the status of running instances, or of all', async () => {
    await stop();
    const running = await client.send(new DescribeInstanceStatusCommand({}));
    expect(running.InstanceStatuses?.map(({ InstanceId }) => InstanceId)).toEqual([two]);
    const all = await client.send(new DescribeInstanceStatusCommand({ IncludeAllInstances: true }));
    expect(all.InstanceStatuses?.map(({ InstanceState }) => InstanceState?.Name)).toEqual([
      'stopping',
      'running',
    ]);
  });

  test('security groups, which an instance can be given', async () => {
    const { SecurityGroups } = await client.send(
      new DescribeSecurityGroupsCommand({ GroupIds: ['sg-shut'] }),
    );
    expect(SecurityGroups?.[0]).toMatchObject({
      GroupName: 'isolated',
      Description: 'no traffic & <no> mercy',
    });
    await client.send(new ModifyInstanceAttributeCommand({ InstanceId: one, Groups: ['sg-shut'] }));
    expect(manual.calls).toEqual([`groups ${one} sg-shut`]);
    const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds: [one] }));
    expect(Reservations?.[0]?.Instances?.[0]?.SecurityGroups?.[0]?.GroupId).toBe('sg-shut');
    const absent = client.send(new ModifyInstanceAttributeCommand({ InstanceId: one, Groups: ['sg-none'] }));
    await expect(absent).rejects.toMatchObject({ name: 'InvalidGroup.NotFound' });
  });
});

describe('what is refused', () => {
  test('instances that do not exist, with nothing done to those that do', async () => {
    const absent = client.send(new StopInstancesCommand({ InstanceIds: [one, 'i-0000000000000000f'] }));
    await expect(absent).rejects.toMatchObject({ name: 'InvalidInstanceID.NotFound' });
    expect((await describeAll())[one]).toBe('running');
    expect(manual.calls).toEqual([]);
    const malformed = client.send(new DescribeInstancesCommand({ InstanceIds: ['db1'] }));
    await expect(malformed).rejects.toMatchObject({ name: 'InvalidInstanceID.Malformed' });
  });

  test('a dry run, which changes nothing', async () => {
    const dry = client.send(new StopInstancesCommand({ InstanceIds: [one], DryRun: true }));
    await expect(dry).rejects.toMatchObject({ name: 'DryRunOperation' });
    expect((await describeAll())[one]).toBe('running');
  });

  test('a caller with another key', async () => {
    const stranger = new EC2Client({
      ...clientOptions(server.endpoint),
      credentials: { accessKeyId: 'stranger', secretAccessKey: 'local' },
    });
    const stopped = stranger.send(new StopInstancesCommand({ InstanceIds: [one] }));
    await expect(stopped).rejects.toMatchObject({ name: 'AuthFailure' });
    stranger.destroy();
    const unsigned = await fetch(server.endpoint, {
      method: 'POST',
      body: new URLSearchParams('Action=StopInstances'),
    });
    expect(unsigned.status).toBe(401);
    expect(manual.calls).toEqual([]);
    const away = await fetch(`${server.endpoint}/_leasehold/away`);
    expect(away.status).toBe(400);
    const bearer = await fetch(`${server.endpoint}/_leasehold/away`, {
      headers: { authorization: 'Bearer local' },
    });
    expect(await bearer.json()).toMatchObject({ ec2: null });
  });
});

test.skipIf(!hasAwsCli)('the AWS CLI describes, stops, and sees the errors by their codes', async () => {
  const describing = await awsCli(server.endpoint, ['ec2', 'describe-instances', '--instance-ids', one]);
  expect(JSON.parse(describing.stdout)).toMatchObject({
    Reservations: [{ Instances: [{ InstanceId: one }] }],
  });
  const stopping = await awsCli(server.endpoint, ['ec2', 'stop-instances', '--force', '--instance-ids', one]);
  expect(JSON.parse(stopping.stdout)).toMatchObject({
    StoppingInstances: [{ CurrentState: { Name: 'stopping' } }],
  });
  manual.finish();
  const waited = await awsCli(server.endpoint, ['ec2', 'wait', 'instance-stopped', '--instance-ids', one]);
  expect(waited.status).toBe(0);
  const absent = await awsCli(server.endpoint, [
    'ec2',
    'stop-instances',
    '--instance-ids',
    'i-0000000000000000f',
  ]);
  expect(absent.stderr).toContain('An error occurred (InvalidInstanceID.NotFound)');
  const unknown = await awsCli(server.endpoint, ['ec2', 'describe-vpcs']);
  expect(unknown.stderr).toContain('An error occurred (InvalidAction)');
  expect(existsSync(join(folder, 'instances.json'))).toBe(true);
});
