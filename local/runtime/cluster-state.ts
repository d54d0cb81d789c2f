/**
 * What a cluster of the embedded runtime keeps from one start to the next: its ports, secrets, instance ids and the folder of
 * its hosts. Made once and then only added to, so that the same cluster comes back with its data after everything was killed.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunAs } from '../../adapters/process.ts';
import type { ClusterFolder } from '../../cli/cluster/cluster-folder.ts';
import type { HostSecrets } from '../../core/model/host-config.ts';
import type { HostDriverName } from '../../core/wire/parse-cluster-file.ts';
import { chooseFreePort, isPortFree } from './free-ports.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import { canEnter } from './unprivileged-user.ts';

export interface HostState {
  readonly instanceId: string;
  /** By purpose, such as `postgres` or `rest`. */
  readonly ports: Readonly<Record<string, number>>;
}

export interface ClusterState {
  readonly cluster: string;
  /** Under which driver its hosts ran last; absent: `loopback`. */
  readonly driver?: HostDriverName;
  /** Absolute; below the cluster's folder, or a folder of its own under $TMPDIR. */
  readonly hostsFolder: string;
  readonly awsPort: number;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly secrets: HostSecrets;
  readonly hosts: Readonly<Record<string, HostState>>;
}

/** A host as the cluster file wants it: for each purpose a fixed port, or null for one that is free. */
export interface WantedHost {
  readonly id: string;
  readonly ports: Readonly<Record<string, number | null>>;
}

/** `/data/s/.s.PGSQL.65535` and the like, with room to spare. */
const longestSocketName = 32;

/** A fault of the machine or of the cluster file that its owner can mend; the message says how. */
export class CannotStart extends Error {}

export function readClusterState(folder: ClusterFolder): ClusterState | null {
  return readJsonFile<ClusterState>(folder.state);
}

export function writeClusterState(folder: ClusterFolder, state: ClusterState): void {
  writeJsonFile(folder.state, state, { durable: true });
}

/** True when the hosts live outside the project, in a folder that goes away with `down`. */
export function isTemporary(folder: ClusterFolder, state: ClusterState): boolean {
  return state.hostsFolder !== folder.hosts;
}

/** The state of a new cluster. Makes the folder of its hosts, where `runAs` can reach it. */
export function newClusterState(
  folder: ClusterFolder,
  hosts: readonly WantedHost[],
  runAs: RunAs | null,
): ClusterState {
  const secret = () => randomBytes(18).toString('base64url');
  return {
    cluster: folder.cluster,
    hostsFolder: makeHostsFolder(folder, hosts, runAs),
    awsPort: 0,
    accessKeyId: `LOCAL${randomBytes(8).toString('hex').toUpperCase().slice(0, 15)}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
    secrets: {
      superuser: { name: 'postgres', password: secret() },
      replication: { name: 'leasehold_replication', password: secret() },
      cluster: secret(),
    },
    hosts: {},
  };
}

function makeHostsFolder(folder: ClusterFolder, hosts: readonly WantedHost[], runAs: RunAs | null): string {
  mkdirSync(folder.hosts, { recursive: true, mode: 0o755 });
  if (socketFits(folder.hosts, hosts) && canEnter(folder.hosts, runAs)) return folder.hosts;
  rmSync(folder.hosts, { recursive: true, force: true });
  const temporary = realpathSync(mkdtempSync(join(tmpdir(), `leasehold-${folder.cluster}-`)));
  // mkdtemp gives 0700. Others may pass through now, but not list it; what holds secrets inside is their owner's alone.
  chmodSync(temporary, 0o711);
  if (canEnter(temporary, runAs)) return temporary;
  rmSync(temporary, { recursive: true, force: true });
  throw new CannotStart(
    `the user that PostgreSQL runs as can enter neither ${folder.hosts} nor ${tmpdir()}: set TMPDIR to a folder that it can enter`,
  );
}

/** A Unix socket's path has at most 107 bytes, and PostgreSQL, the agent and the proxies have theirs below their host's folder. */
function socketFits(hostsFolder: string, hosts: readonly WantedHost[]): boolean {
  return hosts.every(({ id }) => Buffer.byteLength(join(hostsFolder, id)) + longestSocketName <= 107);
}

/**
 * The same state with instance id and ports for every wanted host. A kept port stays unless the cluster file fixes another or
 * somebody else uses it now; `inUse` are the hosts that are running, whose ports are theirs. Throws CannotStart when a port
 * that the cluster file fixes is taken.
 */
export async function withHosts(
  state: ClusterState,
  wanted: readonly WantedHost[],
  inUse: ReadonlySet<string>,
): Promise<ClusterState> {
  const taken = new Set<number>([state.awsPort]);
  for (const { ports } of wanted) for (const port of Object.values(ports)) if (port !== null) taken.add(port);
  for (const host of Object.values(state.hosts))
    for (const port of Object.values(host.ports)) taken.add(port);
  const hosts: Record<string, HostState> = { ...state.hosts };
  for (const host of wanted) {
    const known = state.hosts[host.id];
    const ports: Record<string, number> = {};
    for (const [purpose, fixed] of Object.entries(host.ports)) {
      const running = inUse.has(host.id) ? known?.ports[purpose] : undefined;
      ports[purpose] = running ?? (await portFor(host.id, purpose, fixed, known?.ports[purpose], taken));
    }
    hosts[host.id] = { instanceId: known?.instanceId ?? `i-0${randomBytes(8).toString('hex')}`, ports };
  }
  return { ...state, hosts };
}

async function portFor(
  host: string,
  purpose: string,
  fixed: number | null,
  kept: number | undefined,
  taken: Set<number>,
): Promise<number> {
  const wanted = fixed ?? kept;
  if (wanted !== undefined && (await isFree(wanted))) return wanted;
  if (fixed === null) return chooseFreePort(taken);
  throw new CannotStart(`port ${fixed}, which the cluster file gives to ${host} (${purpose}), is in use`);
}

/** The kept port if it is free, else another; 0 stands for none yet. */
export async function keepOrChoosePort(kept: number): Promise<number> {
  return kept !== 0 && (await isFree(kept)) ? kept : chooseFreePort(new Set());
}

async function isFree(port: number): Promise<boolean> {
  return (await isPortFree(port, 'tcp')) && (await isPortFree(port, 'udp'));
}
