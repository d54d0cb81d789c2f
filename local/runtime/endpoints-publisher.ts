/**
 * Keeps endpoints.json true: writes it anew, at once, whenever a process of a host has changed. Agents and workers are the
 * runtime's own and are known at once; guards and postmasters are looked up in the files they leave, several times a second.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  isProcessAlive,
  processExecutable,
  processTitle,
  processWorkingDirectory,
} from '../../adapters/process.ts';
import { tlsFilesIn } from '../../adapters/tls/tls-folder.ts';
import type { ClusterFolder } from '../../cli/cluster/cluster-folder.ts';
import type { Endpoints, NodeEndpoints } from '../../cli/cluster/endpoints.ts';
import { type ClusterState, isTemporary } from './cluster-state.ts';
import type { Host } from './host-driver.ts';
import { type HostSurroundings, hostState, portOf } from './host-files.ts';
import { writeJsonFile } from './json-file.ts';

type Login = ClusterState['secrets']['superuser'];

const lookEveryMs = 200;
const loopback = '127.0.0.1';
const database = 'postgres';

export interface EndpointsPublisher {
  /** Looks now, and writes when something has changed. */
  publish(): void;
  /** Stops looking and removes the file: nothing is reached any more. */
  close(): void;
}

export function startEndpointsPublisher(
  folder: ClusterFolder,
  surroundings: HostSurroundings,
  hosts: readonly Host[],
  /** As whom clients log in now: the superuser's secret is rotated. */
  superuser: () => Login,
): EndpointsPublisher {
  let written = '';
  let trusted = '';
  const publish = () => {
    if (surroundings.file.spec.tls.mode === 'required') trusted = publishAuthorities(folder, hosts, trusted);
    const endpoints = endpointsOf(folder, surroundings, hosts, superuser());
    const text = JSON.stringify(endpoints);
    if (text === written) return;
    written = text;
    writeJsonFile(folder.endpoints, endpoints);
  };
  publish();
  const timer = setInterval(publish, lookEveryMs);
  return {
    publish,
    close() {
      clearInterval(timer);
      rmSync(folder.endpoints, { force: true });
    },
  };
}

function endpointsOf(
  folder: ClusterFolder,
  surroundings: HostSurroundings,
  hosts: readonly Host[],
  superuser: Login,
): Endpoints {
  const { cluster } = folder;
  const { state, region, awsEndpointUrl, tableName, stateMachineArn, documents, file } = surroundings;
  const proxy = file.proxies[0];
  const authorities = file.spec.tls.mode === 'required' ? folder.authorities : null;
  const dsnAt = (port: number) => dsn(superuser, port, authorities);
  const proxyDsn = (purpose: string) =>
    proxy === undefined ? '' : dsnAt(portOf(hostState(state, proxy.id).ports, purpose));
  return {
    cluster,
    region,
    awsEndpointUrl,
    accessKeyId: state.accessKeyId,
    secretAccessKey: state.secretAccessKey,
    tableName,
    stateMachineArn,
    documents,
    dsn: {
      endpoint: proxyDsn('endpoint'),
      pgbouncer: proxyDsn('pgbouncer'),
      primary: proxyDsn('primary'),
      replicas: proxyDsn('replicas'),
      nodes: Object.fromEntries(
        file.nodes.map(({ id }) => [id, dsnAt(portOf(hostState(state, id).ports, 'postgres'))]),
      ),
    },
    nodes: Object.fromEntries(
      hosts.filter(({ role }) => role === 'database').map((host) => [host.id, nodeEndpoints(state, host)]),
    ),
  };
}

/** `authorities`: the file of those whom clients have to trust; null: without TLS. */
function dsn({ name, password }: Login, port: number, authorities: string | null): string {
  const query =
    authorities === null ? '' : `?sslmode=verify-full&sslrootcert=${encodeURIComponent(authorities)}`;
  return `postgres://${encodeURIComponent(name)}:${encodeURIComponent(password)}@${loopback}:${port}/${database}${query}`;
}

/** Copies what any host trusts to where clients of this machine look for it; returns it. */
function publishAuthorities(folder: ClusterFolder, hosts: readonly Host[], before: string): string {
  for (const host of hosts) {
    const file = tlsFilesIn(join(host.folder, 'tls')).authorities;
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    if (text !== before) writeFileSync(folder.authorities, text);
    return text;
  }
  return before;
}

function nodeEndpoints(state: ClusterState, host: Host): NodeEndpoints {
  return {
    restUrl: `http://${loopback}:${portOf(hostState(state, host.id).ports, 'rest')}`,
    instanceId: host.instanceId,
    agentPid: host.agent.pid,
    guardPid: guardPid(host.folder),
    ssmPid: host.worker?.pid ?? null,
    postmasterPid: postmasterPid(host.folder),
  };
}

/** The guard leaves its pid beside the FIFO it reads. */
function guardPid(folder: string): number | null {
  const fifo = join(folder, 'run', 'guard.fifo');
  const pid = pidIn(`${fifo}.pid`);
  return pid !== null && isProcessAlive(pid) && processTitle(pid).includes(fifo) ? pid : null;
}

function postmasterPid(folder: string): number | null {
  const dataDirectory = join(folder, 'data', 'pgdata');
  const pid = pidIn(join(dataDirectory, 'postmaster.pid'));
  return pid !== null && isPostmaster(pid, dataDirectory) ? pid : null;
}

/** A pid file may be left over, and its pid be somebody else's by now. */
function isPostmaster(pid: number, dataDirectory: string): boolean {
  if (!isProcessAlive(pid)) return false;
  const program = processExecutable(pid);
  if (program !== null && !basename(program).startsWith('postgres')) return false;
  const workingDirectory = processWorkingDirectory(pid);
  return workingDirectory === null
    ? processTitle(pid).includes(dataDirectory)
    : workingDirectory === dataDirectory;
}

function pidIn(path: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(path, 'latin1'), 10);
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch {
    return null;
  }
}

/** What a person must be told about where data is; null when it is where it is expected. */
export function dataFolderNotice(folder: ClusterFolder, state: ClusterState): string | null {
  if (!isTemporary(folder, state)) return null;
  return `PostgreSQL's user cannot reach ${folder.path}: data goes to ${state.hostsFolder}, and is removed by \`leasehold down\``;
}
