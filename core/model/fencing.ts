/**
 * How EC2 is used against a host that gives no proof that it is down, and what was done to it, so that it can be undone. Stopping is
 * proof; a change of security groups is a help that leaves the host as it is for whoever wants to look at it: then the lease's
 * own time is what new primaries wait for.
 */
import type { NodeId } from './lease.ts';

export type FencingChoice =
  | { readonly mode: 'stop' }
  /** `securityGroup` lets nothing in or out; it belongs to the hosts' network. */
  | { readonly mode: 'isolate'; readonly securityGroup: string };

export interface FencedHost {
  readonly node: NodeId;
  readonly instanceId: string;
  readonly how: 'stopped' | 'isolated';
  /** What it had before it was isolated; empty when it was stopped. */
  readonly formerGroups: readonly string[];
  readonly epoch: number;
  readonly operation: string;
  /** ISO 8601, for people. */
  readonly time: string;
}

/**
 * The list with this one noted; one entry a node. What an instance had before its first isolation stays: the groups that are found
 * at a second one are those of the isolation.
 */
export function noteFencedHost(list: readonly FencedHost[], host: FencedHost): readonly FencedHost[] {
  const before = list.find((known) => known.node === host.node && known.instanceId === host.instanceId);
  const groups = before?.how === 'isolated' ? before.formerGroups : host.formerGroups;
  // A host that is isolated and then stopped has both undone.
  const how = before?.how === 'isolated' ? 'isolated' : host.how;
  return [...list.filter(({ node }) => node !== host.node), { ...host, how, formerGroups: groups }];
}

export function forgetFencedHost(list: readonly FencedHost[], node: NodeId): readonly FencedHost[] {
  return list.filter((known) => known.node !== node);
}
