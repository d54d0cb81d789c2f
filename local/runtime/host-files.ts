/**
 * What a host of the embedded runtime finds on its disk when it boots, as cloud-init would write it on EC2: its
 * configuration, its environment, and `leasehold-agent`, which Run Command's documents call.
 */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RunAs } from '../../adapters/process.ts';
import type { ProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import { agentNodeOptions } from '../../agent/node-options.ts';
import type { DatabaseHostConfig, ProxyHostConfig, SecretIds } from '../../core/model/host-config.ts';
import type { ClusterFile, NodeInFile, ProxyInFile } from '../../core/wire/parse-cluster-file.ts';
import type { SsmWorkerConfig } from '../ssm-worker.ts';
import type { ClusterState, HostState, WantedHost } from './cluster-state.ts';
import type { HostPrograms } from './host-driver.ts';
import { writeJsonFile } from './json-file.ts';
import { enter, type HostPlace, type NetworkPlan } from './netns/network-plan.ts';
import { hostMark } from './process-family.ts';
import { mountVolume, volumePlace } from './volume.ts';

/** What all hosts of a cluster share. */
export interface HostSurroundings {
  readonly file: ClusterFile;
  readonly state: ClusterState;
  readonly region: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  /** Names of Run Command's documents. */
  readonly documents: { readonly runAction: string; readonly fence: string; readonly upgrade?: string };
  /** For programs of this machine. */
  readonly awsEndpointUrl: string;
  /** The hosts' own network; null: all of them are on the loopback address. */
  readonly network: NetworkPlan | null;
  readonly binDir: string;
  readonly proxyPrograms: Extract<ProxyPrograms, { kind: 'found' }> | null;
  readonly runAs: RunAs | null;
  /** `main.mjs` of the agent's bundle. */
  readonly agentBundle: string;
  /** The worker that plays the SSM agent; null where Run Command is somebody else's. */
  readonly workerScript: string | null;
  /** Where Secrets Manager keeps the hosts' secrets; null where that is somebody else's, who rotates nothing here. */
  readonly secretIds: SecretIds | null;
  /** Where pids are left for a later runtime. */
  readonly processesFolder: string;
}

const loopback = '127.0.0.1';

/** The address under which a host is reached by the others. */
export function hostAddress(network: NetworkPlan | null, id: string): string {
  return network === null ? loopback : placeOf(network, id).address;
}

function placeOf(network: NetworkPlan, id: string): HostPlace {
  const place = network.hosts[id];
  if (place === undefined) throw new Error(`the host ${id} has no place in the network`);
  return place;
}

/** Where a host finds AWS. */
function hostsAwsUrl({ network, state, awsEndpointUrl }: HostSurroundings): string {
  return network === null ? awsEndpointUrl : `http://${network.region.awsAddress}:${state.awsPort}`;
}

/** The hosts of a cluster file with the ports each needs. */
export function wantedHosts(file: ClusterFile): WantedHost[] {
  const nodes = file.nodes.map(({ id, port }) => ({ id, ports: { postgres: port, rest: null, wake: null } }));
  const proxies = file.proxies.map((proxy) => ({
    id: proxy.id,
    ports: {
      endpoint: proxy.endpointPort,
      pgbouncer: proxy.pgbouncerPort,
      primary: proxy.primaryPort,
      replicas: proxy.replicasPort,
      rest: null,
      wake: null,
    },
  }));
  return [...nodes, ...proxies];
}

/** Writes the files of every host and says what is to run on each, database hosts first. */
export function prepareHosts(surroundings: HostSurroundings): HostPrograms[] {
  const { file } = surroundings;
  return [
    ...file.nodes.map((node) => prepareHost(surroundings, databaseConfig(surroundings, node))),
    ...file.proxies.map((proxy) => prepareHost(surroundings, proxyConfig(surroundings, proxy))),
  ];
}

function commonConfig({ file, state, ...surroundings }: HostSurroundings, id: string) {
  const { instanceId, ports } = hostState(state, id);
  return {
    cluster: file.cluster,
    node: id,
    instanceId,
    region: surroundings.region,
    tableName: surroundings.tableName,
    stateMachineArn: surroundings.stateMachineArn,
    folder: join(state.hostsFolder, id),
    host: hostAddress(surroundings.network, id),
    restPort: portOf(ports, 'rest'),
    wakePort: portOf(ports, 'wake'),
    runAs: surroundings.runAs,
    actions: file.actions,
    secrets: state.secrets,
    secretIds: surroundings.secretIds,
  };
}

function databaseConfig(surroundings: HostSurroundings, node: NodeInFile): DatabaseHostConfig {
  const { ports } = hostState(surroundings.state, node.id);
  return {
    ...commonConfig(surroundings, node.id),
    role: 'database',
    tags: node.tags,
    // Several hosts share this machine, and no test may reset it.
    watchdog: null,
    postgres: {
      binDir: surroundings.binDir,
      port: portOf(ports, 'postgres'),
      listen: hostAddress(surroundings.network, node.id),
      settings: { ...surroundings.file.settings, ...node.settings },
    },
  };
}

function proxyConfig(surroundings: HostSurroundings, proxy: ProxyInFile): ProxyHostConfig {
  const { proxyPrograms, state } = surroundings;
  if (proxyPrograms === null) throw new Error('a cluster file with proxies needs HAProxy and PgBouncer');
  const { ports } = hostState(state, proxy.id);
  return {
    ...commonConfig(surroundings, proxy.id),
    role: 'proxy',
    haproxyBin: proxyPrograms.haproxy.path,
    pgbouncerBin: proxyPrograms.pgbouncer.path,
    ports: {
      endpoint: portOf(ports, 'endpoint'),
      pgbouncer: portOf(ports, 'pgbouncer'),
      primary: portOf(ports, 'primary'),
      replicas: portOf(ports, 'replicas'),
    },
    poolSize: proxy.poolSize,
  };
}

export function hostState(state: ClusterState, id: string): HostState {
  const host = state.hosts[id];
  if (host === undefined) throw new Error(`there is no state of the host ${id}`);
  return host;
}

export function portOf(ports: HostState['ports'], purpose: string): number {
  const port = ports[purpose];
  if (port === undefined) throw new Error(`there is no ${purpose} port`);
  return port;
}

function prepareHost(
  surroundings: HostSurroundings,
  config: DatabaseHostConfig | ProxyHostConfig,
): HostPrograms {
  const { folder, node: id } = config;
  const { processesFolder, agentBundle } = surroundings;
  mkdirSync(join(folder, 'bin'), { recursive: true, mode: 0o755 });
  if (config.role === 'database') makeVolume(folder, surroundings);
  const configFile = join(folder, 'config.json');
  writeJsonFile(configFile, config);
  const environment = hostEnvironment(surroundings, folder);
  const { network } = surroundings;
  const inItsNetwork = network === null ? [] : enter(placeOf(network, id).namespace);
  writeWrapper(folder, { bundle: agentBundle, configFile, environment, inItsNetwork });
  const workerConfig: SsmWorkerConfig = {
    instanceId: config.instanceId,
    endpoint: hostsAwsUrl(surroundings),
    environment,
    workFolder: join(folder, 'ssm'),
    accessKeyId: surroundings.state.accessKeyId,
  };
  const workerConfigFile = join(folder, 'ssm-worker.json');
  mkdirSync(workerConfig.workFolder, { recursive: true, mode: 0o700 });
  writeJsonFile(workerConfigFile, workerConfig);
  const program = (name: string, words: readonly [string, ...string[]], configuration: unknown) => ({
    name: `${id} ${name}`,
    argv: inItsPlace(inItsNetwork, words),
    env: environment,
    cwd: folder,
    logFile: join(folder, `${name}.log`),
    pidFile: join(processesFolder, `${id}-${name}.json`),
    revision: createHash('sha256')
      .update(JSON.stringify([inItsNetwork, words, environment, configuration]))
      .digest('hex'),
  });
  return {
    id,
    role: config.role,
    instanceId: config.instanceId,
    folder,
    agent: program(
      'agent',
      [process.execPath, ...agentNodeOptions, agentBundle, 'run', '--config', configFile],
      config,
    ),
    worker:
      surroundings.workerScript === null
        ? null
        : program(
            'ssm-worker',
            [process.execPath, surroundings.workerScript, workerConfigFile],
            workerConfig,
          ),
  };
}

function inItsPlace(
  inItsNetwork: readonly string[],
  words: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  const [first, ...rest] = inItsNetwork;
  return first === undefined ? words : [first, ...rest, ...words];
}

/** Where the data volume would be mounted: PostgreSQL's user makes its directories there. */
function makeVolume(hostFolder: string, { file, runAs }: HostSurroundings): void {
  const place = volumePlace(hostFolder);
  const { folder } = place;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (file.volumeMb !== null) mountVolume(place, file.volumeMb, runAs);
  if (runAs !== null) chownSync(folder, runAs.uid, runAs.gid);
}

/** What every process of a host starts with; nothing of the runtime's own environment but where programs are. */
function hostEnvironment(surroundings: HostSurroundings, folder: string): Record<string, string> {
  const { state, region } = surroundings;
  return {
    PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? '/usr/bin:/bin'}`,
    LANG: 'C.UTF-8',
    AWS_ENDPOINT_URL: hostsAwsUrl(surroundings),
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: state.accessKeyId,
    AWS_SECRET_ACCESS_KEY: state.secretAccessKey,
    // Named in each request: whose it was.
    AWS_SDK_UA_APP_ID: basename(folder),
    [hostMark]: folder,
    // Where artifacts of the agent would be unpacked: not in the machine's own /opt.
    LEASEHOLD_OPT: join(folder, 'opt'),
  };
}

/** `leasehold-agent`, as it is in PATH on a host: the same command for Run Command's documents and for a person. */
function writeWrapper(
  folder: string,
  agent: {
    bundle: string;
    configFile: string;
    environment: Readonly<Record<string, string>>;
    /** A person calls it from the machine's own network. */
    inItsNetwork: readonly string[];
  },
): void {
  const environmentFile = join(folder, 'environment');
  const exports = Object.entries(agent.environment).map(
    ([name, value]) => `export ${name}=${quoted(value)}\n`,
  );
  writeFileSync(environmentFile, exports.join(''), { mode: 0o600 });
  const path = join(folder, 'bin', 'leasehold-agent');
  const command = (...words: string[]) => [...agent.inItsNetwork, ...words].map(quoted).join(' ');
  const lines = [
    '#!/bin/sh',
    '# The agent of this host, as Run Command and people call it.',
    `. ${quoted(environmentFile)}`,
    'command=$1',
    'shift',
    'if [ "$command" = run-action ]; then',
    '  # --operation O --action A',
    `  exec ${command('/bin/bash', join(dirname(agent.bundle), 'run-action.sh'))} ${quoted(join(folder, 'run', 'control'))} "$2" "$4"`,
    'fi',
    `exec ${command(process.execPath, agent.bundle)} "$command" --config ${quoted(agent.configFile)} "$@"`,
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
