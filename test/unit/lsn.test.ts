// Positions: text in, text out, order, distance and file names, against values printed by PostgreSQL 15.

import { expect, test } from 'vitest';
import {
  compareLsn,
  formatLsn,
  lsnBytesBetween,
  lsnOf,
  parseLsn,
  walFileName,
} from '../../core/model/lsn.ts';
import { parseSystemIdentifier } from '../../core/model/system-identifier.ts';

const lsn = (text: string) => parseLsn(text) ?? expect.fail(`not an LSN: ${text}`);

test('a position is read from and printed as PostgreSQL does', () => {
  expect(lsn('0/3000060')).toBe(0x3000060n);
  expect(lsn('16/b374d848')).toBe(0x16b374d848n);
  expect(formatLsn(lsn('16/b374d848'))).toBe('16/B374D848');
  expect(formatLsn(lsn('ffffffff/00000001'))).toBe('FFFFFFFF/1');
});

test.each([
  '',
  '/',
  '0/',
  '/0',
  '0/123456789',
  ' 0/1',
  '0/1 ',
  '0/1\n',
  'g/1',
  '-1/0',
  '0x1/0',
  '0/1/2',
  '30',
])('refuses %j', (text) => {
  expect(parseLsn(text)).toBeNull();
});

test('positions are ordered by number, not as text', () => {
  expect(compareLsn(lsn('0/9'), lsn('0/10'))).toBe(-1);
  expect(compareLsn(lsn('1/0'), lsn('0/FFFFFFFF'))).toBe(1);
  expect(compareLsn(lsn('0/A'), lsn('0/a'))).toBe(0);
});

test('the distance has a sign and never loses precision silently', () => {
  expect(lsnBytesBetween(lsn('0/FFFFFFFF'), lsn('1/0'))).toBe(1);
  expect(lsnBytesBetween(lsn('1/0'), lsn('0/FFFFFFFF'))).toBe(-1);
  expect(lsnBytesBetween(lsn('0/0'), lsn('FFFFFFFF/FFFFFFFF'))).toBe(Number.MAX_SAFE_INTEGER);
});

test('a number outside 64 bits is a bug', () => {
  expect(() => lsnOf(-1n)).toThrow(RangeError);
  expect(() => lsnOf(1n << 64n)).toThrow(RangeError);
});

// The values of pg_walfile_name() for those positions and segment sizes.
test.each([
  [1, '0/3000060', 16 << 20, '000000010000000000000003'],
  [2, '16/B374D848', 16 << 20, '0000000200000016000000B3'],
  [0x1f, '1/40000000', 1 << 30, '0000001F0000000100000001'],
  [1, '0/1FFFFF', 1 << 20, '000000010000000000000001'],
])('timeline %i at %s with segments of %i bytes is in %s', (timeline, text, segmentBytes, name) => {
  expect(walFileName(timeline, lsn(text), segmentBytes)).toBe(name);
});

test('a segment size that initdb would refuse is refused', () => {
  expect(() => walFileName(1, lsn('0/1'), 1000)).toThrow(RangeError);
  expect(() => walFileName(1, lsn('0/1'), 3 << 20)).toThrow(RangeError);
});

test('a system identifier keeps all its digits', () => {
  expect(parseSystemIdentifier('7441234567890123457')?.toString()).toBe('7441234567890123457');
  for (const text of ['', '0', '-1', '01', '7e18', '18446744073709551616'])
    expect(parseSystemIdentifier(text)).toBeNull();
});
