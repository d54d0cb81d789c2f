/**
 * Undoes what fencing did to a host through EC2: gives it its security groups back, starts its instance. The bar on its disk stays,
 * as it should: the host comes back as a standby, and may be primary again at a later epoch.
 */
import { decideUnfence } from '../../core/failover/decide-unfence.ts';
import { type FencedHost, forgetFencedHost } from '../../core/model/fencing.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Answer } from '../aws/store-answer.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit, readCluster } from './progress.ts';
import { needOrRefused } from './workflow-error.ts';

export type UnfenceDeps = Pick<WorkflowDeps, 'hosts' | 'now' | 'sleep' | 'time' | 'newId' | 'log' | 'who'>;

export type Unfenced =
  | { readonly kind: 'done'; readonly did: readonly string[] }
  | { readonly kind: 'refused' | 'failed'; readonly rule: string; readonly reason: string };

const startLimitMs = 180_000;
const askEveryMs = 1_000;
const forgetAttempts = 10;

/** Throws a WorkflowError when DynamoDB does not answer. */
export async function unfenceHost(deps: UnfenceDeps, store: ClusterStore, node: NodeId): Promise<Unfenced> {
  const { record, lease } = await readCluster(store);
  const noted = record.fencedHosts.find((host) => host.node === node);
  const state = noted === undefined ? null : await deps.hosts.instanceState(noted.instanceId);
  const instance = state?.kind === 'ok' ? state.value : null;
  const decision = decideUnfence({ node, record, lease, instance });
  if (decision.kind === 'refused') return decision;
  const { host, rule } = decision;
  const did: string[] = [];
  if (decision.restoreGroups) {
    const restored = await deps.hosts.setSecurityGroups(host.instanceId, host.formerGroups);
    if (restored.kind !== 'ok')
      return failed('restore-groups', 'EC2 did not take the security groups', restored);
    did.push(`gave ${host.instanceId} its security groups back: ${host.formerGroups.join(', ')}`);
  }
  if (decision.start) {
    const started = await deps.hosts.startInstance(host.instanceId);
    if (started.kind !== 'ok') return failed('start-instance', 'EC2 did not start the instance', started);
    if (!(await untilRunning(deps, host.instanceId)))
      return {
        kind: 'failed',
        rule: 'start-instance',
        reason: `${host.instanceId} was not seen running within ${startLimitMs / 1000} s`,
      };
    did.push(`started ${host.instanceId}`);
  }
  if (did.length === 0) did.push(`${host.instanceId} runs again already: only the note was removed`);
  await forget(deps, store, host);
  await emit(deps, store, {
    kind: 'host_unfenced',
    message: `${node}: ${did.join('; ')}`,
    rule,
    epoch: lease.epoch,
  });
  return { kind: 'done', did };
}

async function untilRunning(deps: UnfenceDeps, instanceId: string): Promise<boolean> {
  const deadlineMs = deps.now() + startLimitMs;
  while (deps.now() < deadlineMs) {
    const state = await deps.hosts.instanceState(instanceId);
    if (state.kind === 'ok' && state.value === 'running') return true;
    await deps.sleep(askEveryMs);
  }
  return false;
}

/** What stays noted when this fails is undone once more by the next `unfence`, which is harmless. */
async function forget(deps: UnfenceDeps, store: ClusterStore, host: FencedHost): Promise<void> {
  for (let attempt = 0; attempt < forgetAttempts; attempt += 1) {
    const { record } = await readCluster(store);
    const fencedHosts = forgetFencedHost(record.fencedHosts, host.node);
    const written = await store.updateRecord({ expect: { version: record.version }, set: { fencedHosts } });
    if (needOrRefused(written) !== null) return;
  }
  deps.log('warn', 'the note of a fenced host could not be removed', { node: host.node });
}

function failed(rule: string, what: string, answer: Exclude<Answer<unknown>, { kind: 'ok' }>): Unfenced {
  return { kind: 'failed', rule, reason: `${what}: ${answer.kind}: ${answer.message}` };
}
