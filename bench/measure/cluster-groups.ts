/**
 * The processes of a cluster of this machine by what they are: of each database host its agent, guard and PostgreSQL, of a proxy its
 * agent, HAProxy and PgBouncer, Run Command's workers, the runtime that plays AWS, this program, and what it has started.
 */
import { basename, join } from 'node:path';
import { listPids, processExecutable, processTitle, readProcessStatus } from '../../adapters/process.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { readClusterState } from '../../local/runtime/cluster-state.ts';
import { hostProcesses } from '../../local/runtime/process-family.ts';
import type { GroupProcesses } from './process-usage.ts';

/** `client`: what this program has started, the runtime left out; `bench`: this program. */
export function clusterGroups(cluster: Pick<ClusterHandle, 'folder' | 'pid' | 'wanted'>): GroupProcesses {
  const state = readClusterState(cluster.folder);
  if (state === null) throw new Error('the cluster has no state: it was never up');
  const hosts = [...cluster.wanted.nodes, ...cluster.wanted.proxies].map((host) => ({
    host,
    folder: join(state.hostsFolder, host),
  }));
  return () => {
    const groups = new Map<number, string>();
    for (const { host, folder } of hosts) {
      for (const pid of hostProcesses(folder)) groups.set(pid, `${partOf(pid)} ${host}`);
    }
    const runtime = descendants(cluster.pid());
    for (const pid of runtime) if (!groups.has(pid)) groups.set(pid, 'runtime');
    for (const [pid, group] of clientGroups()) if (!groups.has(pid)) groups.set(pid, group);
    return groups;
  };
}

/** Only this program, and what it has started: clients, and a proxy of its own. */
export function clientGroups(): Map<number, string> {
  const groups = new Map<number, string>();
  for (const pid of descendants(process.pid)) {
    const program = programOf(pid);
    const isProxy = program === 'haproxy' || program === 'pgbouncer';
    groups.set(pid, pid === process.pid ? 'bench' : isProxy ? `${program} bench` : 'client');
  }
  return groups;
}

function programOf(pid: number): string {
  return basename(processExecutable(pid) ?? '').replace(/ \(deleted\)$/, '');
}

/** `ssm`: Run Command's worker and what it runs. Programs that the agent has started for itself count as the agent. */
function partOf(pid: number): string {
  const program = programOf(pid);
  if (program === 'haproxy' || program === 'pgbouncer' || program === 'postgres') return program;
  const title = processTitle(pid);
  if (title.includes('/guard.sh ')) return 'guard';
  if (title.includes('/ssm-worker.ts ') || title.includes('/ssm-run-command.ts ')) return 'ssm';
  return 'agent';
}

/** The process and all that come from it. */
function descendants(root: number): Set<number> {
  const children = Map.groupBy(
    listPids().flatMap((pid) => readProcessStatus(pid) ?? []),
    ({ parentPid }) => parentPid,
  );
  const found = new Set([root]);
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child.pid);
  return found;
}
