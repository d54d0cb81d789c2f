/** Whom a primary should wait for (S3), by how long each standby has streamed or has been gone. */
import { describe, expect, test } from 'vitest';
import type { SynchronousSpec } from '../../../core/model/cluster-record.ts';
import { alone, type SynchronousRule } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import type { Sender } from '../../../core/synchronous/barrier.ts';
import {
  hangMs,
  joinAfterMs,
  keepGoneMs,
  type Standbys,
  stallMs,
  trackStandbys,
  wantedRule,
} from '../../../core/synchronous/wanted-rule.ts';

const nowMs = 100_000;
const strict: SynchronousSpec = { mode: 'strict', method: 'any', k: 1 };
const on: SynchronousSpec = { ...strict, mode: 'on' };
const others = ['b', 'c'].map((node) => ({ node, failoverPriority: 0 }));
const any = (k: number, ...names: string[]): SynchronousRule => ({ method: 'any', k, names });

/** Positive: has streamed for so long; negative: has been gone for so long. */
function seen(forMs: Readonly<Record<string, number>>): Standbys {
  return new Map(
    Object.entries(forMs).map(([node, ms]) => [
      node,
      { streams: ms >= 0, sinceMs: nowMs - Math.abs(ms), flushLsn: null, movedMs: nowMs },
    ]),
  );
}

function wanted(spec: SynchronousSpec, current: SynchronousRule, forMs: Readonly<Record<string, number>>) {
  return wantedRule({ spec, current, others, standbys: seen(forMs), nowMs });
}

describe('who is waited for', () => {
  test('nobody, when it is off', () => {
    expect(wanted({ ...on, mode: 'off' }, any(1, 'b'), { b: 9_999, c: 9_999 })).toEqual(alone);
  });

  test('all who have streamed for a while', () => {
    expect(wanted(on, any(1, 'b'), { b: 9_999, c: joinAfterMs })).toEqual(any(1, 'b', 'c'));
    expect(wanted(on, any(1, 'b'), { b: 9_999, c: joinAfterMs - 1 })).toEqual(any(1, 'b'));
  });

  test('a newcomer at once, while one is lacking', () => {
    expect(wanted(on, alone, { b: 0, c: -9_999 })).toEqual(any(1, 'b'));
    expect(wanted(strict, any(1, 'b'), { b: -10, c: 0 })).toEqual(any(1, 'b', 'c'));
    expect(wanted({ ...on, k: 2 }, any(1, 'b'), { b: 9_999, c: 0 })).toEqual(any(2, 'b', 'c'));
  });

  test('one that is gone is kept for a while, so that a restart of it changes nothing', () => {
    expect(wanted(on, any(1, 'b', 'c'), { b: 9_999, c: 1 - keepGoneMs })).toEqual(any(1, 'b', 'c'));
    expect(wanted(on, any(1, 'b', 'c'), { b: 9_999, c: -keepGoneMs })).toEqual(any(1, 'b'));
  });

  test('for a shorter while when commits hang for want of it', () => {
    expect(wanted(on, any(1, 'b'), { b: 1 - hangMs, c: -9_999 })).toEqual(any(1, 'b'));
    expect(wanted(on, any(1, 'b'), { b: -hangMs, c: -9_999 })).toEqual(alone);
    expect(wanted({ ...on, k: 2 }, any(2, 'b', 'c'), { b: -hangMs, c: 9_999 })).toEqual(any(1, 'c'));
  });

  test('in strict mode k whatever comes, and those who are gone keep their names, so that they count when they return', () => {
    expect(wanted(strict, any(1, 'b', 'c'), { b: -9_999, c: -9_999 })).toEqual(any(1, 'b', 'c'));
    expect(wanted({ ...strict, k: 2 }, any(2, 'b', 'c'), { b: -9_999, c: 9_999 })).toEqual(any(2, 'b', 'c'));
    expect(wanted(strict, any(1), { b: -9_999, c: -9_999 })).toEqual(any(1));
    expect(wanted(strict, any(1, 'b'), { b: -9_999, c: 9_999 })).toEqual(any(1, 'c'));
  });

  test('never a node that may not be promoted', () => {
    const view = {
      spec: on,
      current: any(1, 'b', 'x'),
      others,
      standbys: seen({ b: 9_999, x: 9_999 }),
      nowMs,
    };
    expect(wantedRule(view)).toEqual(any(1, 'b'));
    expect(wantedRule({ ...view, spec: strict, standbys: seen({ x: 9_999 }) })).toEqual(any(1, 'b'));
  });

  test('in the order of their priority, then of their names', () => {
    const preferred = [
      { node: 'b', failoverPriority: 1 },
      { node: 'c', failoverPriority: 2 },
      { node: 'a', failoverPriority: 1 },
    ];
    const standbys = seen({ a: 9_999, b: 9_999, c: 9_999 });
    const first = { ...on, method: 'first' as const, k: 2 };
    expect(wantedRule({ spec: first, current: alone, others: preferred, standbys, nowMs })).toEqual({
      method: 'first',
      k: 2,
      names: ['c', 'a', 'b'],
    });
  });
});

describe('what is known of a standby', () => {
  const sender = (flushed: bigint, state = 'streaming'): Sender => ({
    ...{ name: 'b', state, priority: 0 },
    flushLsn: lsnOf(flushed),
  });
  const look = (senders: readonly Sender[], written = 100n) => ({
    nodes: ['b'],
    senders,
    writtenLsn: lsnOf(written),
  });

  test('it streams since it was first seen streaming; one that catches up does not stream yet', () => {
    const first = trackStandbys(new Map(), look([sender(1n, 'catchup')]), 0);
    expect(first.get('b')).toMatchObject({ streams: false, sinceMs: 0 });
    const second = trackStandbys(first, look([sender(100n)]), 500);
    expect(second.get('b')).toMatchObject({ streams: true, sinceMs: 500 });
    expect(trackStandbys(second, look([sender(100n)]), 900).get('b')).toMatchObject({ sinceMs: 500 });
    expect(trackStandbys(second, look([]), 900).get('b')).toMatchObject({ streams: false, sinceMs: 900 });
  });

  test('one that is behind and flushes nothing new counts as gone after a while, until it moves', () => {
    let known = trackStandbys(new Map(), look([sender(50n)]), 0);
    known = trackStandbys(known, look([sender(50n)]), stallMs - 1);
    expect(known.get('b')?.streams).toBe(true);
    known = trackStandbys(known, look([sender(50n)]), stallMs);
    expect(known.get('b')?.streams).toBe(false);
    known = trackStandbys(known, look([sender(51n)]), stallMs + 1);
    expect(known.get('b')?.streams).toBe(true);
  });

  test('one that has everything may be silent for as long as nothing is written', () => {
    const known = trackStandbys(new Map(), look([sender(100n)]), 0);
    expect(trackStandbys(known, look([sender(100n)]), 10 * stallMs).get('b')?.streams).toBe(true);
  });
});
