/**
 * How data that was made elsewhere becomes the first of a cluster: only on the node that an operator has named, and only the system that was
 * named. Before the rows of joining, for a volume that was part of another cluster has seen epochs that this one has not. Upholds H3:
 * what was not named stays untouched, also a second copy of the same system, which may be ahead of the one that was named.
 */
import { leaseOf, nothing, type Row } from './host-rules.ts';
import type { HostState } from './host-state.ts';

/** This node is to adopt, and has not: after that its disk has the claim's nonce, and an epoch of this cluster. */
function isToAdopt(s: HostState): boolean {
  const claim = s.record?.bootstrap;
  if (claim?.adopts === undefined || claim.node !== s.node) return false;
  const did = s.disk.bootstrapNonce === claim.nonce && s.disk.highestEpoch > 0;
  return s.record?.systemIdentifier === null && leaseOf(s) === null && !did;
}

export const adoptionRules: readonly Row[] = [
  {
    rule: 'adoption-registration-unread',
    when: (s) => isToAdopt(s) && s.registered === 'unknown',
    order: nothing,
    reason: 'whether this node id belongs to this EC2 instance has not been read yet',
  },
  {
    rule: 'adoption-registered-elsewhere',
    when: (s) => isToAdopt(s) && s.registered === 'elsewhere',
    order: () => ({ kind: 'refuse' }),
    reason: 'this node was told to adopt its data, and its id is registered to another EC2 instance',
  },
  {
    rule: 'adoption-without-data',
    when: (s) => isToAdopt(s) && s.disk.dataDirectory === 'absent',
    order: () => ({ kind: 'refuse' }),
    reason: 'this node was told to adopt its data, and there is none: is it the right volume?',
  },
  {
    rule: 'adoption-mismatch',
    when: (s) =>
      isToAdopt(s) &&
      (s.disk.dataDirectory !== 'present' || s.disk.systemIdentifier !== s.record?.bootstrap?.adopts),
    order: () => ({ kind: 'refuse' }),
    reason: 'this node was told to adopt the data of another system than what is here',
  },
  {
    rule: 'adoption-while-running',
    when: (s) => isToAdopt(s) && s.postgres.kind !== 'stopped',
    order: () => ({ kind: 'refuse' }),
    reason: 'this node was told to adopt its data, and a server runs on it: stop that first',
  },
  {
    rule: 'adopt-data',
    when: isToAdopt,
    order: () => ({ kind: 'adopt-directory' }),
    reason: 'an operator has named the data of this node as the first of the cluster',
  },
  {
    rule: 'unadopted-data',
    when: (s) =>
      s.record?.bootstrap?.adopts !== undefined &&
      s.disk.dataDirectory === 'present' &&
      s.disk.dataEpoch === 0 &&
      s.disk.highestEpoch <= (leaseOf(s)?.epoch ?? 0) &&
      s.disk.bootstrapNonce !== s.record.bootstrap.nonce,
    order: () => ({ kind: 'refuse' }),
    reason:
      'the data here has never been part of this cluster, and other data was named as its first: move it away, and this node copies the primary',
  },
];
