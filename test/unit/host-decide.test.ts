/** One story for every row of the host's decision table, and an executor for every order. */
import { describe, expect, it } from 'vitest';
import { executeOrder } from '../../agent/database/orders.ts';
import { decideFencing, decideHost, hostTable } from '../../core/host/decide.ts';
import { type DiskCondition, wellHost } from '../../core/host/host-health.ts';
import type { HostState } from '../../core/host/host-state.ts';
import { bootstrapTakeOverMs } from '../../core/host/joining-rules.ts';
import { sealAfterMs } from '../../core/lease/lease-clock.ts';
import { asynchronous } from '../../core/model/lease.ts';
import { aLease, aPrimary, aRecord, aStandby, otherSystem, ownSystem } from '../support/host-states.ts';

const op = { id: 'c1-e1-a1', kind: 'failover', executionArn: null } as const;
const empty = {
  dataDirectory: 'absent',
  systemIdentifier: null,
  standbySignal: false,
  dataEpoch: 0,
} as const;
const stopped = { kind: 'stopped' } as const;
const initial = aRecord({ systemIdentifier: null, bootstrap: null, epochs: [], members: ['node2'] });
const fresh = { lease: null, postgres: stopped, disk: { ...empty, highestEpoch: 0 } } as const;

/** node1 is told to adopt its data; it is empty, or stopped with data of `ownSystem`. */
const told = { node: 'node1', nonce: 'adopt-1', seq: 1, adopts: ownSystem } as const;
const adopting = aRecord({ systemIdentifier: null, bootstrap: told, epochs: [], members: [] });
/** A volume that was part of another cluster. */
const formerVolume = { bootstrapNonce: null, dataEpoch: 7, highestEpoch: 7, fencedEpoch: 6 } as const;
const aVolume = (change: Parameters<typeof aPrimary>[0] = {}): HostState =>
  aPrimary({
    record: adopting,
    lease: null,
    holdStage: 'none',
    postgres: stopped,
    disk: formerVolume,
    ...change,
  });

const gigabyte = 2 ** 30;
const someone = { walToReplayBytes: 0, successors: ['node2', 'node3'] } as const;
const synchronous = aLease({ sync: { ...asynchronous, mode: 'strict', k: 1, names: ['node2', 'node3'] } });
const hung: HostState['health'] = {
  ...wellHost,
  responsiveness: { kind: 'stopped', forMs: 2_500, misses: 3 },
};
const sick = (condition: DiskCondition, forMs = 1_000): HostState['health'] => ({
  ...wellHost,
  disk: { condition, forMs, detail: 'No space left on device' },
});

/** One state a rule: each row of the table is reached by an ordinary story. */
type Story = readonly [rule: string, order: string, state: HostState];

