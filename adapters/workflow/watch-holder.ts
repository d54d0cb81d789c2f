/**
 * Does the holder of a lease live? Watches the lease until a holder without renewals would have turned its clients away: a renewal
 * within that time is life. Only decides by which path an operation goes: proof of its fence may then come before the lease's
 * end. A Lambda never seals.
 */
import { silentAfterMs } from '../../core/lease/lease-clock.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from './ports.ts';
import { readCluster } from './progress.ts';

export interface WatchedHolder {
  /** The lease is held and has not changed for all that time. */
  readonly silent: boolean;
  readonly record: ClusterRecord;
  readonly lease: Lease;
}

const readEveryMs = 100;

export async function watchHolder(
  deps: WorkflowDeps,
  store: ClusterStore,
  first: { readonly record: ClusterRecord; readonly lease: Lease },
): Promise<WatchedHolder> {
  const deadlineMs = deps.now() + silentAfterMs(first.lease.ttlMs);
  let seen = first;
  while (
    seen.lease.state === 'held' &&
    seen.lease.seq === first.lease.seq &&
    seen.lease.epoch === first.lease.epoch
  ) {
    if (deps.now() >= deadlineMs) return { ...seen, silent: true };
    await deps.sleep(readEveryMs);
    seen = await readCluster(store);
  }
  return { ...seen, silent: false };
}
