/**
 * How a host becomes part of the cluster: initialised once by exactly one node, registered, refused where it must not be,
 * and how a restarted agent finds its lease again. Upholds H3: no data of another system is ever touched.
 */
import { adoptionPrefix } from '../model/cluster-record.ts';
import { isDown, isMember, leaseOf, nothing, type Row } from './host-rules.ts';

/** A bootstrap claim that has not moved for this long may be taken over. */
export const bootstrapTakeOverMs = 6_000;

export const joiningRules: readonly Row[] = [
  {
    rule: 'record-missing',
    when: (s) => s.record === null,
    order: nothing,
    reason: 'the cluster has not been initialised',
  },
  {
    rule: 'epoch-regressed',
    when: (s) => (leaseOf(s)?.epoch ?? 0) < s.disk.highestEpoch,
    order: () => ({ kind: 'alert' }),
    reason: 'the lease vanished or its epoch is lower than one seen before: a restored table?',
  },
  {
    rule: 'bootstrap-lost',
    when: (s) =>
      s.disk.dataDirectory === 'present' &&
      s.disk.bootstrapNonce !== null &&
      !s.disk.bootstrapNonce.startsWith(adoptionPrefix) &&
      s.disk.dataEpoch === 0 &&
      s.disk.bootstrapNonce !== s.record?.bootstrap?.nonce &&
      s.disk.systemIdentifier !== s.record?.systemIdentifier,
    order: () => ({ kind: 'discard-bootstrap' }),
    reason: 'this node made a first data directory, and another node took the bootstrap over meanwhile',
  },
  {
    rule: 'registration-unread',
    when: (s) => s.registered === 'unknown',
    order: nothing,
    reason: 'whether this node id belongs to this EC2 instance has not been read yet',
  },
  {
    rule: 'registered-elsewhere',
    when: (s) => s.registered === 'elsewhere',
    order: () => ({ kind: 'refuse' }),
    reason: 'this node id is registered to another EC2 instance: `leasehold forget` it once that one is gone',
  },
  {
    rule: 'foreign-data',
    when: (s) =>
      s.disk.dataDirectory === 'foreign' ||
      (s.disk.dataDirectory === 'quarantined' && s.record?.systemIdentifier === null) ||
      (s.disk.dataDirectory === 'present' &&
        s.record?.systemIdentifier !== null &&
        s.disk.systemIdentifier !== s.record?.systemIdentifier) ||
      (s.disk.dataDirectory === 'present' &&
        s.record?.systemIdentifier === null &&
        s.disk.bootstrapNonce !== s.record.bootstrap?.nonce),
    order: () => ({ kind: 'refuse' }),
    reason: "the data directory here belongs to another cluster: its system identifier is not the cluster's",
  },
  {
    rule: 'cluster-full',
    when: (s) => !isMember(s) && (s.record?.members.length ?? 0) >= (s.record?.spec.maxNodes ?? 0),
    order: () => ({ kind: 'refuse' }),
    reason: 'the cluster has its maximum of nodes',
  },
  {
    rule: 'join',
    when: (s) => !isMember(s),
    order: () => ({ kind: 'register' }),
    reason: 'this node is not a member yet',
  },
  {
    rule: 'certificate-missing',
    when: (s) => s.lacksCertificate && isDown(s),
    order: nothing,
    reason:
      'TLS is required, and this host waits for its first certificate: the control plane signs each minute',
  },
  {
    rule: 'join-timed-out',
    when: (s) => s.disk.dataDirectory === 'absent' && s.joiningForMs > (s.record?.spec.joinTimeoutMs ?? 0),
    order: () => ({ kind: 'refuse' }),
    reason: 'joining took longer than the limit',
  },
  {
    rule: 'bootstrap-free',
    when: (s) => s.record?.systemIdentifier === null && s.record.bootstrap === null,
    order: () => ({ kind: 'bootstrap', takeOver: false }),
    reason: 'nobody has made the first data directory',
  },
  {
    rule: 'bootstrap-interrupted',
    when: (s) =>
      s.record?.systemIdentifier === null &&
      s.record.bootstrap?.adopts === undefined &&
      (s.record.bootstrap?.node === s.node || s.bootstrapSilentMs > bootstrapTakeOverMs),
    order: () => ({ kind: 'bootstrap', takeOver: true }),
    reason: 'the bootstrap was claimed and then fell silent',
  },
  {
    rule: 'bootstrap-elsewhere',
    when: (s) => s.record?.systemIdentifier === null,
    order: nothing,
    reason: 'another node makes the first data directory',
  },
  {
    rule: 'first-lease',
    when: (s) =>
      leaseOf(s) === null &&
      s.disk.dataDirectory === 'present' &&
      s.disk.bootstrapNonce !== null &&
      s.disk.bootstrapNonce === s.record?.bootstrap?.nonce,
    order: () => ({ kind: 'create-lease' }),
    reason: 'this node made the first data directory',
  },
  {
    rule: 'lease-absent',
    when: (s) => leaseOf(s) === null,
    order: nothing,
    reason: 'the bootstrap winner has not taken the first lease yet',
  },
  {
    rule: 'adopt-own-lease',
    when: (s) =>
      leaseOf(s)?.state === 'held' &&
      leaseOf(s)?.holder === s.node &&
      leaseOf(s)?.incarnation !== s.incarnation,
    order: () => ({ kind: 'adopt-lease' }),
    reason: 'this node holds the lease through an agent that is no more',
  },
];
