/**
 * May what a host said of itself be forgotten, so that another machine can take its name: an ordered table, first match wins. Upholds that
 * two machines under one name never both open PostgreSQL: the old one must have been silent while it was watched, and EC2 must
 * say that it does not run: that EC2 does not know it may as well mean that the wrong region was asked. A machine that comes back later
 * finds its name taken, and stays out.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { FencedHost } from '../model/fencing.ts';
import type { Lease, NodeId } from '../model/lease.ts';

export interface ForgetView {
  readonly host: NodeId;
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  /** The machine that it has said it is, or one that was fenced under its name; null: it has never reported, or was forgotten. */
  readonly machine: { readonly instanceId: string } | null;
  /** The report changed while it was watched, for longer than a living host is silent. */
  readonly heard: boolean;
  /** EC2's name of the instance's state; null: EC2 does not answer. */
  readonly instance: string | null;
  /** The one in which EC2 was asked. */
  readonly region: string;
  /** Commits wait for it, and that is known to whoever asks. */
  readonly althoughSynchronous: boolean;
  /** It is known to whoever asks that the machine is gone, not elsewhere. */
  readonly althoughUnknown: boolean;
}

export type ForgetDecision =
  | { readonly kind: 'refused'; readonly rule: string; readonly reason: string }
  | { readonly kind: 'forget'; readonly rule: string; readonly instanceId: string };

interface Refusal {
  readonly rule: string;
  readonly when: (view: ForgetView) => boolean;
  readonly reason: string | ((view: ForgetView) => string);
}

/** What EC2 calls a machine that has been seen to be down. `absent` is not among them, although EC2 forgets an instance within hours of its end. */
const isDown: readonly string[] = ['stopped', 'terminated'];

const refusals: readonly Refusal[] = [
  {
    rule: 'no-such-cluster',
    when: ({ record }) => record === null,
    reason: 'there is no such cluster in that table',
  },
  {
    rule: 'nothing-to-forget',
    when: ({ machine }) => machine === null,
    reason: 'it has never reported, or was forgotten: the next machine of that name is let in',
  },
  {
    rule: 'last-primary',
    when: ({ lease, host }) => lease?.holder === host,
    reason: 'it is the last one that held the lease: switch over, or fail over, first',
  },
  {
    rule: 'operation-under-way',
    when: ({ record }) => record?.operation != null,
    reason: 'an operation is under way: wait for its end',
  },
  {
    rule: 'bootstrap-under-way',
    when: ({ record, lease, host }) => lease === null && record?.bootstrap?.node === host,
    reason: 'it makes the first data directory: wait until another node has taken that over',
  },
  {
    rule: 'synchronous',
    when: ({ lease, host, althoughSynchronous }) => !althoughSynchronous && isWaitedFor(lease, host),
    reason:
      'commits wait for it, or did until now, and an election counts on it: it is dropped within seconds where others can take its place; else --although-synchronous',
  },
  {
    rule: 'still-heard',
    when: ({ heard }) => heard,
    reason: 'its agent lives: it has reported while it was watched',
  },
  {
    rule: 'instance-unobserved',
    when: ({ instance }) => instance === null,
    reason: 'EC2 does not answer, so nobody knows whether its machine runs',
  },
  {
    rule: 'instance-unknown',
    when: ({ instance, althoughUnknown }) => instance === 'absent' && !althoughUnknown,
    reason: ({ machine, region }) =>
      `EC2 in ${region} does not know its machine ${machine?.instanceId}: is this the hosts' region and account? If it is, and the machine was terminated, --although-unknown-to-ec2`,
  },
  {
    rule: 'instance-runs',
    when: ({ instance }) => instance !== 'absent' && !isDown.includes(instance ?? ''),
    reason: 'its machine runs, or may in a moment: stop it first',
  },
];

export function decideForget(view: ForgetView): ForgetDecision {
  const { machine } = view;
  const refusal = refusals.find((row) => row.when(view));
  if (refusal !== undefined) {
    const { rule, reason } = refusal;
    return { kind: 'refused', rule, reason: typeof reason === 'string' ? reason : reason(view) };
  }
  if (machine === null) throw new Error('InvariantViolation: no row refuses a host without a machine');
  return { kind: 'forget', rule: `instance-${view.instance}`, instanceId: machine.instanceId };
}

/** What was done to the forgotten machine through EC2, which nobody will undo any more. */
export function fencedNote(record: ClusterRecord, host: NodeId, instanceId: string): FencedHost | null {
  return record.fencedHosts.find((one) => one.node === host && one.instanceId === instanceId) ?? null;
}

function isWaitedFor(lease: Lease | null, host: NodeId): boolean {
  if (lease === null || lease.sync.mode === 'off') return false;
  return lease.sync.names.includes(host) || (lease.sync.next?.names.includes(host) ?? false);
}
