/**
 * How the hosts of a cluster with the driver `netns` are connected: one network namespace a host, each by a cable of its own to a
 * bridge in one more namespace, the region. Names are derived from the cluster's folder, so that what a killed runtime left is
 * found again. No two clusters share a bridge: all of them use the same addresses.
 */
import { createHash } from 'node:crypto';
import { readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** One host's place in the network. */
export interface HostPlace {
  readonly namespace: string;
  readonly address: string;
  readonly macAddress: string;
  /** The bridge's end of its cable, in the region's namespace. */
  readonly bridgePort: string;
}

export interface NetworkPlan {
  readonly region: {
    readonly namespace: string;
    /** Where hosts reach AWS. */
    readonly awsAddress: string;
    /** Where clients of this machine come from, as hosts see them. */
    readonly clientAddress: string;
    readonly macAddress: string;
  };
  readonly hosts: Readonly<Record<string, HostPlace>>;
}

/** Where iproute2 keeps the names of network namespaces. */
const namespacesFolder = '/run/netns';
const subnet = '10.77.0';
export const prefixLength = 24;
const firstHost = 11;
const mostHosts = 240;
const regionMac = '02:00:0a:4d:00:01';

/** What every namespace's name of this cluster starts with; the region's is this name itself. */
export function namespacePrefix(clusterFolder: string): string {
  const digest = createHash('sha256').update(realpathSync(clusterFolder)).digest('hex');
  return `leasehold-${digest.slice(0, 8)}`;
}

/** `hosts` in an order that never changes: a host keeps its address. Throws when there are more than addresses. */
export function planNetwork(clusterFolder: string, hosts: readonly string[]): NetworkPlan {
  if (hosts.length > mostHosts)
    throw new Error(`${hosts.length} hosts are more than the ${mostHosts} addresses`);
  const prefix = namespacePrefix(clusterFolder);
  return {
    region: {
      namespace: prefix,
      awsAddress: `${subnet}.1`,
      clientAddress: `${subnet}.2`,
      macAddress: regionMac,
    },
    hosts: Object.fromEntries(hosts.map((id, index) => [id, placeOf(prefix, id, firstHost + index)])),
  };
}

function placeOf(prefix: string, id: string, number: number): HostPlace {
  return {
    namespace: `${prefix}-${id}`,
    address: `${subnet}.${number}`,
    macAddress: `02:00:0a:4d:00:${number.toString(16).padStart(2, '0')}`,
    bridgePort: `host${number}`,
  };
}

export function namespacesOf(plan: NetworkPlan): string[] {
  return [plan.region.namespace, ...Object.values(plan.hosts).map(({ namespace }) => namespace)];
}

/** The namespaces of that cluster which exist now, whoever left them. */
export function existingNamespaces(clusterFolder: string): string[] {
  const prefix = namespacePrefix(clusterFolder);
  try {
    return readdirSync(namespacesFolder).filter((name) => name === prefix || name.startsWith(`${prefix}-`));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** What a command line starts with to run in that namespace; its process stays the same one, and sees the same files and pids. */
export function enter(namespace: string): readonly [string, ...string[]] {
  return ['nsenter', `--net=${join(namespacesFolder, namespace)}`, '--'];
}
