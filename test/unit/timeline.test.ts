// Timelines: history files as the server writes them, and who may follow whom after promotions.

import { expect, test } from 'vitest';
import { parseLsn } from '../../core/model/lsn.ts';
import {
  commonAncestor,
  FIRST_TIMELINE,
  forkPoint,
  isAncestor,
  relation,
  type TimelineHistory,
} from '../../core/model/timeline.ts';
import { historyFileName, parseHistory, parseTimelineHistory } from '../../core/wire/parse-history.ts';

const lsn = (text: string) => parseLsn(text) ?? expect.fail(`not an LSN: ${text}`);

const third: TimelineHistory = {
  timeline: 3,
  ancestors: [
    { timeline: 1, switchLsn: lsn('0/3000000'), reason: 'no recovery target specified' },
    { timeline: 2, switchLsn: lsn('0/5000000'), reason: 'no recovery target specified' },
  ],
};
const second: TimelineHistory = { timeline: 2, ancestors: third.ancestors.slice(0, 1) };
/** Promoted from timeline 1 at another place than timeline 2: a sibling. */
const sibling: TimelineHistory = {
  timeline: 4,
  ancestors: [{ timeline: 1, switchLsn: lsn('0/2000000'), reason: '' }],
};

test("the server's own file is read with its reasons", () => {
  const text = '1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tno recovery target specified\n';
  expect(parseHistory(text)).toEqual({ kind: 'history', entries: third.ancestors });
  expect(parseTimelineHistory(3, text)).toEqual({ kind: 'history', history: third });
  expect(historyFileName(0x1f)).toBe('0000001F.history');
});

test('comments and a missing reason are accepted, an empty file has no ancestors', () => {
  expect(parseHistory('# made by hand\n1 0/10\n')).toEqual({
    kind: 'history',
    entries: [{ timeline: 1, switchLsn: 0x10n, reason: '' }],
  });
  expect(parseHistory('')).toEqual({ kind: 'history', entries: [] });
});

test.each([
  ['1\tnot-an-lsn\tx\n', 'line 1'],
  ['2\t0/1\tx\n1\t0/2\tx\n', 'line 2: timelines must rise'],
  ['1\t0/9\tx\n2\t0/8\tx\n', 'line 2: switch points must not fall'],
  ['0\t0/9\tx\n', 'line 1: timelines must rise'],
  ['4294967296\t0/9\tx\n', 'line 1'],
])('refuses %j', (text, reason) => {
  expect(parseHistory(text)).toMatchObject({
    kind: 'invalid-input',
    reason: expect.stringContaining(reason),
  });
});

test('a timeline cannot branch from itself or a later one', () => {
  expect(parseTimelineHistory(2, '2\t0/5\tx\n')).toMatchObject({ kind: 'invalid-input' });
});

test('the fork point is where a history left a timeline', () => {
  expect(forkPoint(third, 1)).toBe(lsn('0/3000000'));
  expect(forkPoint(third, 2)).toBe(lsn('0/5000000'));
  expect(forkPoint(third, 3)).toBeNull();
  expect(forkPoint(third, 9)).toBeNull();
});

test('a position is on the path up to and including the fork', () => {
  expect(isAncestor({ timeline: 1, lsn: lsn('0/3000000') }, third)).toBe(true);
  expect(isAncestor({ timeline: 1, lsn: lsn('0/3000001') }, third)).toBe(false);
  expect(isAncestor({ timeline: 3, lsn: lsn('F/0') }, third)).toBe(true);
  expect(isAncestor({ timeline: 4, lsn: lsn('0/1') }, third)).toBe(false);
});

test('histories share what began at the same place', () => {
  expect(commonAncestor(third, second)).toEqual({ timeline: 2, lsn: lsn('0/5000000') });
  expect(commonAncestor(third, sibling)).toEqual({ timeline: 1, lsn: lsn('0/2000000') });
  expect(commonAncestor(third, third)).toEqual({ timeline: 3, lsn: null });
  expect(commonAncestor({ timeline: 7, ancestors: [] }, third)).toBeNull();
});

test('timelines of one number that began at different places are not one timeline', () => {
  const otherSecond: TimelineHistory = { timeline: 2, ancestors: sibling.ancestors };
  expect(commonAncestor(second, otherSecond)).toEqual({ timeline: 1, lsn: lsn('0/2000000') });
  expect(
    relation({ history: second, lsn: lsn('0/4000000') }, { history: otherSecond, lsn: lsn('0/4000000') }),
  ).toBe('diverged');
});

test.each([
  [FIRST_TIMELINE, '0/3000000', third, '0/6000000', 'ancestor'],
  [FIRST_TIMELINE, '0/3000001', third, '0/6000000', 'diverged'],
  [FIRST_TIMELINE, '0/2000000', FIRST_TIMELINE, '0/2000000', 'same'],
  [FIRST_TIMELINE, '0/2000000', FIRST_TIMELINE, '0/1000000', 'descendant'],
  [FIRST_TIMELINE, '0/3000000', second, '0/3000000', 'ancestor'],
  // A standby told of timeline 2 that has not replayed up to it yet is behind, not diverged.
  [FIRST_TIMELINE, '0/3000001', second, '0/2000000', 'descendant'],
  [second, '0/4000000', sibling, '0/2000001', 'diverged'],
] as const)('%o at %s against %o at %s: %s', (a, aLsn, b, bLsn, expected) => {
  expect(relation({ history: a, lsn: lsn(aLsn) }, { history: b, lsn: lsn(bLsn) })).toBe(expected);
});
