/**
 * May what was done to a host through EC2 be undone, and how: an ordered table, first match wins. Upholds F4: a host comes back
 * only when that is wanted by somebody, no operation is under way, and the host is not the holder of the lease.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { FencedHost } from '../model/fencing.ts';
import type { Lease, NodeId } from '../model/lease.ts';

export interface UnfenceView {
  readonly node: NodeId;
  readonly record: ClusterRecord;
  readonly lease: Lease | null;
  /** EC2's name of the instance's state; null: EC2 does not answer. */
  readonly instance: string | null;
}

export type UnfenceDecision =
  | { readonly kind: 'refused'; readonly rule: string; readonly reason: string }
  | {
      readonly kind: 'undo';
      readonly rule: string;
      readonly host: FencedHost;
      readonly restoreGroups: boolean;
      readonly start: boolean;
    };

interface Refusal {
  readonly rule: string;
  readonly when: (view: UnfenceView, host: FencedHost) => boolean;
  readonly reason: string;
}

const refusals: readonly Refusal[] = [
  {
    rule: 'holds-the-lease',
    when: ({ lease, node }) => lease?.state === 'held' && lease.holder === node,
    reason: 'it holds the lease: fail over first',
  },
  {
    rule: 'operation-under-way',
    when: ({ record }) => record.operation !== null,
    reason: 'an operation is under way: wait for its end',
  },
  {
    rule: 'instance-unobserved',
    when: ({ instance }) => instance === null,
    reason: 'EC2 does not answer',
  },
  {
    rule: 'instance-gone',
    when: ({ instance }) => instance === 'terminated' || instance === 'shutting-down',
    reason: 'its instance is terminated: a new host has to take its place',
  },
  {
    rule: 'instance-unknown',
    when: ({ instance }) => instance === 'absent',
    reason: 'EC2 does not know its instance: is this the right region and account?',
  },
  {
    rule: 'instance-stopping',
    when: ({ instance }) => instance === 'stopping',
    reason: 'its instance is still being stopped: try again when it is',
  },
];

export function decideUnfence(view: UnfenceView): UnfenceDecision {
  const host = view.record.fencedHosts.find(({ node }) => node === view.node);
  if (host === undefined) {
    const fenced = view.record.fencedHosts.map(({ node }) => node).join(', ');
    const others = fenced === '' ? '' : `; fenced are: ${fenced}`;
    return {
      kind: 'refused',
      rule: 'nothing-to-undo',
      reason: `nothing was done to it through EC2${others}`,
    };
  }
  const refusal = refusals.find((row) => row.when(view, host));
  if (refusal !== undefined) return { kind: 'refused', rule: refusal.rule, reason: refusal.reason };
  const restoreGroups = host.how === 'isolated';
  const start = view.instance === 'stopped';
  const rule = restoreGroups ? 'restore-groups' : start ? 'start-instance' : 'running-again';
  return { kind: 'undo', rule, host, restoreGroups, start };
}