const stories: readonly Story[] = [
  ['head-unread', 'none', aPrimary({ headRead: false })],
  ['lease-deadline', 'kill-postgres', aPrimary({ holdStage: 'kill' })],
  // On the target of a hand-over, whose last look is older than its promotion.
  ['lease-deadline', 'kill-postgres', aStandby({ holdStage: 'kill', mayHaveOpened: true })],
  ['writable-without-lease', 'kill-postgres', aStandby({ mayHaveOpened: true, busy: 'acquire-and-promote' })],
  ['lease-deadline', 'kill-postgres', aPrimary({ holdStage: 'expired', busy: 'checkpoint' })],
  [
    'writable-without-lease',
    'kill-postgres',
    aPrimary({ lease: aLease({ holder: 'node2', epoch: 2 }), holdStage: 'none' }),
  ],
  [
    'writable-without-lease',
    'kill-postgres',
    aPrimary({ lease: aLease({ state: 'sealed' }), holdStage: 'none' }),
  ],
  [
    'writable-without-lease',
    'kill-postgres',
    aPrimary({ lease: aLease({ holder: 'node2' }), holdStage: 'none', postgres: { kind: 'orphaned' } }),
  ],
  [
    'writable-without-lease',
    'kill-postgres',
    aPrimary({ lease: aLease({ holder: 'node2' }), holdStage: 'none', postgres: { kind: 'unreachable' } }),
  ],
  ['fenced-epoch', 'kill-postgres', aPrimary({ disk: { fencedEpoch: 1 } })],
  ['busy', 'none', aStandby({ busy: 'end-receiver' })],
  ['writable-elsewhere', 'kill-postgres', aPrimary({ registered: 'elsewhere' })],
  ['registration-unread', 'none', aStandby({ registered: 'unknown' })],
  ['registered-elsewhere', 'refuse', aStandby({ registered: 'elsewhere' })],
  ['record-missing', 'none', aStandby({ record: null })],
  ['epoch-regressed', 'alert', aStandby({ disk: { highestEpoch: 4 } })],
  ['epoch-regressed', 'alert', aStandby({ lease: null, disk: { highestEpoch: 1 } })],
  [
    'bootstrap-lost',
    'discard-bootstrap',
    aStandby({
      postgres: stopped,
      disk: { bootstrapNonce: 'old', dataEpoch: 0, systemIdentifier: otherSystem },
    }),
  ],
  ['foreign-data', 'refuse', aStandby({ postgres: stopped, disk: { systemIdentifier: otherSystem } })],
  [
    'foreign-data',
    'refuse',
    aStandby({ ...fresh, record: initial, disk: { highestEpoch: 0, bootstrapNonce: null } }),
  ],
  ['adoption-registration-unread', 'none', aVolume({ registered: 'unknown' })],
  ['adoption-registered-elsewhere', 'refuse', aVolume({ registered: 'elsewhere' })],
  ['adoption-without-data', 'refuse', aVolume({ disk: { ...empty, highestEpoch: 0 } })],
  ['adoption-mismatch', 'refuse', aVolume({ disk: { ...formerVolume, systemIdentifier: otherSystem } })],
  ['adoption-mismatch', 'refuse', aVolume({ disk: { ...formerVolume, dataDirectory: 'quarantined' } })],
  [
    'adoption-while-running',
    'refuse',
    aVolume({ postgres: { kind: 'orphaned' }, disk: { ...formerVolume, standbySignal: true } }),
  ],
  ['adopt-data', 'adopt-directory', aVolume()],
  // Its agent was killed between its notes and the record.
  [
    'adopt-data',
    'adopt-directory',
    aVolume({ disk: { bootstrapNonce: 'adopt-1', dataEpoch: 0, highestEpoch: 0 } }),
  ],
  // The record has it: what follows is the first lease, as after initdb.
  [
    'first-lease',
    'create-lease',
    aVolume({
      record: { ...adopting, systemIdentifier: ownSystem, members: ['node1'] },
      disk: { bootstrapNonce: 'adopt-1', dataEpoch: 0, highestEpoch: 0 },
    }),
  ],
  // It was adopted, and the table restored since: that is no order to do it again.
  [
    'epoch-regressed',
    'alert',
    aVolume({ disk: { bootstrapNonce: 'adopt-1', dataEpoch: 3, highestEpoch: 3 } }),
  ],
  // Another node with data of the same system, before and after the adoption.
  ['unadopted-data', 'refuse', aVolume({ node: 'node2', disk: { dataEpoch: 0, highestEpoch: 0 } })],
  [
    'unadopted-data',
    'refuse',
    aStandby({ record: aRecord({ bootstrap: told }), postgres: stopped, disk: { dataEpoch: 0 } }),
  ],
  // It waits for as long as it takes, and nobody else makes data meanwhile.
  [
    'bootstrap-elsewhere',
    'none',
    aStandby({
      ...fresh,
      record: { ...adopting, members: ['node2'] },
      bootstrapSilentMs: bootstrapTakeOverMs + 1,
    }),
  ],
  // What was adopted is never set aside for having lost a bootstrap.
  [
    'foreign-data',
    'refuse',
    aStandby({
      postgres: stopped,
      disk: { bootstrapNonce: 'adopt-9', dataEpoch: 0, systemIdentifier: otherSystem },
    }),
  ],
  ['cluster-full', 'refuse', aStandby({ record: aRecord({ members: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] }) })],
  ['join', 'register', aStandby({ record: aRecord({ members: ['node1'] }), disk: empty, postgres: stopped })],
  ['certificate-missing', 'none', aStandby({ ...fresh, record: initial, lacksCertificate: true })],
  ['certificate-missing', 'none', aStandby({ postgres: stopped, lacksCertificate: true })],
  ['join-timed-out', 'refuse', aStandby({ postgres: stopped, disk: empty, joiningForMs: 300_001 })],
  ['bootstrap-free', 'bootstrap', aStandby({ ...fresh, record: initial })],
  [
    'bootstrap-interrupted',
    'bootstrap',
    aStandby({ ...fresh, record: { ...initial, bootstrap: { node: 'node2', nonce: 'x', seq: 1 } } }),
  ],
  [
    'bootstrap-interrupted',
    'bootstrap',
    aStandby({
      ...fresh,
      record: { ...initial, bootstrap: { node: 'node1', nonce: 'x', seq: 1 } },
      bootstrapSilentMs: bootstrapTakeOverMs + 1,
    }),
  ],
  [
    'bootstrap-elsewhere',
    'none',
    aStandby({ ...fresh, record: { ...initial, bootstrap: { node: 'node1', nonce: 'x', seq: 1 } } }),
  ],
  [
    'first-lease',
    'create-lease',
    aPrimary({
      lease: null,
      postgres: stopped,
      holdStage: 'none',
      disk: { bootstrapNonce: 'n1', highestEpoch: 0 },
    }),
  ],
  ['lease-absent', 'none', aStandby({ lease: null, postgres: stopped, disk: { ...empty, highestEpoch: 0 } })],
  ['adopt-own-lease', 'adopt-lease', aPrimary({ incarnation: 'i9', holdStage: 'none' })],
  ['lease-uncertain', 'none', aPrimary({ holdStage: 'unready' })],
  [
    'promotion-unfinished',
    'finish-promotion',
    aPrimary({
      record: aRecord({ epochs: [] }),
      postgres: { kind: 'standby', streaming: false, upstream: null },
      disk: { standbySignal: true },
    }),
  ],
  // A promotion in an epoch that is recorded would begin another timeline in it: the standbys could never be chosen again.
  [
    'standby-in-own-epoch',
    'start-primary',
    aPrimary({
      postgres: { kind: 'standby', streaming: false, upstream: null },
      disk: { standbySignal: true },
    }),
  ],
  ['crash-in-place', 'start-primary', aPrimary({ postgres: stopped, disk: { standbySignal: true } })],
  ['epoch-unrecorded', 'record-epoch', aPrimary({ record: aRecord({ epochs: [] }) })],
  ['primary-serves', 'tend-primary', aPrimary()],
  ['disk-frozen', 'hand-over', aPrimary({ health: sick('frozen', 0), recovery: someone })],
  ['postmaster-hung', 'kill-hung', aPrimary({ health: hung })],
  ['disk-sick', 'ask-hand-over', aPrimary({ health: sick('full'), recovery: someone })],
  ['disk-sick', 'ask-hand-over', aPrimary({ health: sick('read-only'), recovery: someone })],
  [
    'data-directory-gone',
    'hand-over',
    aPrimary({ postgres: stopped, disk: { dataDirectory: 'quarantined' } }),
  ],
  ['cannot-start', 'hand-over', aPrimary({ postgres: stopped, restartsInPlace: 3 })],
  [
    'disk-read-only',
    'hand-over',
    aPrimary({ postgres: stopped, health: sick('read-only'), recovery: someone }),
  ],
  // A promotion that fails again and again does not come up either.
  [
    'cannot-start',
    'hand-over',
    aPrimary({
      record: aRecord({ epochs: [] }),
      postgres: stopped,
      restartsInPlace: 3,
      disk: { standbySignal: true },
    }),
  ],
  ['primary-serves', 'tend-primary', aPrimary({ restartsInPlace: 3 })],
  // It gives the lease up by itself, or lets it run out.
  [
    'busy',
    'none',
    aPrimary({ busy: 'hand-over', postgres: stopped, health: sick('frozen', 0), recovery: someone }),
  ],
  ...['start-primary', 'finish-promotion', 'acquire-and-promote'].map(
    (busy): Story => [
      'disk-frozen-while-busy',
      'let-lapse',
      aPrimary({ busy, postgres: { kind: 'unreachable' }, health: sick('frozen', 0), recovery: someone }),
    ],
  ),
  [
    'no-answer-too-long',
    'hand-over',
    aPrimary({ postgres: { kind: 'unreachable' }, troubledForMs: 60_001, recovery: someone }),
  ],
  [
    'recovery-too-long',
    'hand-over',
    aPrimary({
      postgres: { kind: 'starting-up' },
      troubledForMs: 10_001,
      recovery: someone,
      lease: synchronous,
    }),
  ],
  [
    'crash-hand-over',
    'hand-over',
    aPrimary({ postgres: stopped, recovery: { ...someone, walToReplayBytes: gigabyte }, lease: synchronous }),
  ],
  [
    'crash-hand-over-if-proven',
    'hand-over-if-proven',
    aPrimary({ postgres: stopped, recovery: { ...someone, walToReplayBytes: gigabyte } }),
  ],
  ['crash-in-place', 'start-primary', aPrimary({ postgres: stopped, recovery: someone })],
  ['crash-in-place', 'start-primary', aPrimary({ postgres: { kind: 'orphaned' } })],
  ['first-start', 'start-primary', aPrimary({ postgres: stopped, record: aRecord({ epochs: [] }) })],
  ['primary-coming', 'none', aPrimary({ postgres: { kind: 'starting-up' } })],
  ['lease-silent', 'seal', aStandby({ silentMs: sealAfterMs(5_000) })],
  [
    'lease-unattended',
    'request-failover',
    aStandby({ lease: aLease({ state: 'sealed' }), unattendedMs: 1_501 }),
  ],
  ['no-primary-start', 'start-standby', aStandby({ lease: aLease({ state: 'sealed' }), postgres: stopped })],
  ['no-primary', 'none', aStandby({ lease: aLease({ state: 'released' }) })],
  ['no-primary', 'none', aStandby({ record: aRecord({ epochs: [] }) })],
  ['upstream-unknown', 'none', aStandby({ upstreamKnown: false })],
  [
    'receiver-ended',
    'none',
    aStandby({ record: aRecord({ operation: op }), disk: { receiverEnded: { operation: op.id, epoch: 1 } } }),
  ],
  ['clone-waits-for-slot', 'none', aStandby({ postgres: stopped, disk: empty, slotReady: false })],
  ['clone', 'clone', aStandby({ postgres: stopped, disk: empty })],
  [
    'quarantined',
    'rebuild',
    aStandby({ postgres: stopped, disk: { dataDirectory: 'quarantined', systemIdentifier: null } }),
  ],
  ['standby-hung', 'kill-hung', aStandby({ health: hung })],
  ['disk-unfit', 'none', aStandby({ postgres: stopped, health: sick('full') })],
  ['disk-unfit', 'none', aStandby({ rejoin: 'rebuild', health: sick('read-only') })],
  ['rejoin-wait', 'none', aStandby({ postgres: stopped, rejoin: 'wait' })],
  ['rejoin-rewind', 'rewind', aStandby({ rejoin: 'rewind' })],
  ['rejoin-rebuild', 'rebuild', aStandby({ rejoin: 'rebuild' })],
  ['standby-stopped', 'start-standby', aStandby({ postgres: stopped, rejoin: 'start-as-is' })],
  [
    'follows-the-target',
    'none',
    aStandby({
      record: aRecord({ operation: op, failoverTargetPrimary: 'node3' }),
      postgres: { kind: 'standby', streaming: true, upstream: 'node3' },
    }),
  ],
  [
    'follows-another',
    'follow',
    aStandby({ postgres: { kind: 'standby', streaming: true, upstream: 'node3' } }),
  ],
  ['follows-by-another-login', 'follow', aStandby({ loginChanged: true })],
  // Receivers connect anew for it: not in the middle of a hand-over.
  ['standby-serves', 'none', aStandby({ loginChanged: true, record: aRecord({ operation: op }) })],
  ['standby-serves', 'none', aStandby()],
];

