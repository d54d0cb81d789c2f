/**
 * The network of a starting cluster, whichever driver its hosts have: what an earlier runtime left is taken over where it fits
 * and removed where it does not; then namespaces and relay come up, and go down with the cluster. With `loopback` there is none.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ClusterFolder } from '../../../cli/cluster/cluster-folder.ts';
import type { HostDriverName } from '../../../core/wire/parse-cluster-file.ts';
import { CannotStart, type ClusterState, type WantedHost } from '../cluster-state.ts';
import { writeJsonFile } from '../json-file.ts';
import { endLeftOvers } from '../left-overs.ts';
import { log } from '../runtime-report.ts';
import { ClusterNetwork, netnsProblem, removeNetwork } from './cluster-network.ts';
import { existingNamespaces, planNetwork } from './network-plan.ts';
import { RelayProcess } from './relay-process.ts';

/**
 * Before anything else of a cluster is touched: throws CannotStart where the driver cannot work. Hosts that still run, but not in
 * the network that this driver will give them, are ended: a PostgreSQL in a network of yesterday would be reached by nobody.
 */
export async function clearTheGround(
  folder: ClusterFolder,
  driver: HostDriverName,
  kept: ClusterState | null,
  wanted: readonly WantedHost[],
): Promise<void> {
  if (driver === 'netns') {
    const problem = await netnsProblem();
    if (problem !== null) throw new CannotStart(`hosts: "netns": ${problem}; "loopback" needs nothing`);
  }
  const fits =
    driver === 'loopback'
      ? existingNamespaces(folder.path).length === 0
      : networkOf(folder, [...Object.keys(kept?.hosts ?? {}), ...wanted.map(({ id }) => id)]).isThere();
  if (kept !== null && (!fits || (kept.driver ?? 'loopback') !== driver)) {
    const ended = await endLeftOvers(kept);
    if (ended > 0) log('warn', 'ended what ran in another network', { processes: ended });
  }
  if (!fits) await removeNetwork(folder.path);
}

function networkOf(folder: ClusterFolder, ids: readonly string[]): ClusterNetwork {
  return new ClusterNetwork(folder.path, planNetwork(folder.path, [...new Set(ids)]));
}

/** Null for `loopback`. Takes over namespaces that are there with their hosts, makes them otherwise; faults are lifted. */
export async function openNetwork(
  folder: ClusterFolder,
  driver: HostDriverName,
  state: ClusterState,
): Promise<ClusterNetwork | null> {
  if (driver === 'loopback') {
    rmSync(folder.network, { force: true });
    return null;
  }
  const network = networkOf(folder, Object.keys(state.hosts));
  await network.ensure();
  writeJsonFile(folder.network, network.plan);
  return network;
}

export interface OpenRelay {
  readonly relay: RelayProcess;
  close(): void;
}

/** Hosts reach AWS and this machine's programs reach hosts when it resolves. `accept` serves a host's connection to AWS. */
export async function openRelay(
  folder: ClusterFolder,
  { plan }: ClusterNetwork,
  state: ClusterState,
  accept: (socket: Socket) => void,
): Promise<OpenRelay> {
  // Beside the hosts, where a socket's path is known to be short enough.
  const socketPath = join(state.hostsFolder, 'aws.sock');
  const server = await listenAt(socketPath, accept);
  const ports = Object.entries(state.hosts).flatMap(([id, host]) =>
    Object.entries(host.ports).flatMap(([purpose, port]) =>
      purpose === 'wake' ? [] : [{ port, host: plan.hosts[id]?.address ?? '' }],
    ),
  );
  const { namespace, awsAddress, clientAddress } = plan.region;
  const relay = await RelayProcess.start({
    namespace,
    clientAddress,
    aws: { host: awsAddress, port: state.awsPort, socketPath },
    ports,
    logFile: join(folder.path, 'relay.log'),
    log,
  });
  return {
    relay,
    close() {
      relay.close();
      server.close();
      rmSync(socketPath, { force: true });
    },
  };
}

function listenAt(path: string, accept: (socket: Socket) => void): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, accept);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}
