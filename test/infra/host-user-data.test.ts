/** The user data of an instance as text: what it takes, what it refuses, and what CloudFormation makes of tokens in it. */
import { App, CfnParameter, Fn, Stack, Token } from 'aws-cdk-lib';
import { expect, test } from 'vitest';
import { type HostUserDataProps, hostUserData } from '../../infra/host-user-data.ts';

const database: HostUserDataProps = {
  role: 'database',
  cluster: 'main',
  node: 'node-1',
  region: 'eu-west-1',
  tableName: 'Leasehold-Clusters',
  stateMachineArn: 'arn:aws:states:eu-west-1:123456789012:stateMachine:Leasehold-failover',
  secrets: { superuser: 'super', replication: 'replication', cluster: 'cluster' },
  artifact: { bucket: 'bucket', key: 'key', sha256: '0'.repeat(64) },
  ports: {
    postgres: 5432,
    rest: 8008,
    wake: 8009,
    endpoint: 5432,
    pgbouncer: 6432,
    primary: 5433,
    replicas: 5434,
  },
  postgres: { major: 17, settings: {}, dataVolumeId: 'vol-1' },
};
const { postgres: _none, ...common } = database;
const proxy: HostUserDataProps = { ...common, role: 'proxy', node: 'proxy-1', poolSize: 20 };
const base64 = (text: string) => Buffer.from(text).toString('base64');

test('each role gets its own parameters', () => {
  expect(hostUserData(database)).toContain(`\npostgres.major ${base64('17')}\n`);
  expect(hostUserData(database)).not.toContain('\npoolSize ');
  expect(hostUserData(proxy)).toContain(`\npoolSize ${base64('20')}\n`);
  expect(hostUserData(proxy)).not.toContain('\npostgres.');
});

test('with the longest init scripts that it takes it is still less than EC2 takes', () => {
  const longest = 'x'.repeat(3500);
  const postgres = { major: 17, settings: {}, dataVolumeId: 'vol-1', initScript: longest };
  const text = hostUserData({ ...database, postgres: { ...postgres, replicaInitScript: longest } });
  // Room for ARNs, which are longer than the names here.
  expect(text.length).toBeLessThan(16_384 - 1024);
  const tooLong = () => hostUserData({ ...database, postgres: { ...postgres, initScript: `${longest}x` } });
  expect(tooLong).toThrow('postgres.initScript was "(3501 characters)"; it takes at most 3500');
});

test('a value that only CloudFormation knows is put into base64 by CloudFormation', () => {
  const stack = new Stack(new App(), 'Test');
  const name = new CfnParameter(stack, 'Name').valueAsString;
  const port = Token.asNumber(new CfnParameter(stack, 'Port', { type: 'Number' }).value);
  const ports = { ...database.ports, rest: port };
  const text = hostUserData({ ...database, tableName: `table-${name}`, ports });
  const { 'Fn::Join': joined } = stack.resolve(text) as { 'Fn::Join': [string, unknown[]] };
  expect(joined[0]).toBe('');
  const intrinsics = joined[1].filter((part) => typeof part !== 'string');
  expect(intrinsics).toEqual([
    { 'Fn::Base64': { 'Fn::Join': ['', ['table-', { Ref: 'Name' }]] } },
    { 'Fn::Base64': { Ref: 'Port' } },
  ]);
  expect(stack.resolve(Fn.base64(text))).toHaveProperty('Fn::Base64');
});

test('what is missing or wrong is named', () => {
  const refused = (props: HostUserDataProps) => () => hostUserData(props);
  const { poolSize: _size, ...without } = proxy;
  expect(refused({ ...common, role: 'database' })).toThrow('postgres was absent; it takes an object');
  expect(refused(without)).toThrow('poolSize was absent');
  expect(refused({ ...database, poolSize: 3 })).toThrow('poolSize was 3; it takes nothing');
  const postgres = { major: 13, settings: {}, dataVolumeId: 'vol-1' };
  expect(refused({ ...database, postgres })).toThrow(
    'postgres.major was 13; it takes a whole number from 14 to 18',
  );
  const settings = { port: '1' };
  expect(refused({ ...database, postgres: { ...postgres, major: 14, settings } })).toThrow(
    'postgres.settings.port',
  );
});
