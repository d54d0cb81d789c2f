/**
 * Every write against every lease it might find: a table of what lands, said independently of the code. The writes of one
 * lease are tried on that lease and on all its neighbours (another seq, epoch, state, holder, incarnation, successor, operation).
 */
import { describe, expect, test } from 'vitest';
import * as writes from '../../core/lease/lease-write.ts';
import { asynchronous, type Lease, type LeaseState } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { sampleLease } from '../support/samples.ts';

const me = { node: 'node1', incarnation: 'i-1' };
const successor = { node: 'node2', incarnation: 'i-2' };
const held: Lease = { ...sampleLease, state: 'held', releasedAtLsn: null };
const released: Lease = { ...held, state: 'released', releasedAtLsn: lsnOf(96n) };
const sealed: Lease = { ...held, state: 'sealed' };
const next = { ttlMs: 5000, members: ['node2'], sync: asynchronous };
const stopped = { operation: 'op2', successor: 'node3', releasedAtLsn: lsnOf(96n) };
const states: readonly LeaseState[] = ['held', 'released', 'sealed', 'fenced'];

const neighbours: Readonly<Record<string, Partial<Lease>>> = {
  seq: { seq: held.seq + 1 },
  epoch: { epoch: held.epoch + 1 },
  holder: { holder: 'node3' },
  incarnation: { incarnation: 'i-9' },
  successor: { successor: 'node3' },
  'no successor': { successor: null },
  operation: { operation: 'op9' },
};

interface Row {
  readonly write: writes.LeaseWrite;
  readonly decidedOn: Lease;
  readonly states: readonly LeaseState[];
  /** Neighbours on which it does not land. */
  readonly guards: readonly string[];
}

const seen = ['seq', 'epoch'];
const asHolder = ['epoch', 'holder', 'incarnation'];
const notHeld = ['released', 'sealed', 'fenced'] as const;
const rows: Readonly<Record<string, Row>> = {
  adopt: {
    write: writes.adopt(held, { node: 'node1', incarnation: 'i-9' }),
    decidedOn: held,
    states: ['held'],
    guards: [...seen, 'holder'],
  },
  renew: { write: writes.renew(held, me), decidedOn: held, states: ['held'], guards: asHolder },
  'renew with a change': {
    write: writes.renew(held, me, { members: ['node1'] }),
    decidedOn: held,
    states: ['held'],
    guards: [...asHolder, 'seq'],
  },
  announce: {
    write: writes.announce(held, me, 'op2', 'node3'),
    decidedOn: held,
    states: ['held'],
    guards: [...asHolder, 'seq'],
  },
  withdraw: {
    write: writes.withdraw(held, me),
    decidedOn: held,
    states: ['held'],
    guards: [...asHolder, 'seq'],
  },
  release: {
    write: writes.release(held, me, stopped),
    decidedOn: held,
    states: ['held'],
    guards: [...asHolder, 'seq'],
  },
  seal: { write: writes.seal(held), decidedOn: held, states: ['held'], guards: seen },
  'fence of a held lease': { write: writes.fence(held), decidedOn: held, states: ['held'], guards: seen },
  'fence of a sealed lease': {
    write: writes.fence(sealed),
    decidedOn: sealed,
    states: ['sealed'],
    guards: ['epoch'],
  },
  'name-successor': {
    write: writes.nameSuccessor(sealed, 'op2', 'node3'),
    decidedOn: sealed,
    states: notHeld,
    guards: seen,
  },
  acquire: {
    write: writes.acquire(sealed, successor, sealed.operation ?? '', next),
    decidedOn: sealed,
    states: notHeld,
    guards: [...seen, 'successor', 'no successor', 'operation'],
  },
};

describe.each(Object.entries(rows))('%s', (_name, { write, decidedOn, states: landsIn, guards }) => {
  const lands = (lease: Lease | null): boolean => writes.applyLeaseWrite(lease, write) !== null;

  test.each(states)('finds a lease that is %s', (state) => {
    expect(lands({ ...decidedOn, state })).toBe(landsIn.includes(state));
  });

  test.each(Object.entries(neighbours))('finds another %s', (name, change) => {
    expect(lands({ ...decidedOn, ...change })).toBe(!guards.includes(name));
  });

  test('finds no lease', () => {
    expect(lands(null)).toBe(false);
  });

  test('raises seq by one and changes nothing that it does not set', () => {
    const after = writes.applyLeaseWrite(decidedOn, write);
    expect(after).toEqual({ ...decidedOn, ...write.set, seq: decidedOn.seq + 1 });
  });
});

test('create makes the first lease, where there is none', () => {
  const write = writes.createLease(me, { ttlMs: 2000, timeline: 1, members: ['node1'] });
  expect(writes.applyLeaseWrite(null, write)).toEqual({
    ...{ holder: 'node1', incarnation: 'i-1', epoch: 1, seq: 1, ttlMs: 2000, state: 'held', operation: null },
    ...{ successor: null, timeline: 1, releasedAtLsn: null, neverPromoted: false, members: ['node1'] },
    sync: asynchronous,
  });
  for (const state of states) expect(writes.applyLeaseWrite({ ...held, state }, write)).toBeNull();
});

test('each write sets what the design says, and no more', () => {
  expect(writes.adopt(held, me).set).toEqual({ incarnation: 'i-1', operation: null, successor: null });
  expect(writes.renew(held, me).set).toEqual({});
  expect(writes.renew(held, me, { members: ['node1'] }).set).toEqual({ members: ['node1'] });
  expect(writes.announce(held, me, 'op2', 'node3').set).toEqual({ operation: 'op2', successor: 'node3' });
  expect(writes.withdraw(held, me).set).toEqual({ operation: null, successor: null });
  expect(writes.release(held, me, stopped).set).toEqual({
    ...stopped,
    state: 'released',
    neverPromoted: false,
  });
  expect(writes.release(held, me, { ...stopped, neverPromoted: true }).set.neverPromoted).toBe(true);
  const changing = {
    ...held,
    sync: { ...asynchronous, next: { method: 'any', k: 1, names: ['node2'] } },
  } as const;
  expect(writes.release(changing, me, stopped).set.sync).toBeUndefined();
  expect(writes.release(changing, me, { ...stopped, neverPromoted: true }).set.sync).toEqual(asynchronous);
  expect(writes.renew(held, me, { sync: changing.sync })).toMatchObject({
    expect: { seq: held.seq },
    set: { sync: changing.sync },
  });
  const cleared = { operation: null, successor: null, releasedAtLsn: null };
  expect(writes.seal(held).set).toEqual({ ...cleared, state: 'sealed' });
  expect(writes.fence(held).set).toEqual({ ...cleared, state: 'fenced' });
  expect(writes.fence(sealed).set).toEqual({ state: 'fenced', releasedAtLsn: null });
  expect(writes.nameSuccessor(sealed, 'op2', 'node3').set).toEqual({ operation: 'op2', successor: 'node3' });
  expect(writes.acquire(released, successor, 'op2', next).set).toEqual({
    ...{
      ...cleared,
      ...next,
      holder: 'node2',
      incarnation: 'i-2',
      epoch: 4,
      state: 'held',
      neverPromoted: false,
    },
  });
});

test('a lease that was released cannot be fenced or sealed: its LSN would be lost', () => {
  for (const write of [writes.fence(released), writes.seal(released)]) {
    expect(writes.applyLeaseWrite(released, write)).toBeNull();
  }
});
