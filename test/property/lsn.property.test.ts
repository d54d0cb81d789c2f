// Positions keep their value through text, their order through numbers, and one place in exactly one segment file.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  compareLsn,
  formatLsn,
  lsnBytesBetween,
  lsnOf,
  parseLsn,
  walFileName,
} from '../../core/model/lsn.ts';

const lsns = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(lsnOf);
const segmentBytes = fc.integer({ min: 20, max: 30 }).map((power) => 2 ** power);

test('parsing undoes formatting', () => {
  fc.assert(
    fc.property(lsns, (lsn) => {
      expect(parseLsn(formatLsn(lsn))).toBe(lsn);
    }),
  );
});

test('parsing accepts only what formatting could have printed, leading zeros and case aside', () => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9A-Fa-f/ ]{0,20}$/));
  fc.assert(
    fc.property(texts, (text) => {
      const lsn = parseLsn(text);
      if (lsn === null) return;
      const normal = text.split('/').map((part) => part.replace(/^0+(?=.)/, '').toUpperCase());
      expect(formatLsn(lsn)).toBe(normal.join('/'));
    }),
  );
});

test('order and distance agree, and distance is antisymmetric', () => {
  fc.assert(
    fc.property(lsns, lsns, (a, b) => {
      expect(Math.sign(lsnBytesBetween(a, b))).toBe(compareLsn(b, a));
      expect(lsnBytesBetween(a, b) + lsnBytesBetween(b, a)).toBe(0);
    }),
  );
});

test('file names sort as positions do, and a segment has exactly its bytes', () => {
  fc.assert(
    fc.property(
      lsns,
      lsns,
      segmentBytes,
      fc.integer({ min: 1, max: 0xffff_ffff }),
      (a, b, size, timeline) => {
        const names = [walFileName(timeline, a, size), walFileName(timeline, b, size)] as const;
        const sameSegment = a / BigInt(size) === b / BigInt(size);
        expect(names[0] === names[1]).toBe(sameSegment);
        if (!sameSegment) expect(names[0] < names[1]).toBe(a < b);
        expect(names[0]).toMatch(/^[0-9A-F]{24}$/);
      },
    ),
  );
});
