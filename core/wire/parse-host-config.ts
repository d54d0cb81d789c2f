/**
 * The JSON file that tells an agent who and where it is. Cloud-init may have written it, or a person: unknown keys are
 * refused, paths must be absolute, and no refusal repeats a secret.
 */
import type {
  DatabaseHostConfig,
  HostConfig,
  HostSecrets,
  ProxyHostConfig,
  SecretIds,
} from '../model/host-config.ts';
import type { NodeTags } from '../model/node-report.ts';
import {
  type Fields,
  InvalidInput,
  readBoolean,
  readFields,
  readId,
  readInteger,
  readKnownFields,
  readNonEmpty,
  readNullable,
  readOneOf,
  readPort,
  readSecret,
} from './fields.ts';
import { readSettings } from './read-settings.ts';

const commonKeys = [
  'cluster',
  'node',
  'instanceId',
  'region',
  'tableName',
  'stateMachineArn',
  'folder',
  'host',
  'restPort',
  'wakePort',
  'runAs',
  'actions',
  'secrets',
  'secretIds',
  'role',
];

const maxId = 0xffff_fffe;
const defaultWatchdog = '/dev/watchdog';

/** Throws InvalidInput naming the key, such as `postgres.port`. */
export function parseHostConfig(input: unknown): HostConfig {
  const role = readOneOf(readFields(input, 'the host config')['role'], 'role', ['database', 'proxy']);
  return role === 'database' ? parseDatabaseHost(input) : parseProxyHost(input);
}

function parseDatabaseHost(input: unknown): DatabaseHostConfig {
  const fields = readKnownFields(input, '', [...commonKeys, 'tags', 'watchdog', 'postgres']);
  const postgres = readKnownFields(fields['postgres'], 'postgres', ['binDir', 'port', 'listen', 'settings']);
  return {
    ...readCommon(fields),
    role: 'database',
    tags: readTags(fields['tags'], 'tags'),
    watchdog: readNullable(given(fields['watchdog'], defaultWatchdog), 'watchdog', readAbsolute),
    postgres: {
      binDir: readAbsolute(postgres['binDir'], 'postgres.binDir'),
      port: readPort(postgres['port'], 'postgres.port'),
      listen: readNonEmpty(postgres['listen'], 'postgres.listen'),
      settings: readSettings(postgres['settings'], 'postgres.settings'),
    },
  };
}

function parseProxyHost(input: unknown): ProxyHostConfig {
  const fields = readKnownFields(input, '', [
    ...commonKeys,
    'haproxyBin',
    'pgbouncerBin',
    'ports',
    'poolSize',
  ]);
  const ports = readKnownFields(fields['ports'], 'ports', ['endpoint', 'pgbouncer', 'primary', 'replicas']);
  return {
    ...readCommon(fields),
    role: 'proxy',
    haproxyBin: readAbsolute(fields['haproxyBin'], 'haproxyBin'),
    pgbouncerBin: readAbsolute(fields['pgbouncerBin'], 'pgbouncerBin'),
    ports: {
      endpoint: readPort(ports['endpoint'], 'ports.endpoint'),
      pgbouncer: readPort(ports['pgbouncer'], 'ports.pgbouncer'),
      primary: readPort(ports['primary'], 'ports.primary'),
      replicas: readPort(ports['replicas'], 'ports.replicas'),
    },
    poolSize: readInteger(fields['poolSize'], 'poolSize', 1, 10_000),
  };
}

function readCommon(fields: Fields) {
  const port = (key: string) => readInteger(fields[key], key, 0, 65_535);
  return {
    cluster: readId(fields['cluster'], 'cluster'),
    node: readId(fields['node'], 'node'),
    instanceId: readNonEmpty(fields['instanceId'], 'instanceId'),
    region: readNonEmpty(fields['region'], 'region'),
    tableName: readNonEmpty(fields['tableName'], 'tableName'),
    stateMachineArn: readNonEmpty(fields['stateMachineArn'], 'stateMachineArn'),
    folder: readAbsolute(fields['folder'], 'folder'),
    host: readNonEmpty(fields['host'], 'host'),
    restPort: port('restPort'),
    wakePort: port('wakePort'),
    runAs: readNullable(fields['runAs'], 'runAs', (value, field) => {
      const user = readKnownFields(value, field, ['uid', 'gid']);
      return {
        uid: readInteger(user['uid'], `${field}.uid`, 1, maxId),
        gid: readInteger(user['gid'], `${field}.gid`, 1, maxId),
      };
    }),
    actions: readOneOf(fields['actions'], 'actions', ['both', 'run-command']),
    secrets: readSecrets(fields['secrets']),
    secretIds: readNullable(fields['secretIds'], 'secretIds', readSecretIds),
  };
}

function readSecrets(value: unknown): HostSecrets {
  const secrets = readKnownKeys(value, 'secrets', ['superuser', 'replication', 'cluster']);
  return {
    superuser: readCredentials(secrets['superuser'], 'secrets.superuser'),
    replication: readCredentials(secrets['replication'], 'secrets.replication'),
    cluster: readSecret(secrets['cluster'], 'secrets.cluster'),
  };
}

function readSecretIds(value: unknown, field: string): SecretIds {
  const ids = readKnownFields(value, field, ['superuser', 'replication', 'cluster']);
  const id = (name: string) => readNonEmpty(ids[name], `${field}.${name}`);
  return { superuser: id('superuser'), replication: id('replication'), cluster: id('cluster') };
}

function readCredentials(value: unknown, field: string): { name: string; password: string } {
  const credentials = readKnownKeys(value, field, ['name', 'password']);
  return {
    name: readNonEmpty(credentials['name'], `${field}.name`),
    password: readSecret(credentials['password'], `${field}.password`),
  };
}

/** Like readKnownFields, for an object whose values must not be shown: a misspelt key may hold a password. */
function readKnownKeys(value: unknown, field: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInput(field, value === undefined ? undefined : '(hidden)', 'an object');
  }
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new InvalidInput(`${field}.${unknown}`, '(hidden)', `nothing: ${field} has ${known.join(', ')}`);
  }
  return value as Fields;
}

function readTags(value: unknown, field: string): NodeTags {
  const tags = readKnownFields(value, field, ['nofailover', 'failoverPriority']);
  return {
    nofailover: readBoolean(tags['nofailover'], `${field}.nofailover`),
    failoverPriority: readInteger(tags['failoverPriority'], `${field}.failoverPriority`, 0, 1000),
  };
}

/** Absent is `fallback`; null is a value. */
function given(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value;
}

function readAbsolute(value: unknown, field: string): string {
  if (typeof value !== 'string' || !value.startsWith('/')) {
    throw new InvalidInput(field, value, 'an absolute path');
  }
  return value;
}
