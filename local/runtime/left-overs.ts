/**
 * What a runtime that was killed leaves running: agents, workers and servers, which lead sessions of their own on purpose. Ends
 * them in order where an agent is there to do so, and removes a cluster's files. Nothing is touched that is not the cluster's.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { sleepMs } from '../../adapters/clock.ts';
import { processTitle, sendSignal } from '../../adapters/process.ts';
import type { ClusterFolder } from '../../cli/cluster/cluster-folder.ts';
import type { ClusterState } from './cluster-state.ts';
import { hostEndsSignal } from './host-driver.ts';
import { hostProcesses, killHostProcesses } from './process-family.ts';

/** Without DynamoDB an agent still stops PostgreSQL in order; it gets this long. */
const orderlyMs = 10_000;
const pollMs = 50;

/** The folders of all hosts that the cluster ever had. */
export function hostFolders(state: ClusterState): string[] {
  if (!existsSync(state.hostsFolder)) return [];
  return readdirSync(state.hostsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(state.hostsFolder, entry.name));
}

/** Hosts with processes that are still running. */
export function runningHosts(state: ClusterState): Set<string> {
  const ids = hostFolders(state).filter((folder) => hostProcesses(folder).length > 0);
  return new Set(ids.map((folder) => folder.slice(state.hostsFolder.length + 1)));
}

/** Ends everything that runs on the cluster's hosts; says how many processes that were. */
export async function endLeftOvers(state: ClusterState): Promise<number> {
  const folders = hostFolders(state);
  const found = folders.flatMap((folder) => hostProcesses(folder));
  for (const pid of found) {
    if (isAgent(pid, folders)) sendSignal(pid, hostEndsSignal);
  }
  const untilMs = performance.now() + orderlyMs;
  const anyLeft = () => folders.some((folder) => hostProcesses(folder).some((pid) => isAgent(pid, folders)));
  while (anyLeft() && performance.now() < untilMs) await sleepMs(pollMs);
  await Promise.all(folders.map(killHostProcesses));
  return found.length;
}

function isAgent(pid: number, folders: readonly string[]): boolean {
  const title = processTitle(pid);
  return folders.some((folder) => title.endsWith(` run --config ${folder}/config.json`));
}

/** Removes everything the cluster kept; the folder of its hosts, which may lie elsewhere, first. */
export function removeCluster(folder: ClusterFolder, state: ClusterState | null): void {
  const options = { recursive: true, force: true, maxRetries: 3 };
  if (state !== null) rmSync(state.hostsFolder, options);
  rmSync(folder.path, options);
}
