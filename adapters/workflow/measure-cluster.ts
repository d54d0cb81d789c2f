/**
 * The sentinel's figures of one cluster: reads the reports (and the operation under way, if there is one), compares them with the look of the
 * minute before, and sends what is worth sending. Nothing here may keep the sentinel from its own work: what fails is logged, and
 * the figures that cannot be said are left out.
 */
import { type ClusterLook, clusterHealth, lookToKeep } from '../../core/health/cluster-health.ts';
import { worthSending } from '../../core/health/cluster-metrics.ts';
import type { ClusterHead, ClusterStore } from '../aws/cluster-store.ts';
import type { Answer } from '../aws/store-answer.ts';
import type { WorkflowDeps } from './ports.ts';

export interface Measuring {
  readonly cluster: string;
  readonly store: ClusterStore;
  /** As just read. */
  readonly head: ClusterHead;
  /** The last look of each cluster; the new one is put in. */
  readonly looks: Map<string, ClusterLook>;
}

/** Never throws. One read more than the head, two where there are proxies, one more while an operation is under way. */
export async function measureCluster(deps: WorkflowDeps, measuring: Measuring): Promise<void> {
  const { cluster, store, head, looks } = measuring;
  const { record, lease } = head;
  const operation = record?.operation ?? null;
  const [nodes, proxies, running] = await Promise.all([
    orNull(deps, cluster, () => store.readNodes()),
    record === null || record.proxies.length === 0 ? [] : orNull(deps, cluster, () => store.readProxies()),
    operation === null ? null : orNull(deps, cluster, () => store.readOperation(operation.id)),
  ]);
  const startedAt = running?.operation?.startedAt ?? null;
  const look: ClusterLook = {
    atMs: Date.parse(deps.time()),
    ...{ record, lease, nodes, proxies },
    operationSinceMs: startedAt === null ? null : Date.parse(startedAt),
  };
  const before = looks.get(cluster) ?? null;
  looks.set(cluster, lookToKeep(before, look));
  deps.measure(cluster, worthSending(clusterHealth(before, look), deps.watching));
}

/** A report that does not parse is thrown by the store: it must not hide that there is no primary. */
async function orNull<T>(
  deps: WorkflowDeps,
  cluster: string,
  read: () => Promise<Answer<T>>,
): Promise<T | null> {
  try {
    const answer = await read();
    if (answer.kind === 'ok') return answer.value;
    deps.log('warn', 'reports could not be read', { cluster, error_kind: answer.kind });
  } catch (error) {
    deps.log('warn', 'reports could not be read', { cluster, detail: String(error) });
  }
  return null;
}
