/** The steps of a change of synchronous names, in their order (S1), and what an interrupted one goes on from. */
import { describe, expect, test } from 'vitest';
import { alone, type SynchronousRule, type SynchronousSet } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import { barrierPassed, type Sender } from '../../../core/synchronous/barrier.ts';
import {
  planSynchronous,
  type SynchronousView,
  synchronousRules,
} from '../../../core/synchronous/plan-synchronous.ts';
import { coverOf, describeRule, ruleText, sameRule } from '../../../core/synchronous/synchronous-rule.ts';

const any = (k: number, ...names: string[]): SynchronousRule => ({ method: 'any', k, names });
const one = any(1, 'b');
const two = any(1, 'b', 'c');
const set = (rule: SynchronousRule, next: SynchronousRule | null = null): SynchronousSet => ({
  ...rule,
  mode: 'on',
  next,
});

function decide(view: Partial<SynchronousView>) {
  return planSynchronous({
    ...{ sync: set(one), mode: 'on', wanted: one, inForce: one, barrierPassed: false },
    ...view,
  });
}

const table: readonly (readonly [string, Partial<SynchronousView>, object])[] = [
  ['sync-in-force', {}, { kind: 'nothing' }],
  ['sync-change', { wanted: two }, { kind: 'write', sync: set(one, two) }],
  ['sync-apply-next', { sync: set(one, two), wanted: two }, { kind: 'apply', to: two }],
  ['sync-apply-next', { sync: set(one, two), wanted: two, inForce: null }, { kind: 'apply', to: two }],
  ['sync-barrier', { sync: set(one, two), wanted: two, inForce: two }, { kind: 'await-barrier', of: two }],
  [
    'sync-settle',
    { sync: set(one, two), wanted: two, inForce: two, barrierPassed: true },
    { kind: 'write', sync: set(two) },
  ],
  [
    'sync-other-wanted',
    { sync: set(one, any(1, 'c')), wanted: any(1, 'd'), inForce: any(1, 'c'), barrierPassed: true },
    { kind: 'write', sync: set(any(1, 'b', 'c'), any(1, 'd')) },
  ],
  ['sync-apply-recorded', { inForce: null }, { kind: 'apply', to: one }],
  ['sync-apply-recorded', { inForce: two, wanted: two }, { kind: 'apply', to: one }],
  ['sync-alone', { wanted: alone }, { kind: 'write', sync: set(alone) }],
  ['sync-alone', { sync: set(one, two), wanted: alone, inForce: null }, { kind: 'write', sync: set(alone) }],
  ['sync-mode', { mode: 'strict' }, { kind: 'write', sync: { ...set(one), mode: 'strict' } }],
  [
    'sync-turned-off',
    { mode: 'off', wanted: alone },
    { kind: 'write', sync: { ...alone, mode: 'off', next: null } },
  ],
];

test.each(table)('%s: %j', (rule, view, step) => {
  expect(decide(view)).toEqual({ rule, step });
});

test('each row is reached by one of these', () => {
  expect(new Set(table.map(([rule]) => rule))).toEqual(new Set(synchronousRules));
});

test('turned on, elections go on as before until the first barrier; turned off, at once', () => {
  const off = { ...alone, mode: 'off' as const, next: null };
  const first = decide({ sync: off, wanted: one, inForce: alone });
  expect(first.step).toEqual({ kind: 'write', sync: { ...off, next: one } });
  const last = decide({ sync: { ...off, next: one }, wanted: one, inForce: one, barrierPassed: true });
  expect(last.step).toEqual({ kind: 'write', sync: set(one) });
});

describe('a rule', () => {
  test('is written as PostgreSQL takes it, by quoted names', () => {
    expect(ruleText(alone)).toBe('');
    expect(ruleText(any(2, 'node-1', 'node-2'))).toBe('ANY 2 ("node-1", "node-2")');
    expect(ruleText({ method: 'first', k: 1, names: ['b'] })).toBe('FIRST 1 ("b")');
    expect(ruleText(any(1))).toBe('ANY 1 ("leasehold_nobody")');
    expect([alone, any(1), any(2, 'b', 'c')].map(describeRule)).toEqual([
      'the primary alone',
      'ANY 1 of nobody yet',
      'ANY 2 of b, c',
    ]);
  });

  test('is the same in any order with ANY, and only in its order with FIRST', () => {
    const first = (...names: string[]): SynchronousRule => ({ method: 'first', k: 1, names });
    expect(sameRule(any(1, 'b', 'c'), any(1, 'c', 'b'))).toBe(true);
    expect(sameRule(first('b', 'c'), first('c', 'b'))).toBe(false);
    expect(sameRule(first('b'), any(1, 'b'))).toBe(false);
    expect(sameRule(any(1, 'b', 'c'), any(2, 'b', 'c'))).toBe(false);
    expect(sameRule(any(1, 'b', 'c'), any(1, 'b'))).toBe(false);
    expect(sameRule(any(0, 'b'), alone)).toBe(true);
  });

  test('covers two by the smaller k of all names; alone covers everything', () => {
    expect(coverOf(any(2, 'b', 'c'), any(1, 'c', 'd'))).toEqual(any(1, 'b', 'c', 'd'));
    expect(coverOf(one, alone)).toEqual(alone);
    expect(coverOf(set(one), null)).toEqual(one);
    expect(coverOf({ ...one, method: 'first' }, null)).toEqual({ ...one, method: 'first' });
  });
});

describe('the barrier', () => {
  const barrierLsn = lsnOf(100n);
  const sender = (name: string, flushed: bigint | null, priority = 1): Sender => ({
    ...{ name, priority, state: 'streaming' },
    flushLsn: flushed === null ? null : lsnOf(flushed),
  });
  const passed = (former: SynchronousRule, next: SynchronousRule, senders: readonly Sender[]) =>
    barrierPassed({ former, next, senders, barrierLsn });

  test('needs k of the new names past the record', () => {
    expect(passed(one, any(2, 'b', 'c'), [sender('b', 100n)])).toBe(false);
    expect(passed(one, any(2, 'b', 'c'), [sender('b', 100n), sender('c', 100n)])).toBe(true);
    expect(passed(one, any(1, 'b', 'c'), [sender('b', 100n)])).toBe(true);
    expect(passed(one, any(1, 'c'), [sender('b', 100n)])).toBe(false);
  });

  test('needs every walsender that could have the old rule past it, or out of it by its own account', () => {
    expect(passed(two, one, [sender('b', 100n), sender('c', 99n)])).toBe(false);
    expect(passed(two, one, [sender('b', 100n), sender('c', null)])).toBe(false);
    expect(passed(two, one, [sender('b', 100n), sender('c', 99n, 0)])).toBe(true);
    expect(passed(two, two, [sender('b', 100n), sender('c', 99n, 0)])).toBe(false);
    expect(passed(two, one, [sender('b', 100n), sender('x', 1n)])).toBe(true);
  });

  test('looks at all walsenders of one name: the former connection may be left', () => {
    expect(passed(one, one, [sender('b', 100n), sender('b', 1n)])).toBe(false);
  });
});
