/** What people and cloud-init write: the input of an execution, and the host's configuration. */
import { expect, test } from 'vitest';
import type { DatabaseHostConfig, ProxyHostConfig } from '../../core/model/host-config.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import { parseHostConfig } from '../../core/wire/parse-host-config.ts';
import { parseOperationRequest } from '../../core/wire/parse-operation-request.ts';

function refusal(read: () => unknown): InvalidInput {
  try {
    read();
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
  return expect.fail('it was accepted');
}

test('the name of the cluster is enough', () => {
  const least = {
    ...{ cluster: 'main', kind: null, target: null, reason: '', requestedBy: '' },
    acceptDataLoss: false,
    epoch: null,
  };
  expect(parseOperationRequest({ cluster: 'main' })).toEqual(least);
  expect(parseOperationRequest({ cluster: 'main', kind: null, target: null })).toEqual(least);
  const whole = {
    ...{ cluster: 'main', kind: 'failover', target: 'node2', reason: 'r', requestedBy: 'cli' },
    acceptDataLoss: true,
    epoch: 7,
  };
  expect(parseOperationRequest(whole)).toEqual(whole);
});

test.each([
  [
    {},
    'cluster was absent; it takes a lower-case letter, then up to 30 lower-case letters, digits or hyphens',
  ],
  [{ cluster: 'main', kind: 'swap' }, 'kind was "swap"; it takes one of "switchover", "failover"'],
  [
    { cluster: 'main', traget: 'node2' },
    'traget was "node2"; it takes nothing: this input has cluster, kind, target, reason, requestedBy, acceptDataLoss, epoch (no other key)',
  ],
  [
    { cluster: 'main', target: 2 },
    'target was 2; it takes a lower-case letter, then up to 30 lower-case letters, digits or hyphens',
  ],
  [{ cluster: 'main', reason: null }, 'reason was null; it takes a string'],
  [
    { cluster: 'main', acceptDataLoss: true },
    'acceptDataLoss was true; it takes true only where kind is "failover"',
  ],
  [
    { cluster: 'main', kind: 'switchover', acceptDataLoss: true },
    'acceptDataLoss was true; it takes true only where kind is "failover"',
  ],
  [
    { cluster: 'main', kind: 'failover', acceptDataLoss: 'yes' },
    'acceptDataLoss was "yes"; it takes true or false',
  ],
  [{ cluster: 'main', epoch: 0 }, 'epoch was 0; it takes a whole number of at least 1'],
  ['main', 'this input was "main"; it takes an object'],
])('%j is refused in words', (input, message) => {
  expect(refusal(() => parseOperationRequest(input)).message).toBe(message);
});

const common = {
  ...{ cluster: 'main', node: 'node1', instanceId: 'i-1', region: 'us-east-1', tableName: 'leasehold' },
  ...{ stateMachineArn: 'arn:x', folder: '/var/lib/leasehold', host: '10.0.0.1', restPort: 0, wakePort: 0 },
  runAs: { uid: 26, gid: 26 },
  actions: 'both',
  secrets: {
    superuser: { name: 'postgres', password: 'p1' },
    replication: { name: 'replicator', password: 'p2' },
    cluster: 'c',
  },
  secretIds: { superuser: 'arn:s', replication: 'arn:r', cluster: 'arn:c' },
} as const;

const database: DatabaseHostConfig = {
  ...common,
  role: 'database',
  tags: { nofailover: false, failoverPriority: 0 },
  watchdog: '/dev/watchdog1',
  postgres: { binDir: '/usr/lib/postgresql/15/bin', port: 5432, listen: '*', settings: { work_mem: '4MB' } },
};

const proxy: ProxyHostConfig = {
  ...common,
  node: 'proxy1',
  role: 'proxy',
  haproxyBin: '/usr/sbin/haproxy',
  pgbouncerBin: '/usr/sbin/pgbouncer',
  ports: { endpoint: 5432, pgbouncer: 6432, primary: 5433, replicas: 5434 },
  poolSize: 50,
};

test('a host uses its watchdog unless it is told otherwise', () => {
  const { watchdog: _none, ...silent } = database;
  expect(parseHostConfig(silent)).toMatchObject({ watchdog: '/dev/watchdog' });
  expect(parseHostConfig({ ...database, watchdog: null })).toMatchObject({ watchdog: null });
  expect(() => parseHostConfig({ ...database, watchdog: 'watchdog' })).toThrow(/watchdog/);
});

test('a host configuration is read back as it was written', () => {
  expect(parseHostConfig(JSON.parse(JSON.stringify(database)))).toEqual(database);
  expect(parseHostConfig(JSON.parse(JSON.stringify(proxy)))).toEqual(proxy);
  expect(parseHostConfig({ ...proxy, runAs: null }).runAs).toBeNull();
});

test.each([
  ['role', { ...database, role: 'arbiter' }],
  ['haproxyBin', { ...database, haproxyBin: '/x' }],
  ['tags', { ...proxy, tags: database.tags }],
  ['folder', { ...database, folder: 'data' }],
  ['restPort', { ...database, restPort: -1 }],
  ['runAs.uid', { ...database, runAs: { uid: 0, gid: 26 } }],
  ['postgres.port', { ...database, postgres: { ...database.postgres, port: 0 } }],
  ['postgres.settings.port', { ...database, postgres: { ...database.postgres, settings: { port: '1' } } }],
  ['ports.primary', { ...proxy, ports: { ...proxy.ports, primary: '5433' } }],
  ['poolSize', { ...proxy, poolSize: 0 }],
  ['tags.failoverPriority', { ...database, tags: { nofailover: false } }],
])('a wrong %s is refused by its name', (field, config) => {
  expect(refusal(() => parseHostConfig(config)).field).toBe(field);
});

test.each([
  ['secrets.superuser.password', { superuser: { name: 'postgres', password: 12_345_678 } }],
  ['secrets.superuser', { superuser: '12345678' }],
  ['secrets.superuser.passwrod', { superuser: { name: 'postgres', passwrod: '12345678' } }],
  ['secrets.cluster', { cluster: ['12345678'] }],
])('a wrong %s is refused without being repeated', (field, changes) => {
  const wrong = refusal(() => parseHostConfig({ ...database, secrets: { ...common.secrets, ...changes } }));
  expect(wrong.field).toBe(field);
  expect(wrong.message).not.toContain('1234');
});
