/** The configuration of a host from parameters, metadata and secrets: what becomes of each, and what is refused without telling a secret. */
import { expect, test } from 'vitest';
import { type ConfigureDeps, hostConfigOf } from '../../agent/configure/host-config-of.ts';
import { readParameters } from '../../agent/configure/parameters.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const written = (parameters: Readonly<Record<string, string>>) =>
  Object.entries(parameters)
    .map(([name, value]) => `${name} ${base64(value)}\n`)
    .join('');

const common = {
  cluster: 'main',
  node: 'node-1',
  region: 'eu-west-1',
  tableName: 'Clusters',
  stateMachineArn: 'arn:aws:states:eu-west-1:123456789012:stateMachine:Leasehold-failover',
  'secrets.superuser': 'super-secret-id',
  'secrets.replication': 'replication-secret-id',
  'secrets.cluster': 'cluster-secret-id',
  'ports.postgres': '5432',
  'ports.rest': '8008',
  'ports.wake': '8009',
  'ports.endpoint': '5000',
  'ports.pgbouncer': '6432',
  'ports.primary': '5001',
  'ports.replicas': '5002',
};
const database = { ...common, role: 'database', 'postgres.major': '17', 'postgres.settings.work_mem': '8MB' };
const proxy = { ...common, role: 'proxy', poolSize: '40' };

const texts: Readonly<Record<string, string>> = {
  'super-secret-id': '{"username":"admin","password":"p1"}',
  'replication-secret-id': 'plain-p2',
  'cluster-secret-id': '{"password":"p3"}',
};

const deps = (
  parameters: Readonly<Record<string, string>>,
  others: Partial<ConfigureDeps> = {},
): ConfigureDeps => ({
  parameters: readParameters(written(parameters)),
  instance: async () => ({ instanceId: 'i-1', address: '10.0.0.5', region: 'eu-west-1', zone: 'eu-west-1a' }),
  secret: async (id) => ({ kind: 'ok', value: texts[id] ?? '' }),
  postgresBinDir: async (major) => `/usr/lib/postgresql/${major}/bin`,
  proxyPrograms: async () => ({ haproxy: '/usr/sbin/haproxy', pgbouncer: '/usr/sbin/pgbouncer' }),
  runAs: { uid: 105, gid: 110 },
  folder: '/var/lib/leasehold',
  ...others,
});

test('a database host is reached at its private address, runs the major asked for, and has the settings', async () => {
  expect(await hostConfigOf(deps(database))).toMatchObject({
    role: 'database',
    instanceId: 'i-1',
    host: '10.0.0.5',
    folder: '/var/lib/leasehold',
    restPort: 8008,
    wakePort: 8009,
    runAs: { uid: 105, gid: 110 },
    watchdog: '/dev/watchdog',
    postgres: {
      binDir: '/usr/lib/postgresql/17/bin',
      port: 5432,
      listen: '10.0.0.5',
      settings: { work_mem: '8MB' },
    },
  });
});

test('a secret is a password, or an object with one and the name of its user', async () => {
  const { secrets } = await hostConfigOf(deps(database));
  expect(secrets).toEqual({
    superuser: { name: 'admin', password: 'p1' },
    replication: { name: 'replicator', password: 'plain-p2' },
    cluster: 'p3',
  });
});

test('a proxy host has the ports of its clients and no PostgreSQL', async () => {
  const config = await hostConfigOf(deps(proxy));
  expect(config).toMatchObject({
    haproxyBin: '/usr/sbin/haproxy',
    ports: { endpoint: 5000, pgbouncer: 6432, primary: 5001, replicas: 5002 },
    poolSize: 40,
  });
  expect(config).not.toHaveProperty('postgres');
});

test('parameters of another region, missing or of a wrong form are refused by name', async () => {
  const refusal = async (change: Readonly<Record<string, string>>) =>
    await hostConfigOf(deps({ ...database, ...change })).then(String, String);
  expect(await refusal({ region: 'us-east-1' })).toContain(
    'region was "us-east-1"; it takes where this instance is',
  );
  expect(await refusal({ role: 'primary' })).toContain('role was "primary"');
  expect(await refusal({ 'ports.rest': '0x50' })).toContain('ports.rest was "0x50"');
  expect(await refusal({ 'ports.postgres': '70000' })).toContain('postgres.port was 70000');
  expect(await refusal({ 'postgres.settings.port': '1' })).toContain('postgres.settings.port');
  const { tableName: _none, ...without } = database;
  await expect(hostConfigOf(deps(without))).rejects.toThrow('tableName was absent');
});

test('a secret that cannot be read is named, with the reason', async () => {
  const secret: ConfigureDeps['secret'] = async () => ({ kind: 'denied', message: 'not authorized' });
  await expect(hostConfigOf(deps(database, { secret }))).rejects.toThrow(
    'secrets.superuser: super-secret-id could not be read: denied: not authorized',
  );
});

test('a line that is no parameter is refused without showing it, and so is a name that comes twice', () => {
  expect(() => readParameters('role cHJveHk=\npassword: hunter2\n')).toThrow(
    'line 2 of the parameters was "(hidden)"',
  );
  expect(() => readParameters('role cHJveHk=\nrole cHJveHk=\n')).toThrow('role was "(given twice)"');
  expect(readParameters('# by hand\n\nrole cHJveHk=\n').get('role')).toBe('proxy');
});
