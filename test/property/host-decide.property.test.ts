/** What must hold of the host's decision table in any state, likely or not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideHost } from '../../core/host/decide.ts';
import type { HostState } from '../../core/host/host-state.ts';
import { asynchronous } from '../../core/model/lease.ts';
import { aLease, aPrimary, aRecord, otherSystem, ownSystem } from '../support/host-states.ts';

const node = fc.constantFrom('node1', 'node2');
const epochs = fc.constantFrom(
  [],
  [{ epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] }],
  [
    { epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] },
    { epoch: 2, node: 'node2', timeline: 2, forkLsn: null, history: [] },
  ],
);
const operation = fc.constantFrom(null, { id: 'c1-e1-a1', kind: 'failover' as const, executionArn: null });

const anyState: fc.Arbitrary<HostState> = fc
  .record({
    node: fc.constant('node1'),
    incarnation: fc.constantFrom('i1', 'i9'),
    headRead: fc.boolean(),
    holdStage: fc.constantFrom('none', 'valid', 'unready', 'quit', 'kill', 'expired' as const),
    lease: fc.option(
      fc.record({
        holder: node,
        epoch: fc.constantFrom(1, 2),
        state: fc.constantFrom('held', 'released', 'sealed', 'fenced' as const),
        sync: fc.constantFrom(asynchronous, {
          ...asynchronous,
          mode: 'strict' as const,
          k: 1,
          names: ['node2'],
        }),
      }),
    ),
    record: fc.option(
      fc.record({
        systemIdentifier: fc.constantFrom(null, ownSystem, otherSystem),
        epochs,
        operation,
        members: fc.constantFrom(['node1', 'node2'], ['node2']),
        bootstrap: fc.constantFrom(
          null,
          { node: 'node1', nonce: 'n1', seq: 1 },
          { node: 'node2', nonce: 'n2', seq: 1 },
          { node: 'node1', nonce: 'n1', seq: 1, adopts: ownSystem },
          { node: 'node2', nonce: 'n2', seq: 1, adopts: ownSystem },
        ),
      }),
    ),
    postgres: fc.constantFrom<HostState['postgres']>(
      { kind: 'stopped' },
      { kind: 'orphaned' },
      { kind: 'starting-up' },
      { kind: 'unreachable' },
      { kind: 'query-failed' },
      { kind: 'primary' },
      { kind: 'standby', streaming: true, upstream: 'node2' },
      { kind: 'standby', streaming: false, upstream: null },
    ),
    disk: fc.record({
      dataDirectory: fc.constantFrom('absent', 'present', 'quarantined', 'foreign' as const),
      systemIdentifier: fc.constantFrom(null, ownSystem, otherSystem),
      standbySignal: fc.boolean(),
      bootstrapNonce: fc.constantFrom(null, 'n1', 'n2'),
      dataEpoch: fc.constantFrom(0, 1, 2),
      highestEpoch: fc.constantFrom(0, 1, 2),
      fencedEpoch: fc.constantFrom(0, 1, 2),
      receiverEnded: fc.constantFrom(null, { operation: 'c1-e1-a1', epoch: 1 }),
    }),
    busy: fc.constantFrom(null, 'follow'),
    rejoin: fc.constantFrom<HostState['rejoin']>(null, 'start-as-is', 'rewind', 'rebuild', 'wait'),
    health: fc.record({
      disk: fc.record({
        condition: fc.constantFrom('unknown', 'ok', 'full', 'read-only', 'frozen', 'failed' as const),
        forMs: fc.constantFrom(0, 60_000),
        detail: fc.constant(''),
      }),
      responsiveness: fc.record({
        kind: fc.constantFrom('unknown', 'answers', 'refused', 'silent', 'stopped' as const),
        forMs: fc.constantFrom(0, 60_000),
        misses: fc.nat(4),
      }),
    }),
    recovery: fc.record({
      walToReplayBytes: fc.constantFrom(null, 0, 2 ** 32),
      successors: fc.constantFrom([], ['node2']),
    }),
    handOverAskedForMs: fc.constantFrom(0, Number.POSITIVE_INFINITY),
    troubledForMs: fc.constantFrom(0, 700_000),
    restartsInPlace: fc.nat(4),
    heldBack: fc.boolean(),
    silentMs: fc.constantFrom(0, 10_000),
    unattendedMs: fc.constantFrom(0, 10_000),
    bootstrapSilentMs: fc.constantFrom(0, 10_000),
    slotReady: fc.boolean(),
    upstreamKnown: fc.boolean(),
    loginChanged: fc.boolean(),
    mayHaveOpened: fc.boolean(),
  })
  .map(({ lease, record, ...rest }) =>
    aPrimary({
      ...rest,
      lease: lease === null ? null : aLease(lease),
      record: record === null ? null : aRecord(record),
    }),
  );

const holds = (state: HostState): boolean =>
  state.watch.lease?.state === 'held' &&
  state.watch.lease.holder === state.node &&
  state.watch.lease.incarnation === state.incarnation;

describe('the host table, over any state', () => {
  const forAll = (
    property: (state: HostState, order: ReturnType<typeof decideHost>['order']) => void,
  ): void =>
    fc.assert(
      fc.property(anyState, (state) => property(state, decideHost(state).order)),
      { numRuns: 20_000 },
    );

  it('adopts only data that was named, on the node that was named, before the cluster has any', () => {
    forAll((state, order) => {
      if (order.kind !== 'adopt-directory') return;
      expect(state.record).toMatchObject({ systemIdentifier: null, bootstrap: { node: state.node } });
      expect(state.disk).toMatchObject({ dataDirectory: 'present', systemIdentifier: ownSystem });
      expect(state.watch.lease).toBeNull();
      expect(state.postgres.kind).toBe('stopped');
      expect(state.registered).toBe('here');
    });
  });

  it('makes no first data directory where data is to be adopted', () => {
    forAll((state, order) => {
      if (order.kind !== 'bootstrap' && order.kind !== 'discard-bootstrap') return;
      expect(state.record?.bootstrap?.adopts).toBeUndefined();
    });
  });

  it('makes PostgreSQL writable only with a lease that is valid at this instant, above the bar', () => {
    forAll((state, order) => {
      const opening = ['start-primary', 'finish-promotion', 'record-epoch', 'hand-over-if-proven'];
      if (!opening.includes(order.kind)) return;
      expect(holds(state)).toBe(true);
      expect(state.holdStage).toBe('valid');
    });
  });

  it('kills a primary that lacks the lease, whatever else is under way', () => {
    forAll((state, order) => {
      const lease = state.watch.lease;
      const mine = lease?.state === 'held' && lease.holder === state.node;
      if (state.headRead && state.postgres.kind === 'primary' && !mine)
        expect(order.kind).toBe('kill-postgres');
    });
  });

  it('gives the lease of a crashed primary up only with a complete synchronous set, or when it cannot go on here', () => {
    forAll((state, order) => {
      if (order.kind !== 'hand-over') return;
      const complete = state.watch.lease?.sync.k === 1 && state.recovery.successors.includes('node2');
      const gone = state.disk.dataDirectory !== 'present' || state.health.disk.condition === 'frozen';
      const hopeless = state.restartsInPlace >= 3 || state.troubledForMs > 600_000;
      expect(complete || gone || hopeless).toBe(true);
    });
  });

  it('does nothing about a sick disk where nobody could take over', () => {
    forAll((state, order) => {
      if (state.recovery.successors.length === 0) expect(order.kind).not.toBe('ask-hand-over');
    });
  });

  it('kills a primary at or below the barred epoch', () => {
    forAll((state, order) => {
      const epoch = state.watch.lease?.epoch ?? 0;
      if (state.headRead && state.postgres.kind === 'primary' && epoch <= state.disk.fencedEpoch) {
        expect(order.kind).toBe('kill-postgres');
      }
    });
  });

  it('never touches data of another system identifier', () => {
    const touching = ['clone', 'rewind', 'rebuild', 'start-standby', 'follow', 'start-primary', 'bootstrap'];
    forAll((state, order) => {
      const { dataDirectory, systemIdentifier } = state.disk;
      const cluster = state.record?.systemIdentifier;
      if (dataDirectory !== 'present' || cluster == null || systemIdentifier === cluster) return;
      expect(touching).not.toContain(order.kind);
    });
  });

  it('runs initdb only where there is no data, and only before the cluster has a system identifier', () => {
    forAll((state, order) => {
      if (order.kind !== 'bootstrap') return;
      expect(state.record?.systemIdentifier).toBeNull();
      expect(
        state.disk.dataDirectory === 'absent' || state.disk.bootstrapNonce === state.record?.bootstrap?.nonce,
      ).toBe(true);
    });
  });

  it('does nothing long while an action is being executed', () => {
    forAll((state, order) => {
      if (state.busy !== null) expect(['none', 'kill-postgres', 'seal', 'let-lapse']).toContain(order.kind);
    });
  });
});
