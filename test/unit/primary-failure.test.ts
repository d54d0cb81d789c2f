/** The limits of the rows for a failed primary: what is just not a failure yet, and what is decided instead. */
import { describe, expect, it } from 'vitest';
import { decideFencing, decideHost } from '../../core/host/decide.ts';
import { type DiskCondition, type Responsiveness, wellHost } from '../../core/host/host-health.ts';
import type { HostState } from '../../core/host/host-state.ts';
import { asynchronous } from '../../core/model/lease.ts';
import { aLease, aPrimary, aRecord, aStandby } from '../support/host-states.ts';

const stopped = { kind: 'stopped' } as const;
const successors = ['node2', 'node3'];
const idle = { walToReplayBytes: 0, successors };
const busy = { walToReplayBytes: 2 ** 30, successors };
const alone = { walToReplayBytes: 2 ** 30, successors: [] };
const synchronous = aLease({ sync: { ...asynchronous, mode: 'on', k: 1, names: successors } });
const rule = (state: HostState) => decideHost(state).rule;

function answering(responsiveness: Partial<Responsiveness>): HostState['health'] {
  return { ...wellHost, responsiveness: { kind: 'stopped', forMs: 60_000, misses: 3, ...responsiveness } };
}

function disk(condition: DiskCondition, forMs = 5_000): HostState['health'] {
  return { ...wellHost, disk: { condition, forMs, detail: '' } };
}

describe('a postmaster that takes no new connection', () => {
  it('is hung after three questions, half a ttl when the kernel calls it stopped, three when it is only silent', () => {
    const at = (health: HostState['health']) => rule(aPrimary({ health }));
    expect(at(answering({ forMs: 2_500 }))).toBe('postmaster-hung');
    expect(at(answering({ forMs: 2_499 }))).toBe('primary-serves');
    expect(at(answering({ misses: 2 }))).toBe('primary-serves');
    expect(at(answering({ kind: 'silent', forMs: 15_000 }))).toBe('postmaster-hung');
    expect(at(answering({ kind: 'silent', forMs: 14_999 }))).toBe('primary-serves');
    expect(at(answering({ kind: 'refused' }))).toBe('primary-serves');
  });

  it('is found behind a kept connection that answers, and behind one that does not', () => {
    for (const kind of ['primary', 'unreachable', 'query-failed', 'starting-up'] as const) {
      expect(rule(aPrimary({ postgres: { kind }, health: answering({}) }))).toBe('postmaster-hung');
    }
  });

  it('is not there to be killed when nothing runs', () => {
    expect(rule(aPrimary({ postgres: stopped, health: answering({}) }))).toBe('crash-in-place');
  });

  it('of a standby is killed too, whether or not there is a primary', () => {
    expect(rule(aStandby({ health: answering({}) }))).toBe('standby-hung');
    const sealed = aLease({ state: 'sealed' });
    expect(rule(aStandby({ health: answering({}), lease: sealed }))).toBe('standby-hung');
  });
});

describe('a primary whose lease runs out', () => {
  it('is stopped with a word on whether its standbys were out of reach too', () => {
    const details = (streaming: readonly string[]) =>
      decideFencing(aPrimary({ holdStage: 'kill', recovery: { walToReplayBytes: 0, successors: streaming } }))
        ?.details;
    expect(details([])).toEqual({ standbys_streaming: 0, members: 3, cut_off_from_majority: true });
    expect(details(['node2'])).toMatchObject({ cut_off_from_majority: false });
  });
});

