/**
 * The cluster file: what a person writes to get a cluster (`leasehold up examples/three-nodes.json`). Everything but the
 * names of nodes has a default. `spec/cluster.schema.json` publishes the same rules for editors; what a schema cannot
 * say (ids are unique, times fit one another, k fits the number of nodes) is checked only here.
 */
import { checkLeaseTimes } from '../lease/lease-clock.ts';
import { type ClusterSpec, defaultSpec } from '../model/cluster-record.ts';
import { defaultTags, type NodeTags } from '../model/node-report.ts';
import {
  type Fields,
  InvalidInput,
  type Reader,
  readBoolean,
  readId,
  readInteger,
  readKnownFields,
  readList,
  readOneOf,
  readOptional,
  readPort,
  readString,
} from './fields.ts';
import { readFencing } from './parse-fencing.ts';
import { synchronousMethods, synchronousModes } from './parse-lease.ts';
import { readTls } from './parse-tls.ts';
import { readSettings } from './read-settings.ts';

export interface NodeInFile {
  readonly id: string;
  /** PostgreSQL's port; null: the runtime chooses. */
  readonly port: number | null;
  readonly tags: NodeTags;
  readonly settings: Readonly<Record<string, string>>;
}

/** Ports that are null are chosen by the runtime. */
export interface ProxyInFile {
  readonly id: string;
  readonly endpointPort: number | null;
  readonly pgbouncerPort: number | null;
  readonly primaryPort: number | null;
  readonly replicasPort: number | null;
  readonly poolSize: number;
}

/** `loopback`: hosts share this machine's address. `netns`: each is a network namespace with an address of its own, which needs root. */
export const hostDrivers = ['loopback', 'netns'] as const;
export type HostDriverName = (typeof hostDrivers)[number];

