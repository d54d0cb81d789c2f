/**
 * The cluster file: the parser and the published JSON Schema accept and refuse the same files, but for the rules that
 * a schema cannot state, which are listed apart.
 */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../core/wire/fields.ts';
import { parseClusterFile } from '../../core/wire/parse-cluster-file.ts';
import { reservedSettings } from '../../core/wire/read-settings.ts';

const readJson = (path: string): unknown => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
const schema = readJson('../../spec/cluster.schema.json') as object;
const bySchema = new Ajv({ allErrors: true }).compile(schema);

const nodes = [{ id: 'node1' }, { id: 'node2' }, { id: 'node3' }];
const file = (changes: object): object => ({ cluster: 'main', nodes, ...changes });
const nodeWith = (changes: object): object => file({ nodes: [{ id: 'node1', ...changes }] });
const proxyWith = (changes: object): object => file({ proxies: [{ id: 'proxy1', ...changes }] });

function refusal(input: unknown): InvalidInput | null {
  try {
    parseClusterFile(input);
    return null;
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
}

const accepted: readonly object[] = [
  file({}),
  file({ $schema: '../spec/cluster.schema.json', proxies: [], settings: {}, limits: {} }),
  file({ cluster: `a${'-'.repeat(30)}`, postgresVersion: 18, actions: 'run-command' }),
  file({ nodes: Array.from({ length: 15 }, (_, index) => ({ id: `n${index}` })) }),
  nodeWith({
    port: 65_535,
    tags: { nofailover: true, failoverPriority: 1000 },
    settings: { work_mem: '4MB' },
  }),
  nodeWith({ port: 1, tags: {} }),
  proxyWith({ endpointPort: 1, pgbouncerPort: 2, primaryPort: 3, replicasPort: 4, poolSize: 10_000 }),
  file({ hosts: 'netns' }),
  file({ volumeMb: 256 }),
  file({ hosts: 'loopback' }),
  file({ lease: { ttlMs: 5000, heartbeatMs: 1000 } }),
  file({ lease: { ttlMs: 2000, heartbeatMs: 850 } }),
  file({ synchronous: { mode: 'off' } }),
  file({ synchronous: { mode: 'off', k: 0 } }),
  file({ synchronous: { mode: 'on' } }),
  file({ synchronous: { mode: 'strict', k: 2 } }),
  file({ synchronous: { mode: 'on', method: 'first', k: 1 } }),
  file({
    limits: { maxNodes: 15, maxLagBytes: 0, catchUpTimeoutMs: 1, joinTimeoutMs: 1, keptDataDirectories: 100 },
  }),
  file({ fencing: { mode: 'stop' } }),
  file({ tls: { mode: 'off' } }),
  file({
    tls: { mode: 'required', names: ['db.example.com', '*.db.example', '10.1.2.3'], lifetimeMs: 20_000 },
  }),
  file({ fencing: { mode: 'isolate', securityGroup: 'sg-0123abcd' } }),
  file({ settings: { 'pg_stat_statements.max': 1000, jit: false, random_page_cost: 1.1, search_path: '' } }),
];

/** What is refused, and the field that the refusal must name. */
const refused: readonly (readonly [string, unknown])[] = [
  ['tls', file({ tls: 'on' })],
  ['tls.mode', file({ tls: {} })],
  ['tls.mode', file({ tls: { mode: 'prefer' } })],
  ['tls.lifetimeMs', file({ tls: { mode: 'required', lifetimeMs: 19_999 } })],
  ['tls.names[0]', file({ tls: { mode: 'required', names: [''] } })],
  ['tls.names', file({ tls: { mode: 'required', names: Array(21).fill('db') } })],
  ['', null],
  ['', []],
  ['fencing', file({ fencing: 'stop' })],
  ['fencing.mode', file({ fencing: {} })],
  ['fencing.mode', file({ fencing: { mode: 'terminate' } })],
  ['fencing.securityGroup', file({ fencing: { mode: 'isolate' } })],
  ['fencing.securityGroup', file({ fencing: { mode: 'isolate', securityGroup: 'isolated' } })],
  ['fencing.securityGroup', file({ fencing: { mode: 'stop', securityGroup: 'sg-0123abcd' } })],
  ['cluster', { nodes }],
  ['cluster', file({ cluster: 'Main' })],
  ['hosts', file({ hosts: 'docker' })],
  ['volumeMb', file({ volumeMb: 255 })],
  ['cluster', file({ cluster: '' })],
  ['cluster', file({ cluster: `a${'-'.repeat(31)}` })],
  ['clutser', { clutser: 'main', ...file({}) }],
  ['$schema', file({ $schema: 1 })],
  ['postgresVersion', file({ postgresVersion: 12 })],
  ['postgresVersion', file({ postgresVersion: 19 })],
  ['postgresVersion', file({ postgresVersion: '15' })],
  ['postgresVersion', file({ postgresVersion: null })],
  ['nodes', { cluster: 'main' }],
  ['nodes', file({ nodes: [] })],
  ['nodes', file({ nodes: {} })],
  ['nodes', file({ nodes: Array.from({ length: 16 }, (_, index) => ({ id: `n${index}` })) })],
  ['nodes[0]', file({ nodes: ['node1'] })],
  ['nodes[0].id', file({ nodes: [{}] })],
  ['nodes[0].id', nodeWith({ id: 'node_1' })],
  ['nodes[0].id', nodeWith({ id: '1node' })],
  ['nodes[0].port', nodeWith({ port: 0 })],
  ['nodes[0].port', nodeWith({ port: 65_536 })],
  ['nodes[0].port', nodeWith({ port: null })],
  ['nodes[0].host', nodeWith({ host: 'x' })],
  ['nodes[0].tags.nofailover', nodeWith({ tags: { nofailover: 'yes' } })],
  ['nodes[0].tags.failoverPriority', nodeWith({ tags: { failoverPriority: -1 } })],
  ['nodes[0].tags.failoverPriority', nodeWith({ tags: { failoverPriority: 1001 } })],
  ['nodes[0].tags.noFailover', nodeWith({ tags: { noFailover: true } })],
  ['proxies', file({ proxies: null })],
  ['proxies', file({ proxies: Array.from({ length: 16 }, (_, index) => ({ id: `p${index}` })) })],
  ['proxies[0].id', file({ proxies: [{}] })],
  ['proxies[0].endpointPort', proxyWith({ endpointPort: 1.5 })],
  ['proxies[0].poolSize', proxyWith({ poolSize: 0 })],
  ['proxies[0].port', proxyWith({ port: 5432 })],
  ['lease', file({ lease: 5000 })],
  ['lease.heartbeatMs', file({ lease: { ttlMs: 5000 } })],
  ['lease.ttlMs', file({ lease: { ttlMs: 1999, heartbeatMs: 100 } })],
  ['lease.heartbeatMs', file({ lease: { ttlMs: 5000, heartbeatMs: 99 } })],
  ['lease.ttl', file({ lease: { ttlMs: 5000, heartbeatMs: 1000, ttl: 1 } })],
  ['synchronous.mode', file({ synchronous: {} })],
  ['synchronous.mode', file({ synchronous: { mode: 'remote_apply' } })],
  ['synchronous.method', file({ synchronous: { mode: 'on', method: 'all' } })],
  ['synchronous.k', file({ synchronous: { mode: 'off', k: 1 } })],
  ['synchronous.k', file({ synchronous: { mode: 'on', k: 0 } })],
  ['synchronous.k', file({ synchronous: { mode: 'on', k: null } })],
  ['limits.maxNodes', file({ limits: { maxNodes: 16 } })],
  ['limits.maxLagBytes', file({ limits: { maxLagBytes: -1 } })],
  ['limits.catchUpTimeoutMs', file({ limits: { catchUpTimeoutMs: 0 } })],
  ['limits.keptDataDirectories', file({ limits: { keptDataDirectories: 0 } })],
  ['limits.maxLag', file({ limits: { maxLag: 1 } })],
  ['actions', file({ actions: 'dynamodb' })],
  ['settings.work_mem', file({ settings: { work_mem: null } })],
  ['settings.work_mem', file({ settings: { work_mem: "1\nfsync = 'off'" } })],
  ['settings.work_mem = 1', file({ settings: { 'work_mem = 1': 1 } })],
  ...reservedSettings.map((name) => [`settings.${name}`, file({ settings: { [name]: 'x' } })] as const),
];

/** Rules between fields: only the parser knows them. */
const refusedByParserOnly: readonly (readonly [string, unknown])[] = [
  ['nodes[1].id', file({ nodes: [{ id: 'node1' }, { id: 'node1' }] })],
  ['proxies[0].id', file({ proxies: [{ id: 'node2' }] })],
  ['lease', file({ lease: { ttlMs: 2299, heartbeatMs: 1000 } })],
  ['synchronous.k', file({ synchronous: { mode: 'on', k: 3 } })],
  ['synchronous.mode', { cluster: 'main', nodes: [{ id: 'node1' }], synchronous: { mode: 'on' } }],
  ['limits.maxNodes', file({ limits: { maxNodes: 2 } })],
  ['tls.names[0]', file({ tls: { mode: 'required', names: ['db.example\nssl = off'] } })],
  ['tls.names[0]', file({ tls: { mode: 'required', names: ['db_1.example'] } })],
  ['tls.names[1]', file({ tls: { mode: 'required', names: ['db', '10.0.0.256'] } })],
  ['settings.ssl', file({ tls: { mode: 'required' }, settings: { ssl: false } })],
  [
    'nodes[0].settings.ssl_cert_file',
    file({ tls: { mode: 'required' }, nodes: [{ id: 'a', settings: { ssl_cert_file: '/x' } }] }),
  ],
];

describe('parser and schema', () => {
  test.each(accepted.map((example) => [JSON.stringify(example).slice(0, 120), example] as const))(
    'accept %s',
    (_text, example) => {
      expect(bySchema(example), JSON.stringify(bySchema.errors)).toBe(true);
      expect(refusal(example)).toBeNull();
    },
  );

  test.each(
    refused.map(([field, example]) => [field, JSON.stringify(example).slice(0, 120), example] as const),
  )('refuse, naming %s: %s', (field, _text, example) => {
    expect(bySchema(example)).toBe(false);
    expect(refusal(example)?.field).toBe(field);
  });
});

test.each(refusedByParserOnly)('the parser alone refuses, naming %s: %j', (field, example) => {
  expect(bySchema(example)).toBe(true);
  expect(refusal(example)?.field).toBe(field);
});

test('a refusal says what was found and what is taken instead', () => {
  expect(refusal(nodeWith({ port: 'x' }))?.message).toBe(
    'nodes[0].port was "x"; it takes a whole number from 1 to 65535',
  );
  expect(refusal(nodeWith({ prot: 5432 }))?.message).toBe(
    'nodes[0].prot was 5432; it takes nothing: nodes[0] has id, port, tags, settings (no other key)',
  );
});

test('what is not given has a default', () => {
  const example = readJson('../../examples/three-nodes.json');
  expect(bySchema(example)).toBe(true);
  const node = (id: string) => ({
    id,
    port: null,
    tags: { nofailover: false, failoverPriority: 0 },
    settings: {},
  });
  expect(parseClusterFile(example)).toEqual({
    cluster: 'main',
    postgresVersion: 15,
    nodes: [node('node1'), node('node2'), node('node3')],
    proxies: [
      {
        ...{ id: 'proxy1', endpointPort: null, pgbouncerPort: null, primaryPort: null },
        ...{ replicasPort: null, poolSize: 50 },
      },
    ],
    spec: {
      ...{ ttlMs: 2000, heartbeatMs: 500, maxNodes: 7, maxLagBytes: 16_777_216 },
      sync: { mode: 'off', method: 'any', k: 0 },
      ...{ catchUpTimeoutMs: 30_000, joinTimeoutMs: 300_000, keptDataDirectories: 1, failsafe: true },
      fencing: { mode: 'stop' },
      tls: { mode: 'off', names: [], lifetimeMs: 2_592_000_000 },
    },
    hosts: 'loopback',
    volumeMb: null,
    actions: 'both',
    settings: {},
  });
});

test('the defaults that the schema announces are those of the parser', () => {
  const parsed = parseClusterFile(file({}));
  const { properties } = schema as {
    properties: Record<string, { default?: unknown; properties?: Record<string, { default?: unknown }> }>;
  };
  const announced = (section: string) =>
    Object.fromEntries(
      Object.entries(properties[section]?.properties ?? {}).map(([key, value]) => [key, value.default]),
    );
  expect(parsed.spec).toMatchObject({ ...announced('lease'), ...announced('limits') });
  expect(parsed.postgresVersion).toBe(properties['postgresVersion']?.default);
  expect(parsed.actions).toBe(properties['actions']?.default);
  expect(parsed.spec.failsafe).toBe(properties['failsafe']?.default);
  expect(parsed.spec.tls).toEqual(properties['tls']?.default);
  expect(parsed.spec.tls).toMatchObject({ names: [], lifetimeMs: announced('tls')['lifetimeMs'] });
});

test('what is given is kept; settings become the text that PostgreSQL takes', () => {
  const parsed = parseClusterFile(
    file({
      ...{
        synchronous: { mode: 'on', method: 'first' },
        lease: { ttlMs: 5000, heartbeatMs: 1000 },
        limits: { maxNodes: 3 },
      },
      settings: { jit: false, wal_compression: true, work_mem: '4MB', max_connections: 100 },
      nodes: [{ id: 'a', port: 5433, tags: { failoverPriority: 3 }, settings: { jit: true } }, { id: 'b' }],
    }),
  );
  expect(parsed.spec).toMatchObject({
    sync: { mode: 'on', method: 'first', k: 1 },
    ttlMs: 5000,
    heartbeatMs: 1000,
    maxNodes: 3,
  });
  expect(parsed.settings).toEqual({
    jit: 'off',
    wal_compression: 'on',
    work_mem: '4MB',
    max_connections: '100',
  });
  expect(parsed.nodes[0]).toEqual({
    ...{ id: 'a', port: 5433, tags: { nofailover: false, failoverPriority: 3 }, settings: { jit: 'on' } },
  });
});

test('a cluster of more than seven nodes may have as many', () => {
  const many = Array.from({ length: 9 }, (_, index) => ({ id: `n${index}` }));
  expect(parseClusterFile(file({ nodes: many })).spec.maxNodes).toBe(9);
});

test('the names of a load balancer lose their capitals', () => {
  const names = ['Main-Balan-1XABC.elb.eu-west-1.amazonaws.com'];
  expect(parseClusterFile(file({ tls: { mode: 'required', names } })).spec.tls.names).toEqual([
    'main-balan-1xabc.elb.eu-west-1.amazonaws.com',
  ]);
});
