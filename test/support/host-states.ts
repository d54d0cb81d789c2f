/** States of a database host for tests of its decision table: a healthy one of each kind, to be changed field by field. */
import { nothingKnown } from '../../core/host/expected-recovery.ts';
import { wellHost } from '../../core/host/host-health.ts';
import type { HostState } from '../../core/host/host-state.ts';
import { type ClusterRecord, defaultSpec } from '../../core/model/cluster-record.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';

export const ownSystem = systemIdentifierOf(7_000_000_000_000_000_001n);
export const otherSystem = systemIdentifierOf(7_000_000_000_000_000_002n);

export function aRecord(change: Partial<ClusterRecord> = {}): ClusterRecord {
  return {
    cluster: 'main',
    uid: 'c1',
    version: 7,
    spec: defaultSpec,
    members: ['node1', 'node2', 'node3'],
    proxies: ['proxy1'],
    systemIdentifier: ownSystem,
    bootstrap: { node: 'node1', nonce: 'n1', seq: 3 },
    failoverState: 'stable',
    operation: null,
    attempt: 0,
    intendedPrimary: 'node1',
    failoverTargetPrimary: null,
    lastFailover: null,
    epochs: [{ epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] }],
    paused: false,
    fencedHosts: [],
    ...change,
  };
}

export function aLease(change: Partial<Lease> = {}): Lease {
  return {
    holder: 'node1',
    incarnation: 'i1',
    epoch: 1,
    seq: 100,
    ttlMs: 5_000,
    state: 'held',
    operation: null,
    successor: null,
    timeline: 1,
    releasedAtLsn: null,
    neverPromoted: false,
    members: ['node1', 'node2', 'node3'],
    sync: asynchronous,
    ...change,
  };
}

interface Changes extends Partial<Omit<HostState, 'disk' | 'watch'>> {
  readonly lease?: Lease | null;
  readonly disk?: Partial<HostState['disk']>;
}

/** node1, primary, with the lease. */
export function aPrimary(change: Changes = {}): HostState {
  const { lease, disk, ...rest } = change;
  return {
    node: 'node1',
    incarnation: 'i1',
    headRead: true,
    record: aRecord(),
    watch: { lease: lease === undefined ? aLease() : lease, sinceMs: 1_000 },
    holdStage: 'valid',
    heldBack: false,
    postgres: { kind: 'primary' },
    mayHaveOpened: false,
    disk: {
      dataDirectory: 'present',
      systemIdentifier: ownSystem,
      standbySignal: false,
      bootstrapNonce: null,
      dataEpoch: 1,
      highestEpoch: 1,
      fencedEpoch: 0,
      receiverEnded: null,
      ...disk,
    },
    busy: null,
    rejoin: null,
    health: wellHost,
    recovery: nothingKnown,
    handOverAskedForMs: Number.POSITIVE_INFINITY,
    restartsInPlace: 0,
    troubledForMs: 0,
    silentMs: 0,
    bootstrapSilentMs: 0,
    joiningForMs: 0,
    slotReady: true,
    registered: 'here',
    lacksCertificate: false,
    upstreamKnown: true,
    loginChanged: false,
    unattendedMs: 0,
    ...rest,
  };
}

/** node2, streaming from node1. */
export function aStandby(change: Changes = {}): HostState {
  return aPrimary({
    node: 'node2',
    incarnation: 'i2',
    holdStage: 'none',
    postgres: { kind: 'standby', streaming: true, upstream: 'node1' },
    ...change,
    disk: { standbySignal: true, ...change.disk },
  });
}

export const aPosition = lsnOf(0x300_0000n);