describe('a sick data disk', () => {
  it('of a primary that runs: a hand-over is asked for, once the second probe agrees', () => {
    for (const condition of ['full', 'read-only', 'failed'] as const) {
      expect(rule(aPrimary({ health: disk(condition), recovery: idle }))).toBe('disk-sick');
      expect(rule(aPrimary({ health: disk(condition, 999), recovery: idle }))).toBe('primary-serves');
    }
    expect(rule(aPrimary({ health: disk('unknown'), recovery: idle }))).toBe('primary-serves');
  });

  it('that takes no writes, under a primary that is down: handed over, for nothing can be started there', () => {
    const down = { postgres: stopped, recovery: idle };
    expect(rule(aPrimary({ ...down, health: disk('read-only') }))).toBe('disk-read-only');
    expect(rule(aPrimary({ ...down, health: disk('read-only', 999) }))).toBe('crash-in-place');
    expect(rule(aPrimary({ ...down, health: disk('full') }))).toBe('crash-in-place');
    const nobody = { postgres: stopped, recovery: alone };
    expect(rule(aPrimary({ ...nobody, health: disk('read-only') }))).toBe('crash-in-place');
  });

  it('leaves the primary where it is when nobody can take over, when it was just asked, and while the cluster is paused', () => {
    const sick = { health: disk('full'), recovery: idle };
    expect(rule(aPrimary({ ...sick, recovery: alone }))).toBe('primary-serves');
    expect(rule(aPrimary({ ...sick, handOverAskedForMs: 29_999 }))).toBe('primary-serves');
    expect(rule(aPrimary({ ...sick, handOverAskedForMs: 30_000 }))).toBe('disk-sick');
    expect(rule(aPrimary({ ...sick, record: aRecord({ paused: true }) }))).toBe('primary-serves');
    const operation = { id: 'c1-e1-a1', kind: 'failover', executionArn: null } as const;
    expect(rule(aPrimary({ ...sick, record: aRecord({ operation }) }))).toBe('primary-serves');
  });

  it('that is frozen: everything is killed at once, if somebody can take over', () => {
    expect(decideHost(aPrimary({ health: disk('frozen', 0), recovery: idle })).order.kind).toBe('hand-over');
    expect(rule(aPrimary({ health: disk('frozen', 0), recovery: alone }))).toBe('primary-serves');
    expect(
      rule(aPrimary({ postgres: { kind: 'unreachable' }, health: disk('frozen'), recovery: idle })),
    ).toBe('disk-frozen');
  });

  it('is not written to by a rewind, a rebuild, a clone or a start', () => {
    const empty = {
      dataDirectory: 'absent',
      systemIdentifier: null,
      standbySignal: false,
      dataEpoch: 0,
    } as const;
    expect(rule(aStandby({ health: disk('full'), rejoin: 'rewind' }))).toBe('disk-unfit');
    expect(rule(aStandby({ health: disk('frozen'), postgres: stopped, rejoin: 'start-as-is' }))).toBe(
      'disk-unfit',
    );
    expect(rule(aStandby({ health: disk('read-only'), postgres: stopped, disk: empty }))).toBe('disk-unfit');
    expect(rule(aStandby({ health: disk('full') }))).toBe('standby-serves');
  });
});

describe('a crashed primary', () => {
  it('is restarted in place when that is shorter, in any mode', () => {
    expect(rule(aPrimary({ postgres: stopped, recovery: idle }))).toBe('crash-in-place');
    expect(rule(aPrimary({ postgres: stopped, recovery: idle, lease: synchronous }))).toBe('crash-in-place');
  });

  it('is handed over when the synchronous set is complete and the recovery is longer', () => {
    expect(rule(aPrimary({ postgres: stopped, recovery: busy, lease: synchronous }))).toBe('crash-hand-over');
  });

  it('is never handed over without a proof while an acknowledged write may be here alone', () => {
    const one = { walToReplayBytes: 2 ** 30, successors: ['node2'] };
    expect(rule(aPrimary({ postgres: stopped, recovery: busy }))).toBe('crash-hand-over-if-proven');
    expect(decideHost(aPrimary({ postgres: stopped, recovery: one })).order).toEqual({
      kind: 'hand-over-if-proven',
      successors: ['node2'],
    });
    expect(rule(aPrimary({ postgres: stopped, recovery: one, lease: synchronous }))).toBe(
      'crash-hand-over-if-proven',
    );
    expect(rule(aPrimary({ postgres: stopped, recovery: alone, lease: synchronous }))).toBe('crash-in-place');
  });

  it('is not killed in a recovery that goes on, where its writes are nowhere else', () => {
    const coming = { postgres: { kind: 'starting-up' }, recovery: busy } as const;
    expect(rule(aPrimary({ ...coming, troubledForMs: 59_000 }))).toBe('primary-coming');
    expect(rule(aPrimary({ ...coming, troubledForMs: 80_000 }))).toBe('primary-coming');
    expect(rule(aPrimary({ ...coming, troubledForMs: 90_000 }))).toBe('no-answer-too-long');
    const unknown = { ...coming, recovery: { walToReplayBytes: null, successors } };
    expect(rule(aPrimary({ ...unknown, troubledForMs: 599_000 }))).toBe('primary-coming');
    expect(rule(aPrimary({ ...unknown, troubledForMs: 600_001 }))).toBe('no-answer-too-long');
  });

  it('stays where it is, however long it takes, when nobody streamed from it', () => {
    const state = aPrimary({ postgres: { kind: 'unreachable' }, troubledForMs: 700_000, recovery: alone });
    expect(rule(state)).toBe('primary-coming');
  });

  it('says in its decision what both ways were expected to take', () => {
    const decision = decideHost(aPrimary({ postgres: stopped, recovery: busy, lease: synchronous }));
    expect(decision.details).toMatchObject({
      hand_over_ms: 2_500,
      wal_to_replay_bytes: 2 ** 30,
      successors: 'node2 node3',
      synchronous_set_complete: true,
    });
    expect(decision.details?.['in_place_ms']).toBeGreaterThan(2_500);
  });
});
