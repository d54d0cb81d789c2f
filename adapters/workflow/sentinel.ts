/**
 * Each minute: is there an operation in a record that nobody carries on, or a lease that nobody holds and nobody moves?
 * Closes the one and starts a failover for the other. Agents do the second by themselves within seconds; this is for the day
 * on which they could not. Upholds that every operation ends. It never seals: silence is the members' to judge.
 */
import { executionName } from '../../core/failover/plan-operation.ts';
import type { ClusterLook } from '../../core/health/cluster-health.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { ClusterHead, ClusterStore } from '../aws/cluster-store.ts';
import { isCarriedOn } from './execution-alive.ts';
import { measureCluster } from './measure-cluster.ts';
import type { WorkflowDeps } from './ports.ts';
import { closeOperation, emit } from './progress.ts';
import { need, WorkflowError } from './workflow-error.ts';

export interface SentinelView {
  readonly cluster: string;
  readonly did: 'nothing' | 'closed-operation' | 'started-failover' | 'closed-and-started';
  readonly reason: string;
}

/** What the sentinel saw the last time, by cluster: as long as this process lives. */
export type Looks = Map<string, ClusterLook>;

/**
 * Looks after one cluster, and measures its health beside that. Throws the store's errors: the next minute tries again, and the
 * alarm counts.
 */
export async function watchCluster(deps: WorkflowDeps, cluster: string, looks: Looks): Promise<SentinelView> {
  const store = deps.storeOf(cluster);
  const head = need(await store.readHead());
  const measured = measureCluster(deps, { cluster, store, head, looks });
  try {
    return await lookAfter(deps, store, cluster, head);
  } finally {
    await measured;
  }
}

async function lookAfter(
  deps: WorkflowDeps,
  store: ClusterStore,
  cluster: string,
  { record, lease }: ClusterHead,
): Promise<SentinelView> {
  if (record === null || lease === null)
    return { cluster, did: 'nothing', reason: 'it has not been bootstrapped' };
  const closed = await closeAbandoned(deps, store, record, lease);
  if (!closed && record.operation !== null)
    return { cluster, did: 'nothing', reason: `operation ${record.operation.id} is being carried on` };
  // With a holder and nothing closed there is nothing to start, nor to read again for it.
  const settled = !closed && lease.state === 'held';
  const started = settled ? null : await startWhereFree(deps, store, cluster);
  const reason = started ?? (closed ? 'an abandoned operation was closed' : 'all is well');
  if (closed) return { cluster, did: started === null ? 'closed-operation' : 'closed-and-started', reason };
  return { cluster, did: started === null ? 'nothing' : 'started-failover', reason };
}

async function closeAbandoned(
  deps: WorkflowDeps,
  store: ClusterStore,
  record: ClusterRecord,
  lease: Lease,
): Promise<boolean> {
  const { operation } = record;
  if (operation === null || (await isCarriedOn(deps, store, operation))) return false;
  try {
    await closeOperation(deps, store, {
      cluster: record.cluster,
      operation: operation.id,
      status: 'failed',
      outcome: `its execution ended in ${record.failoverState} without closing it; the lease is ${lease.state}`,
      epoch: lease.epoch,
      errorClass: 'Abandoned',
    });
  } catch (error) {
    // Somebody closed it, or took it over, in the meantime.
    if (error instanceof WorkflowError && error.name === 'OperationSuperseded') return false;
    throw error;
  }
  deps.measure(record.cluster, { SentinelActed: 1 });
  return true;
}

/** Starts a failover when nobody holds the lease and nobody is at work; what it did, or null. */
async function startWhereFree(
  deps: WorkflowDeps,
  store: ClusterStore,
  cluster: string,
): Promise<string | null> {
  const { record, lease } = need(await store.readHead());
  if (record === null || lease === null || record.operation !== null || lease.state === 'held') return null;
  if (record.paused) return null;
  const reason = `the lease is ${lease.state} and no operation moves it`;
  const name = executionName(record, lease.epoch, record.attempt + 1);
  const request = { cluster, kind: 'failover', reason, requestedBy: 'sentinel', epoch: lease.epoch };
  const started = need(await deps.executions.start({ name, input: JSON.stringify(request) }));
  const retried = started === 'exists' ? await startAgain(deps, name, request) : started;
  if (retried === 'exists') return null;
  deps.measure(cluster, { SentinelActed: 1 });
  await emit(deps, store, {
    kind: 'sentinel_acted',
    message: `a failover was started: ${reason}`,
    epoch: lease.epoch,
  });
  return reason;
}

/** Step Functions takes no longer name of an execution. */
const longestName = 80;

/** The name was used for an execution that ended before it claimed anything: another name, or it would never be tried again. */
async function startAgain(
  deps: WorkflowDeps,
  name: string,
  request: Readonly<Record<string, string | number>>,
): Promise<'started' | 'exists'> {
  const again = `${name.slice(0, longestName - 12)}-s${deps.newId().slice(-10)}`;
  return need(await deps.executions.start({ name: again, input: JSON.stringify(request) }));
}
