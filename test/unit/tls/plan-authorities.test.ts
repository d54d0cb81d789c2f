/** Authorities over many years: one always signs, what it signs is trusted as long as it lives, and a new one is known long before. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Authority } from '../../../core/model/tls.ts';
import {
  type AuthorityPolicy,
  authorityPolicy,
  planAuthorities,
} from '../../../core/tls/plan-authorities.ts';

const dayMs = 24 * 3_600_000;
const policy: AuthorityPolicy = {
  lifetimeMs: 1000 * dayMs,
  makeNextBeforeMs: 300 * dayMs,
  distributeMs: 90 * dayMs,
};
const start = 1_800_000_000_000;

function authority(madeAtDay: number, lifetimeDays = 1000): Authority {
  const madeAtMs = start + madeAtDay * dayMs;
  return {
    id: `a${madeAtDay}`,
    certificate: 'C',
    privateKey: 'K',
    madeAtMs,
    expiresAtMs: madeAtMs + lifetimeDays * dayMs,
  };
}

const plan = (authorities: readonly Authority[], day: number) =>
  planAuthorities(authorities, start + day * dayMs, policy);

describe('a cluster', () => {
  test('without an authority gets one', () => {
    expect(plan([], 0)).toEqual({ rule: 'first-authority', make: true, signing: null, trusted: [] });
  });

  test('has its first authority sign at once', () => {
    expect(plan([authority(0)], 0)).toMatchObject({ rule: 'settled', make: false, signing: { id: 'a0' } });
  });

  test('gets the next one in the last part of the life of the newest, and not before', () => {
    expect(plan([authority(0)], 700)).toMatchObject({ make: false });
    expect(plan([authority(0)], 701)).toMatchObject({
      rule: 'next-authority',
      make: true,
      signing: { id: 'a0' },
    });
    expect(plan([authority(0), authority(701)], 702)).toMatchObject({ make: false });
  });

  test('trusts the next one before that signs', () => {
    const both = [authority(0), authority(701)];
    const first = plan(both, 702);
    expect(first.trusted.map(({ id }) => id)).toEqual(['a701', 'a0']);
    expect(first.signing?.id).toBe('a0');
    expect(plan(both, 790).signing?.id).toBe('a0');
    expect(plan(both, 791).signing?.id).toBe('a701');
  });

  test('trusts the former one until it has expired', () => {
    const both = [authority(0), authority(701)];
    expect(plan(both, 999).trusted.map(({ id }) => id)).toEqual(['a701', 'a0']);
    expect(plan(both, 1000).trusted.map(({ id }) => id)).toEqual(['a701']);
  });

  test('whose authorities have all expired gets a new one', () => {
    expect(plan([authority(0)], 1000)).toMatchObject({ rule: 'first-authority', make: true, trusted: [] });
  });

  test('whose old authority is gone uses the next one although it was made yesterday', () => {
    expect(plan([authority(50)], 51).signing?.id).toBe('a50');
  });
});

test('for thirty years, looked at every few days, someone signs, and only who has been known for long enough', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 300, maxLength: 300 }), (steps) => {
      let authorities: Authority[] = [];
      let day = 0;
      for (const step of steps) {
        day += step;
        let now = plan(authorities, day);
        if (now.make) {
          authorities = [authority(day), ...now.trusted];
          now = plan(authorities, day);
        }
        const nowMs = start + day * dayMs;
        expect(now.make).toBe(false);
        if (now.signing === null) throw new Error('nobody signs');
        expect(now.trusted.length).toBeLessThanOrEqual(2);
        expect(now.signing.expiresAtMs).toBeGreaterThan(nowMs);
        // A certificate of thirty days fits into what is left of its authority, or another one signs.
        const isFirst = authorities.every(({ madeAtMs }) => madeAtMs >= (now.signing?.madeAtMs ?? 0));
        const knownForMs = nowMs - now.signing.madeAtMs;
        expect(isFirst || knownForMs >= policy.distributeMs).toBe(true);
        if (now.trusted.length === 1)
          expect(now.signing.expiresAtMs - nowMs).toBeGreaterThanOrEqual(policy.makeNextBeforeMs);
      }
    }),
    { numRuns: 20 },
  );
});

test('a real authority lives ten years, and the next is known for three months of the last one', () => {
  expect(authorityPolicy.makeNextBeforeMs).toBeGreaterThan(2 * authorityPolicy.distributeMs);
  expect(authorityPolicy.lifetimeMs / dayMs).toBeGreaterThan(3_650);
});
