/** Whose promotion loses nothing (S2), and what a new epoch records of the past (S1). */
import { describe, expect, test } from 'vitest';
import { alone, asynchronous, type SynchronousRule, type SynchronousSet } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import { electionIsSafe, mayLose } from '../../../core/synchronous/election.ts';
import { firstRule, type NewEpochView, syncOfNewEpoch } from '../../../core/synchronous/new-epoch.ts';

const any = (k: number, ...names: string[]): SynchronousRule => ({ method: 'any', k, names });
const set = (rule: SynchronousRule, next: SynchronousRule | null = null): SynchronousSet => ({
  ...rule,
  mode: 'strict',
  next,
});
const answers = (positions: Readonly<Record<string, bigint>>) =>
  new Map(Object.entries(positions).map(([node, lsn]) => [node, lsnOf(lsn)]));

describe('an election', () => {
  const at = lsnOf(10n);

  test('needs n - k + 1 answers, whatever the method', () => {
    const three = any(2, 'b', 'c', 'd');
    expect(mayLose(set(three), answers({ b: 10n, c: 9n }), at)).toBeNull();
    expect(mayLose(set({ ...three, method: 'first' }), answers({ b: 10n }), at)).toBe(
      'commits were acknowledged by FIRST 2 of b, c, d: 2 of these must have answered, and c, d did not, or had more than any candidate',
    );
  });

  test('counts no answer from one that has more than the candidate', () => {
    expect(mayLose(set(any(1, 'b', 'c')), answers({ b: 10n, c: 11n }), at)).toContain(
      'c did not, or had more',
    );
    expect(mayLose(set(any(1, 'b', 'c')), answers({ b: 10n, c: 10n }), at)).toBeNull();
  });

  test('needs the answers of both rules while a change is under way', () => {
    expect(mayLose(set(any(1, 'b'), any(1, 'c')), answers({ b: 10n }), at)).toContain('ANY 1 of c');
    expect(mayLose(set(any(1, 'b'), any(1, 'c')), answers({ c: 10n }), at)).toContain('ANY 1 of b');
    expect(mayLose(set(any(1, 'b'), any(1, 'c')), answers({ b: 10n, c: 1n }), at)).toBeNull();
  });

  test('is never safe after the primary acknowledged alone', () => {
    expect(mayLose(set(alone), answers({ b: 10n, c: 10n }), at)).toContain('by itself');
    expect(mayLose(set(any(1, 'b'), alone), answers({ b: 10n }), at)).toContain('by itself');
  });

  test('needs nobody where nothing can have been acknowledged', () => {
    expect(mayLose(set(any(2, 'b')), answers({}), at)).toBeNull();
  });

  test('can be foreseen to be safe by who streams', () => {
    expect(electionIsSafe(set(any(1, 'b', 'c')), ['b', 'c'])).toBe(true);
    expect(electionIsSafe(set(any(1, 'b', 'c')), ['b'])).toBe(false);
    expect(electionIsSafe(set(any(2, 'b', 'c')), ['b'])).toBe(true);
    expect(electionIsSafe(set(any(1, 'b'), any(1, 'c')), ['b'])).toBe(false);
    expect(electionIsSafe(set(any(1)), [])).toBe(false);
    expect(electionIsSafe(set(alone), ['b', 'c'])).toBe(false);
    expect(electionIsSafe(asynchronous, ['b', 'c'])).toBe(false);
  });
});

describe('a new epoch', () => {
  const others = ['a', 'c'].map((node) => ({ node, failoverPriority: 0 }));
  const sealed: NewEpochView['lease'] = {
    ...{ holder: 'a', state: 'sealed', releasedAtLsn: null, neverPromoted: false },
    sync: set(any(1, 'b', 'c')),
  };
  const released: NewEpochView['lease'] = { ...sealed, state: 'released', releasedAtLsn: lsnOf(5n) };
  const strict = { mode: 'strict', method: 'any', k: 1 } as const;
  const view: NewEpochView = { lease: sealed, spec: strict, node: 'b', others };

  test('waits for those who can come: a holder that lost its lease only where they are too few', () => {
    expect(firstRule(view)).toEqual(any(1, 'c'));
    expect(firstRule({ ...view, spec: { ...strict, k: 2 } })).toEqual(any(2, 'a', 'c'));
    expect(firstRule({ ...view, lease: released })).toEqual(any(1, 'a', 'c'));
    expect(firstRule({ ...view, lease: { ...sealed, neverPromoted: true } })).toEqual(any(1, 'a', 'c'));
    expect(firstRule({ ...view, lease: null })).toEqual(any(1, 'a', 'c'));
  });

  test('prefers availability when asked to: with nobody to wait for it waits for nobody', () => {
    const on = { ...strict, mode: 'on', k: 2 } as const;
    expect(firstRule({ ...view, spec: on })).toEqual(any(1, 'c'));
    expect(firstRule({ ...view, spec: on, others: others.slice(0, 1) })).toEqual(alone);
    expect(firstRule({ ...view, spec: { mode: 'off', method: 'any', k: 0 } })).toEqual(alone);
    expect(firstRule({ ...view, others: [], lease: null })).toEqual(any(1));
  });

  test('records where the commits of the past are until the first barrier', () => {
    expect(syncOfNewEpoch(view, any(1, 'c'))).toEqual(set(any(1, 'b', 'c'), any(1, 'c')));
    const changing = { ...sealed, sync: set(any(1, 'b', 'c'), any(1, 'd')) };
    expect(syncOfNewEpoch({ ...view, lease: changing }, any(1, 'c'))).toEqual(
      set(any(1, 'b', 'c', 'd'), any(1, 'c')),
    );
  });

  test('after a clean stop the old primary has them all, unless it takes the lease again itself', () => {
    const next = any(1, 'a', 'c');
    expect(syncOfNewEpoch({ ...view, lease: released }, next)).toEqual(set(any(1, 'a'), next));
    expect(syncOfNewEpoch({ ...view, lease: released, node: 'a' }, next)).toEqual(
      set(any(1, 'b', 'c'), next),
    );
    const given = { ...released, holder: 'c', neverPromoted: true };
    expect(syncOfNewEpoch({ ...view, lease: given }, next)).toEqual(set(any(1, 'b', 'c'), next));
  });

  test('promises nothing of the past where it was asynchronous', () => {
    const off = { ...sealed, sync: asynchronous };
    const next = any(1, 'c');
    expect(syncOfNewEpoch({ ...view, lease: off }, next)).toEqual({ ...alone, mode: 'off', next });
    const turnedOff = { ...view, spec: { mode: 'off', method: 'any', k: 0 } } as const;
    expect(syncOfNewEpoch(turnedOff, alone)).toEqual(asynchronous);
  });
});
