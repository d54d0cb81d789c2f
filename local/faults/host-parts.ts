/**
 * Which process of a host is which: its agent, guard, Run Command worker, PostgreSQL, HAProxy, PgBouncer. Told apart by the
 * program they run and its arguments, over all processes of the host, so that also one that was started by hand counts.
 */
import { basename, join } from 'node:path';
import {
  isProcessAlive,
  processExecutable,
  processTitle,
  readProcessStatus,
  sendSignal,
} from '../../adapters/process.ts';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { readClusterState } from '../runtime/cluster-state.ts';
import { hostProcesses } from '../runtime/process-family.ts';

export type HostPart =
  | 'agent'
  | 'guard'
  | 'worker'
  | 'postmaster'
  | 'backends'
  | 'haproxy'
  | 'pgbouncer'
  /** Everything, whatever it is. */
  | 'all';

/** With its start time a pid names a process for good. */
export interface FoundProcess {
  readonly pid: number;
  readonly startTicks: number;
}

/** The folder that is the host's disk. */
export function hostFolder(cluster: Pick<ClusterHandle, 'folder'>, host: string): string {
  const state = readClusterState(cluster.folder);
  if (state === null) throw new Error('the cluster has no state: it was never up');
  return join(state.hostsFolder, host);
}

/** The living processes that are this part of the host; none when it does not run. */
export function findPart(
  cluster: Pick<ClusterHandle, 'folder'>,
  host: string,
  part: HostPart,
): FoundProcess[] {
  return hostProcesses(hostFolder(cluster, host)).flatMap((pid) => {
    const status = readProcessStatus(pid);
    if (status === null || !isPart(part, pid, status.parentPid)) return [];
    return [{ pid, startTicks: status.startTicks }];
  });
}

function isPart(part: HostPart, pid: number, parentPid: number): boolean {
  const program = basename(processExecutable(pid) ?? '');
  const title = processTitle(pid);
  const isPostgres = program === 'postgres';
  switch (part) {
    case 'agent':
      return / run --config \S+\/config\.json$/.test(title);
    case 'guard':
      return title.includes('/guard.sh ');
    case 'worker':
      return title.includes('/ssm-worker.ts ');
    case 'postmaster':
      return isPostgres && basename(processExecutable(parentPid) ?? '') !== 'postgres';
    case 'backends':
      return isPostgres && basename(processExecutable(parentPid) ?? '') === 'postgres';
    case 'haproxy':
    case 'pgbouncer':
      return program === part;
    case 'all':
      return true;
  }
}

/** Sends the signal to those of them that still are the same processes; says how many there were. */
export function signalAll(found: readonly FoundProcess[], signal: NodeJS.Signals): number {
  return found.filter(
    ({ pid, startTicks }) => isProcessAlive(pid, startTicks) && sendSignal(pid, signal) === 'sent',
  ).length;
}