describe('what a database host does', () => {
  it.each(stories)('%s orders %s', (rule, order, state) => {
    const decision = decideHost(state);
    expect({ rule: decision.rule, order: decision.order.kind }).toEqual({ rule, order });
  });

  it('has a story for every row of the table, and no row twice', () => {
    const rules = hostTable.map((row) => row.rule);
    expect(new Set(rules).size).toBe(rules.length);
    expect(new Set(stories.map(([rule]) => rule))).toEqual(new Set(rules));
  });

  it('orders nothing that has no executor', () => {
    for (const [, order] of stories) expect(Object.keys(executeOrder)).toContain(order);
  });

  it('follows again when the operation that ended its receiver was aborted', () => {
    const state = aStandby({
      postgres: { kind: 'standby', streaming: false, upstream: null },
      disk: { receiverEnded: { operation: op.id, epoch: 1 } },
    });
    expect(decideHost(state).order).toEqual({ kind: 'follow', upstream: 'node1' });
  });

  it('asks for a failover in the place of a switchover whose primary was sealed', () => {
    const record = aRecord({ operation: { ...op, kind: 'switchover' } });
    const state = aStandby({ record, lease: aLease({ state: 'sealed' }), unattendedMs: 1_501 });
    expect(decideHost(state).order.kind).toBe('request-failover');
    const released = aStandby({ record, lease: aLease({ state: 'released' }), unattendedMs: 1_501 });
    expect(decideHost(released).order.kind).toBe('none');
  });

  it('stops PostgreSQL between rounds exactly where the whole table would', () => {
    for (const [, order, state] of stories) {
      expect(decideFencing(state)?.order.kind === 'kill-postgres').toBe(order === 'kill-postgres');
    }
  });

  it('never seals its own lease, as a stranger, or one that is not held', () => {
    const silentMs = 60_000;
    expect(decideHost(aPrimary({ silentMs })).order.kind).not.toBe('seal');
    expect(
      decideHost(aStandby({ silentMs, lease: aLease({ members: ['node1', 'node3'] }) })).order.kind,
    ).not.toBe('seal');
    expect(decideHost(aStandby({ silentMs, lease: aLease({ state: 'released' }) })).order.kind).not.toBe(
      'seal',
    );
    expect(decideHost(aStandby({ silentMs: sealAfterMs(5_000) - 1 })).order.kind).not.toBe('seal');
    // It has promised the holder not to (D2).
    expect(decideHost(aStandby({ silentMs, heldBack: true })).order.kind).not.toBe('seal');
  });
});
