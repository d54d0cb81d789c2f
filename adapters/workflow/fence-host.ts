/**
 * Fences the host of a holder that does not let go: proof that its PostgreSQL is down and barred, made by Run Command, else by
 * EC2. What counts as proof is `core/failover/fence-proof.ts`. Upholds L2: the lease is marked `fenced` only over the seq that
 * was read before the proof began, so a holder that renewed meanwhile (and so was not down) keeps it; and F1: only the lease of
 * the host that the proof is of, so whoever has taken it meanwhile keeps it too. While this tries, the members may seal the lease,
 * or the holder may let go: that ends it.
 */
import {
  type FenceCommandEvidence,
  type FenceEvidence,
  type FenceVerdict,
  judgeFence,
  noFenceEvidence,
} from '../../core/failover/fence-proof.ts';
import { sealAfterMs } from '../../core/lease/lease-clock.ts';
import { fence } from '../../core/lease/lease-write.ts';
import type { Lease, NodeId } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { fenceInstance, type InstanceToFence } from './fence-instance.ts';
import type { FenceOutcome, WorkflowDeps } from './ports.ts';
import { emit, readCurrent } from './progress.ts';
import { needOrRefused, WorkflowError } from './workflow-error.ts';

/** Who held the lease when the operation was planned. Whoever holds it later is another matter: a proof of this host says nothing of that one. */
export interface HostToFence {
  readonly operation: string;
  readonly node: NodeId;
  readonly epoch: number;
  readonly instanceId: string | null;
}

/** How long Run Command may take to bring its proof, before EC2 is asked. */
const commandLimitMs = 5_000;
/** EC2 takes its time, even when forced. */
const instanceLimitMs = 240_000;
const askEveryMs = 250;
const askInstanceEveryMs = 2_000;
/** How much later than allowed the members may seal the lease of a host that was only isolated. */
const sealMarginMs = 15_000;
/** A holder that renews while it is being fenced was not down yet: it is fenced again, this often. */
const proofAttempts = 3;

/** Resolves when the lease is not held any more; throws NotFenced when nothing proved that the host is down. */
export async function fenceHolder(deps: WorkflowDeps, store: ClusterStore, host: HostToFence): Promise<void> {
  let last = judgeFence({ epoch: 0, ...noFenceEvidence });
  for (let attempt = 0; attempt < proofAttempts; attempt += 1) {
    const { lease, record } = await readCurrent(store, host.operation);
    if (!isHeldBy(lease, host)) return;
    const { instanceId } = host;
    if (instanceId === null) break;
    last = await prove(deps, store, { ...host, instanceId, choice: record.spec.fencing });
    if (last.proof === 'let-go') continue;
    if (last.proof !== 'down') break;
    const fenced = needOrRefused(await store.writeLease(fence(lease)));
    if (fenced === null) continue;
    await emit(deps, store, {
      kind: 'lease_fenced',
      message: `${lease.holder} is down: ${last.reason}`,
      rule: last.rule,
      epoch: lease.epoch,
      operation: host.operation,
    });
    return;
  }
  const { lease } = await readCurrent(store, host.operation);
  if (isHeldBy(lease, host))
    throw new WorkflowError(
      'NotFenced',
      `nothing proves that ${lease.holder} is down, and it still holds the lease: ${last.reason}`,
    );
}

function isHeldBy(lease: Lease, host: Pick<HostToFence, 'node' | 'epoch'>): boolean {
  return lease.state === 'held' && lease.epoch === host.epoch && lease.holder === host.node;
}

