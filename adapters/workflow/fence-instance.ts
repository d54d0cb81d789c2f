/**
 * Fencing through EC2, as the cluster's specification has it: the instance is stopped, or its security groups are replaced.
 * Upholds F2: a host that holds a newer lease than the one it is fenced for is left alone; and F4: what is done is noted in the record beforehand, so that `leasehold unfence` can undo it.
 */
import type { FencedHost, FencingChoice } from '../../core/model/fencing.ts';
import { noteFencedHost } from '../../core/model/fencing.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Answer } from '../aws/store-answer.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit, readCluster } from './progress.ts';
import { needOrRefused } from './workflow-error.ts';

export interface InstanceToFence {
  readonly node: NodeId;
  readonly instanceId: string;
  readonly epoch: number;
  readonly operation: string;
  readonly choice: FencingChoice;
  /** Why, with the rule that found no proof. */
  readonly because: { readonly rule: string; readonly reason: string };
}

/**
 * `down` has been there already, `newer`: the node holds a later lease by now: nothing was done. `failed`: EC2 or the record did
 * not take it; the log says what.
 */
export type InstanceFencing = 'down' | 'newer' | 'stop-requested' | 'isolated' | 'failed';

/** Others write the record too. */
const noteAttempts = 10;

export async function fenceInstance(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: InstanceToFence,
): Promise<InstanceFencing> {
  const state = await deps.hosts.instanceState(host.instanceId);
  if (state.kind === 'ok' && (state.value === 'stopped' || state.value === 'terminated')) return 'down';
  const { lease } = await readCluster(store);
  if (lease.state === 'held' && lease.holder === host.node && lease.epoch > host.epoch) return 'newer';
  const does = host.choice.mode === 'stop' ? 'the instance is stopped' : 'the instance is isolated';
  await emit(deps, store, {
    kind: 'host_fencing_requested',
    message: `${host.node} (${host.instanceId}) gave no proof, ${host.because.reason}: ${does}`,
    rule: host.because.rule,
    epoch: host.epoch,
    operation: host.operation,
  });
  return host.choice.mode === 'stop'
    ? await stop(deps, store, host)
    : await isolate(deps, store, host, host.choice.securityGroup);
}

async function stop(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: InstanceToFence,
): Promise<InstanceFencing> {
  // The proof matters more than the note, whose absence only means that somebody starts the instance by hand.
  await note(deps, store, host, { how: 'stopped', formerGroups: [] });
  const stopped = await deps.hosts.stopInstance(host.instanceId);
  if (stopped.kind === 'ok') return 'stop-requested';
  warn(deps, 'EC2 did not take a stop', host, stopped);
  return 'failed';
}

/** Not without the note: it alone knows which groups the instance had. */
async function isolate(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: InstanceToFence,
  securityGroup: string,
): Promise<InstanceFencing> {
  const groups = await deps.hosts.securityGroups(host.instanceId);
  if (groups.kind !== 'ok') {
    warn(deps, 'EC2 did not name the security groups', host, groups);
    return 'failed';
  }
  if (groups.value.length === 1 && groups.value[0] === securityGroup) return 'isolated';
  if (!(await note(deps, store, host, { how: 'isolated', formerGroups: groups.value }))) return 'failed';
  const swapped = await deps.hosts.setSecurityGroups(host.instanceId, [securityGroup]);
  if (swapped.kind !== 'ok') {
    warn(deps, 'EC2 did not take the security groups', host, swapped);
    return 'failed';
  }
  await emit(deps, store, {
    kind: 'host_isolated',
    message: `${host.node} (${host.instanceId}): ${groups.value.join(', ')} replaced by ${securityGroup}`,
    rule: host.because.rule,
    epoch: host.epoch,
    operation: host.operation,
  });
  return 'isolated';
}

async function note(
  deps: WorkflowDeps,
  store: ClusterStore,
  host: InstanceToFence,
  done: Pick<FencedHost, 'how' | 'formerGroups'>,
): Promise<boolean> {
  const { node, instanceId, epoch, operation } = host;
  const noted: FencedHost = { node, instanceId, epoch, operation, ...done, time: deps.time() };
  for (let attempt = 0; attempt < noteAttempts; attempt += 1) {
    const { record } = await readCluster(store);
    const fencedHosts = noteFencedHost(record.fencedHosts, noted);
    const written = await store.updateRecord({ expect: { version: record.version }, set: { fencedHosts } });
    if (needOrRefused(written) !== null) return true;
  }
  deps.log('error', 'what is done to a host could not be noted', { node, instance_id: instanceId });
  return false;
}

function warn(
  deps: WorkflowDeps,
  message: string,
  host: InstanceToFence,
  answer: Exclude<Answer<unknown>, { kind: 'ok' }>,
): void {
  deps.log('warn', message, {
    instance_id: host.instanceId,
    error_kind: answer.kind,
    detail: answer.message,
  });
}
