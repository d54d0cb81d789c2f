/**
 * The network of a cluster with the driver `netns`, made real: namespaces, bridge, cables, addresses. Nothing of it is in the
 * machine's own namespace, whose addresses, routes and rules stay as they are; what crosses goes through the relay.
 *
 * A host whose power is cut is unplugged, so that its peers meet silence, as they would on EC2, not the resets that a kernel
 * sends for killed processes. Neighbours are written down for good, because on EC2 the network answers ARP for a dead host too.
 */
import {
  enter,
  existingNamespaces,
  type HostPlace,
  type NetworkPlan,
  namespacesOf,
  prefixLength,
} from './network-plan.ts';
import { applyRules, runTool, tablesOf } from './network-tools.ts';

const bridge = 'bridge0';
const cable = 'eth0';
/** Tables of faults start with this; a new runtime lifts what a killed one, or a killed test, left in force. */
export const faultTablePrefix = 'leasehold_fault_';
const isolationTable = 'leasehold_isolated';

/**
 * Connections are tracked from the first one on: rules which spare those that are established could not tell them apart
 * later.
 */
const trackingRules = `table inet leasehold_tracking {
  chain incoming {
    type filter hook input priority 0
    ct state established accept
  }
  chain outgoing {
    type filter hook output priority 0
    ct state established accept
  }
}
`;

/** As an EC2 security group without rules: what is established stays, nothing new passes either way. */
const isolationRules = `table inet ${isolationTable} {
  chain incoming {
    type filter hook input priority 10
    iifname "lo" accept
    ct state established,related accept
    drop
  }
  chain outgoing {
    type filter hook output priority 10
    oifname "lo" accept
    ct state established,related accept
    drop
  }
}
`;

export class ClusterNetwork {
  readonly plan: NetworkPlan;
  readonly #clusterFolder: string;

  constructor(clusterFolder: string, plan: NetworkPlan) {
    this.#clusterFolder = clusterFolder;
    this.plan = plan;
  }

  /** Whether all of it is there, as an earlier runtime left it with its hosts. */
  isThere(): boolean {
    const there = new Set(existingNamespaces(this.#clusterFolder));
    return namespacesOf(this.plan).every((name) => there.has(name));
  }

  /** Takes over what is there when it is whole; makes it anew otherwise. Only then may hosts run there that ran before. */
  async ensure(): Promise<void> {
    if (this.isThere()) {
      for (const id of Object.keys(this.plan.hosts)) await this.liftFaults(id);
      return;
    }
    await removeNetwork(this.#clusterFolder);
    await this.#makeRegion();
    for (const place of Object.values(this.plan.hosts)) await this.#makeHost(place);
  }

  /** The host's cable is in. */
  async plug(id: string): Promise<void> {
    const { namespace, bridgePort } = this.#place(id);
    await setOrphanRetries(namespace, 0);
    await this.#ip('link', 'set', bridgePort, 'up');
  }

  /** Nothing passes from or to the host any more, established connections included. */
  async unplug(id: string): Promise<void> {
    const { namespace, bridgePort } = this.#place(id);
    await this.#ip('link', 'set', bridgePort, 'down');
    // The kernel would go on sending what killed processes had written, even after the next boot: it gives up in under a second.
    await setOrphanRetries(namespace, 1);
  }

  /** Cuts, or allows again, new connections of the host in both directions. */
  async setIsolated(id: string, isolated: boolean): Promise<void> {
    const { namespace } = this.#place(id);
    const isIsolated = (await tablesOf(namespace)).includes(isolationTable);
    if (isolated === isIsolated) return;
    await applyRules(namespace, isolated ? isolationRules : `delete table inet ${isolationTable}\n`);
  }

  async liftFaults(id: string): Promise<void> {
    const { namespace } = this.#place(id);
    const faults = (await tablesOf(namespace)).filter((name) => name.startsWith(faultTablePrefix));
    await applyRules(namespace, faults.map((name) => `delete table inet ${name}\n`).join(''));
  }

  async #makeRegion(): Promise<void> {
    const { namespace, awsAddress, clientAddress, macAddress } = this.plan.region;
    await makeNamespace(namespace);
    await this.#ip('link', 'add', bridge, 'address', macAddress, 'type', 'bridge');
    for (const address of [awsAddress, clientAddress]) {
      await this.#ip('address', 'add', `${address}/${prefixLength}`, 'dev', bridge);
    }
    await this.#ip('link', 'set', bridge, 'up');
    for (const { address, macAddress: mac } of Object.values(this.plan.hosts)) {
      await runTool(neighbour(namespace, address, mac, bridge));
    }
  }

  async #makeHost(place: HostPlace): Promise<void> {
    const { namespace, address, macAddress, bridgePort } = place;
    await makeNamespace(namespace);
    const peer = ['peer', 'name', cable, 'address', macAddress, 'netns', namespace];
    await this.#ip('link', 'add', bridgePort, 'type', 'veth', ...peer);
    await this.#ip('link', 'set', bridgePort, 'master', bridge);
    await runTool(['ip', '-n', namespace, 'address', 'add', `${address}/${prefixLength}`, 'dev', cable]);
    await runTool(['ip', '-n', namespace, 'link', 'set', cable, 'up']);
    const { region, hosts } = this.plan;
    for (const one of Object.values(hosts)) {
      if (one !== place) await runTool(neighbour(namespace, one.address, one.macAddress, cable));
    }
    for (const one of [region.awsAddress, region.clientAddress]) {
      await runTool(neighbour(namespace, one, region.macAddress, cable));
    }
    await applyRules(namespace, trackingRules);
  }

  #ip(...args: string[]): Promise<string> {
    return runTool(['ip', '-n', this.plan.region.namespace, ...args]);
  }

  #place(id: string): HostPlace {
    const place = this.plan.hosts[id];
    if (place === undefined) throw new Error(`the host ${id} has no place in the network`);
    return place;
  }
}

async function makeNamespace(name: string): Promise<void> {
  await runTool(['ip', 'netns', 'add', name]);
  await runTool(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
}

function neighbour(namespace: string, address: string, mac: string, device: string): [string, ...string[]] {
  return [
    'ip',
    '-n',
    namespace,
    'neighbour',
    'replace',
    address,
    'lladdr',
    mac,
    'dev',
    device,
    'nud',
    'permanent',
  ];
}

/** How often the kernel sends anew what a process wrote that is gone; 0 is its default. */
async function setOrphanRetries(namespace: string, count: 0 | 1): Promise<void> {
  const [program, ...args] = enter(namespace);
  const file = '/proc/sys/net/ipv4/tcp_orphan_retries';
  await runTool([program, ...args, 'sh', '-c', `echo ${count} > ${file}`]);
}

/** Removes every namespace that has this cluster's name; cables and addresses go with them. */
export async function removeNetwork(clusterFolder: string): Promise<void> {
  for (const name of existingNamespaces(clusterFolder)) await runTool(['ip', 'netns', 'delete', name]);
}

/** Why hosts cannot have namespaces of their own here, in words; null when they can. */
export async function netnsProblem(): Promise<string | null> {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  try {
    await runTool(['nsenter', '--version']);
    await runTool(['nft', '--version']);
    // In a namespace that lasts only as long as the command: whether the kernel and this user's rights allow it.
    const trial =
      'ip link add lh0 type veth peer name lh1 && ip link add lh2 type bridge && nft add table inet lh';
    await runTool(['unshare', '--net', 'sh', '-c', trial]);
    return null;
  } catch (error) {
    return `network namespaces cannot be made here (Debian packages: iproute2, nftables, util-linux): ${(error as Error).message}`;
  }
}