export interface ClusterFile {
  readonly cluster: string;
  /** How the embedded runtime plays hosts. */
  readonly hosts: HostDriverName;
  /** The size of a data volume of its own for each database host, which needs root; null: a folder. */
  readonly volumeMb: number | null;
  readonly postgresVersion: number;
  readonly nodes: readonly NodeInFile[];
  readonly proxies: readonly ProxyInFile[];
  readonly spec: ClusterSpec;
  readonly actions: 'both' | 'run-command';
  /** postgresql.conf, for every node. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The embedded runtime's: every process is on one machine, so heartbeats are quick and cheap. */
export const embeddedLeaseTimes = { ttlMs: 2000, heartbeatMs: 500 } as const;

export const defaultPostgresVersion = 15;
const defaultPoolSize = 50;

/** Below it, the guard would kill (at 0.85 of the ttl) later than the stop budget of 300 ms before the deadline. */
const leastTtlMs = 2000;

/** More than this is a mistake: each synchronous name and slot costs the primary. */
export const mostNodes = 15;
const mostProxies = 15;
const mostMs = 3_600_000;

const proxyPorts = ['endpointPort', 'pgbouncerPort', 'primaryPort', 'replicasPort'] as const;

/** Throws InvalidInput naming the key, such as `nodes[1].port`. */
export function parseClusterFile(input: unknown): ClusterFile {
  const fields = readKnownFields(input, '', [
    '$schema',
    'cluster',
    'postgresVersion',
    'hosts',
    'volumeMb',
    'nodes',
    'proxies',
    'lease',
    'synchronous',
    'limits',
    'fencing',
    'failsafe',
    'tls',
    'actions',
    'settings',
  ]);
  readOptional(fields['$schema'], '$schema', readString, '');
  const nodes = readBounded(fields['nodes'], 'nodes', readNode, 1, mostNodes);
  const proxies = readBounded(given(fields['proxies'], []), 'proxies', readProxy, 0, mostProxies);
  refuseTwins([...pathsOf(nodes, 'nodes'), ...pathsOf(proxies, 'proxies')]);
  const spec = readSpec(fields, nodes.length);
  const settings = readSettings(fields['settings'], 'settings');
  if (spec.tls.mode === 'required') {
    refuseOwnTls(settings, 'settings');
    for (const [index, node] of nodes.entries()) refuseOwnTls(node.settings, `nodes[${index}].settings`);
  }
  return {
    cluster: readId(fields['cluster'], 'cluster'),
    hosts: readOneOf(given(fields['hosts'], 'loopback'), 'hosts', hostDrivers),
    volumeMb: readOptional<number | null>(fields['volumeMb'], 'volumeMb', readVolumeMb, null),
    postgresVersion: readInteger(
      given(fields['postgresVersion'], defaultPostgresVersion),
      'postgresVersion',
      13,
      18,
    ),
    nodes,
    proxies,
    spec,
    actions: readOneOf(given(fields['actions'], 'both'), 'actions', ['both', 'run-command']),
    settings,
  };
}

/** Where hosts' certificates are the control plane's, a file of one's own would put an end to renewal. */
function refuseOwnTls(settings: Readonly<Record<string, string>>, field: string): void {
  const name = Object.keys(settings).find((each) => /^ssl(_|$)/.test(each));
  if (name !== undefined)
    throw new InvalidInput(`${field}.${name}`, settings[name], 'nothing, because tls.mode is "required"');
}

function readNode(value: unknown, field: string): NodeInFile {
  const node = readKnownFields(value, field, ['id', 'port', 'tags', 'settings']);
  return {
    id: readId(node['id'], `${field}.id`),
    port: readOptional<number | null>(node['port'], `${field}.port`, readPort, null),
    tags: readOptional(node['tags'], `${field}.tags`, readTags, defaultTags),
    settings: readSettings(node['settings'], `${field}.settings`),
  };
}

function readTags(value: unknown, field: string): NodeTags {
  const tags = readKnownFields(value, field, ['nofailover', 'failoverPriority']);
  const priority = given(tags['failoverPriority'], defaultTags.failoverPriority);
  return {
    nofailover: readBoolean(given(tags['nofailover'], defaultTags.nofailover), `${field}.nofailover`),
    failoverPriority: readInteger(priority, `${field}.failoverPriority`, 0, 1000),
  };
}

function readProxy(value: unknown, field: string): ProxyInFile {
  const proxy = readKnownFields(value, field, ['id', ...proxyPorts, 'poolSize']);
  const port = (key: (typeof proxyPorts)[number]) =>
    readOptional<number | null>(proxy[key], `${field}.${key}`, readPort, null);
  return {
    id: readId(proxy['id'], `${field}.id`),
    endpointPort: port('endpointPort'),
    pgbouncerPort: port('pgbouncerPort'),
    primaryPort: port('primaryPort'),
    replicasPort: port('replicasPort'),
    poolSize: readInteger(given(proxy['poolSize'], defaultPoolSize), `${field}.poolSize`, 1, 10_000),
  };
}

function readSpec(fields: Fields, nodeCount: number): ClusterSpec {
  const limits = readKnownFields(given(fields['limits'], {}), 'limits', [
    'maxNodes',
    'maxLagBytes',
    'catchUpTimeoutMs',
    'joinTimeoutMs',
    'keptDataDirectories',
  ]);
  const limit = (
    key: Exclude<keyof ClusterSpec, 'sync' | 'fencing' | 'failsafe' | 'tls'>,
    least: number,
    most: number,
    fallback = defaultSpec[key],
  ) => readInteger(given(limits[key], fallback), `limits.${key}`, least, most);
  const spec = {
    ...readLeaseTimes(fields['lease']),
    sync: readSynchronous(fields['synchronous'], nodeCount),
    maxNodes: limit('maxNodes', 1, mostNodes, Math.max(defaultSpec.maxNodes, nodeCount)),
    maxLagBytes: limit('maxLagBytes', 0, Number.MAX_SAFE_INTEGER),
    catchUpTimeoutMs: limit('catchUpTimeoutMs', 1, mostMs),
    joinTimeoutMs: limit('joinTimeoutMs', 1, mostMs),
    keptDataDirectories: limit('keptDataDirectories', 1, 100),
    fencing: readOptional(fields['fencing'], 'fencing', readFencing, defaultSpec.fencing),
    failsafe: readBoolean(given(fields['failsafe'], defaultSpec.failsafe), 'failsafe'),
    tls: readOptional(fields['tls'], 'tls', readTls, defaultSpec.tls),
  };
  if (spec.maxNodes < nodeCount) {
    throw new InvalidInput('limits.maxNodes', spec.maxNodes, `at least ${nodeCount}, the number of nodes`);
  }
  return spec;
}

function readLeaseTimes(value: unknown): { ttlMs: number; heartbeatMs: number } {
  if (value === undefined) return embeddedLeaseTimes;
  const lease = readKnownFields(value, 'lease', ['ttlMs', 'heartbeatMs']);
  const times = {
    ttlMs: readInteger(lease['ttlMs'], 'lease.ttlMs', leastTtlMs, 300_000),
    heartbeatMs: readInteger(lease['heartbeatMs'], 'lease.heartbeatMs', 100, 60_000),
  };
  const wrong = checkLeaseTimes(times);
  if (wrong !== null) throw new InvalidInput('lease', times, `times that fit one another: ${wrong}`);
  return times;
}

function readSynchronous(value: unknown, nodeCount: number): ClusterSpec['sync'] {
  if (value === undefined) return defaultSpec.sync;
  const sync = readKnownFields(value, 'synchronous', ['mode', 'method', 'k']);
  const mode = readOneOf(sync['mode'], 'synchronous.mode', synchronousModes);
  const method = readOneOf(given(sync['method'], 'any'), 'synchronous.method', synchronousMethods);
  const k = readOptional<number | null>(sync['k'], 'synchronous.k', readWhole, null);
  if (mode === 'off') {
    if (k !== null && k !== 0)
      throw new InvalidInput('synchronous.k', k, '0 or nothing, because mode is "off"');
    return { mode, method, k: 0 };
  }
  const standbys = nodeCount - 1;
  if (standbys < 1) throw new InvalidInput('synchronous.mode', mode, '"off", because there is only one node');
  const wanted = k ?? 1;
  if (wanted < 1 || wanted > standbys) {
    throw new InvalidInput('synchronous.k', wanted, `1 to ${standbys}, the number of standbys`);
  }
  return { mode, method, k: wanted };
}

function readBounded<T>(
  value: unknown,
  field: string,
  read: (value: unknown, field: string) => T,
  least: number,
  most: number,
): T[] {
  const list = readList(value, field, read);
  if (list.length < least || list.length > most) {
    throw new InvalidInput(field, `${list.length} of them`, `${least} to ${most}`);
  }
  return list;
}

function pathsOf(hosts: readonly { id: string }[], field: string): { id: string; path: string }[] {
  return hosts.map(({ id }, index) => ({ id, path: `${field}[${index}].id` }));
}

/** Nodes and proxies share one space of names: each is a host. */
function refuseTwins(hosts: readonly { id: string; path: string }[]): void {
  const seen = new Map<string, string>();
  for (const { id, path } of hosts) {
    const twin = seen.get(id);
    if (twin !== undefined)
      throw new InvalidInput(path, id, `an id that no other host has (${twin} has this one)`);
    seen.set(id, path);
  }
}

/** Less has no room for PostgreSQL's write-ahead log. */
const readVolumeMb: Reader<number> = (value, field) => readInteger(value, field, 256, 1_048_576);

const readWhole: Reader<number> = (value, field) => readInteger(value, field);

/** Absent is `fallback`; null is a value, and refused by whoever reads it. */
function given(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value;
}
