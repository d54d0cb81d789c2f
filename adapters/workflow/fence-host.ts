/**
 * Fences the host of a holder that does not let go: proof that its PostgreSQL is down and barred, made by Run Command, else by
 * EC2. Upholds L2: the lease is marked `fenced` only over the seq that was read before the proof began, so a holder that
 * renewed meanwhile (and so was not down) keeps it. While this tries, the members may seal the lease: that ends it too.
 */
import { fence } from '../../core/lease/lease-write.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit, readCurrent } from './progress.ts';
import { needOrRefused, WorkflowError } from './workflow-error.ts';

export interface HostToFence {
  readonly operation: string;
  readonly instanceId: string | null;
}

/** How long Run Command may take to bring its proof, before EC2 is asked. */
const commandLimitMs = 5_000;
/** EC2 takes its time, even when forced. */
const instanceLimitMs = 240_000;
const askEveryMs = 250;
const askInstanceEveryMs = 2_000;
/** A holder that renews while it is being fenced was not down yet: it is fenced again, this often. */
const proofAttempts = 3;

/** Resolves when the lease is not held any more; throws NotFenced when nothing proved that the host is down. */
export async function fenceHolder(deps: WorkflowDeps, store: ClusterStore, host: HostToFence): Promise<void> {
  for (let attempt = 0; attempt < proofAttempts; attempt += 1) {
    const { lease } = await readCurrent(store, host.operation);
    if (lease.state !== 'held') return;
    if (host.instanceId === null) break;
    const proved =
      (await proveByCommand(deps, store, host, host.instanceId, lease)) ||
      (await proveByInstance(deps, store, host, host.instanceId, lease));
    if (!proved) break;
    const fenced = needOrRefused(await store.writeLease(fence(lease)));
    if (fenced === null) continue;
    await emit(deps, store, {
      kind: 'lease_fenced',
      message: `${lease.holder} is down and barred`,
      epoch: lease.epoch,
      operation: host.operation,
    });
    return;
  }
  const { lease } = await readCurrent(store, host.operation);
  if (lease.state === 'held')
    throw new WorkflowError(
      'NotFenced',
      `nothing proves that ${lease.holder} is down, and it still holds the lease`,
    );
}

/** True when the host itself says so; false when it does not within the limit, or the lease moved (read again then). */
async function proveByCommand(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: HostToFence,
  instanceId: string,
  lease: Lease,
): Promise<boolean> {
  const sent = await deps.hosts.fence({ instanceId, epoch: lease.epoch });
  if (sent.kind !== 'ok') {
    deps.log('warn', 'run command did not take a fence', {
      instance_id: instanceId,
      error_kind: sent.kind,
      detail: sent.message,
    });
    return false;
  }
  const deadlineMs = deps.now() + commandLimitMs;
  while (deps.now() < deadlineMs) {
    await deps.sleep(askEveryMs);
    const outcome = await deps.hosts.fenceOutcome({ instanceId, commandId: sent.value });
    if (outcome.kind === 'ok' && outcome.value.kind === 'fenced') return outcome.value.epoch >= lease.epoch;
    if (outcome.kind === 'ok' && outcome.value.kind === 'failed') {
      deps.log('warn', 'a fence failed on the host', {
        instance_id: instanceId,
        detail: outcome.value.message,
      });
      return false;
    }
    if (await hasMoved(store, host, lease)) return true;
  }
  return false;
}

/** Only an instance that was seen stopped or terminated is proof. */
async function proveByInstance(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: HostToFence,
  instanceId: string,
  lease: Lease,
): Promise<boolean> {
  if (await hasMoved(store, host, lease)) return true;
  await emit(deps, store, {
    kind: 'host_fencing_requested',
    message: `${lease.holder} (${instanceId}) gave no proof: the instance is stopped`,
    epoch: lease.epoch,
    operation: host.operation,
  });
  return await stopAndObserve(deps, instanceId, instanceLimitMs, () => hasMoved(store, host, lease));
}

async function hasMoved(store: ClusterStore, host: HostToFence, lease: Lease): Promise<boolean> {
  const now = (await readCurrent(store, host.operation)).lease;
  return now.state !== 'held' || now.epoch !== lease.epoch;
}

/** Forces the instance to stop and watches it; true when it was seen stopped or terminated, or `enough` says so. */
export async function stopAndObserve(
  deps: WorkflowDeps,
  instanceId: string,
  limitMs: number,
  enough: () => Promise<boolean>,
): Promise<boolean> {
  const stopped = await deps.hosts.stopInstance(instanceId);
  if (stopped.kind !== 'ok')
    deps.log('warn', 'EC2 did not take a stop', {
      instance_id: instanceId,
      error_kind: stopped.kind,
      detail: stopped.message,
    });
  const deadlineMs = deps.now() + limitMs;
  while (deps.now() < deadlineMs) {
    const state = await deps.hosts.instanceState(instanceId);
    if (state.kind === 'ok' && (state.value === 'stopped' || state.value === 'terminated')) return true;
    if (await enough()) return true;
    await deps.sleep(askInstanceEveryMs);
  }
  return false;
}