/** Run Command first; when it has brought no proof in time, EC2 too, while the command may still bring its own. */
async function prove(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: Omit<InstanceToFence, 'because'>,
): Promise<FenceVerdict> {
  const { instanceId, epoch } = host;
  let evidence: FenceEvidence = { epoch, ...noFenceEvidence };
  let ttlMs = 0;
  const command = await sendFence(deps, instanceId, epoch);
  const look = async (more: Partial<FenceEvidence> = {}): Promise<FenceVerdict> => {
    const [outcome, head] = await Promise.all([
      command === null ? null : askFence(deps, { instanceId, commandId: command }),
      readCurrent(store, host.operation),
    ]);
    ttlMs = head.lease.ttlMs;
    const leaseMoved = !isHeldBy(head.lease, host);
    evidence = { ...evidence, ...more, leaseMoved, ...(outcome === null ? {} : { command: outcome }) };
    return judgeFence(evidence);
  };
  const byCommand = await untilProven(deps, command === null ? 0 : commandLimitMs, askEveryMs, look, () =>
    ['pending', 'not-sent'].includes(evidence.command.kind),
  );
  if (byCommand.proof !== 'none') return byCommand;
  const fenced = await fenceInstance(deps, store, { ...host, instanceId, because: byCommand });
  if (fenced === 'isolated') {
    // No proof comes from that. But the holder has fallen silent, and so the members may seal the lease.
    const limitMs = sealAfterMs(ttlMs) + sealMarginMs;
    return await untilProven(deps, limitMs, askInstanceEveryMs, () => look({ isolated: true }));
  }
  return await untilProven(deps, instanceLimitMs, askInstanceEveryMs, async () =>
    look({ instance: await observe(deps, instanceId) }),
  );
}

/** Looks at once and then again and again, until there is a proof, time is up, or `goOn` says that waiting is in vain. */
async function untilProven(
  deps: WorkflowDeps,
  limitMs: number,
  everyMs: number,
  look: () => Promise<FenceVerdict>,
  goOn: () => boolean = () => true,
): Promise<FenceVerdict> {
  const deadlineMs = deps.now() + limitMs;
  for (;;) {
    const verdict = await look();
    if (verdict.proof === 'down' || verdict.proof === 'let-go') return verdict;
    if (deps.now() >= deadlineMs || !goOn()) return verdict;
    await deps.sleep(everyMs);
  }
}

/** The command's id; null when Run Command did not take it. */
export async function sendFence(
  deps: WorkflowDeps,
  instanceId: string,
  epoch: number,
): Promise<string | null> {
  const sent = await deps.hosts.fence({ instanceId, epoch });
  if (sent.kind === 'ok') return sent.value;
  deps.log('warn', 'run command did not take a fence', {
    instance_id: instanceId,
    error_kind: sent.kind,
    detail: sent.message,
  });
  return null;
}

/** Null: Run Command does not answer, and what was known stands. */
export async function askFence(
  deps: WorkflowDeps,
  command: { readonly instanceId: string; readonly commandId: string },
): Promise<FenceCommandEvidence | null> {
  const outcome = await deps.hosts.fenceOutcome(command);
  if (outcome.kind !== 'ok') return null;
  if (outcome.value.kind === 'failed')
    deps.log('warn', 'a fence failed on the host', {
      instance_id: command.instanceId,
      detail: outcome.value.message,
    });
  return evidenceOf(outcome.value);
}

function evidenceOf(outcome: FenceOutcome): FenceCommandEvidence {
  return outcome.kind === 'fenced' ? { kind: 'fenced', epoch: outcome.epoch } : { kind: outcome.kind };
}

/** EC2's name of the state; null when it does not answer. */
async function observe(deps: WorkflowDeps, instanceId: string): Promise<string | null> {
  const state = await deps.hosts.instanceState(instanceId);
  return state.kind === 'ok' ? state.value : null;
}

/** Watches an instance that was asked to stop; what that proves of a host whose lease is of `epoch`. */
export async function observeStop(
  deps: WorkflowDeps,
  instanceId: string,
  epoch: number,
  limitMs: number,
): Promise<FenceVerdict> {
  return await untilProven(deps, limitMs, askInstanceEveryMs, async () =>
    judgeFence({ epoch, ...noFenceEvidence, instance: await observe(deps, instanceId) }),
  );
}
