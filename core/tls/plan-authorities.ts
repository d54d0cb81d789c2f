/**
 * Which certificate authorities a cluster has now: when the next is made, which signs, which are trusted. A new one is distributed long
 * before it signs anything, so that whoever verifies certificates has it by then; an old one is trusted until it expires, because what
 * it signed does not outlive it.
 */
import type { Authority } from '../model/tls.ts';

export interface AuthorityPolicy {
  readonly lifetimeMs: number;
  /** The next one is made when the newest has less left than this. */
  readonly makeNextBeforeMs: number;
  /** How long the next one is only distributed. */
  readonly distributeMs: number;
}

const dayMs = 24 * 3_600_000;

export const authorityPolicy: AuthorityPolicy = {
  lifetimeMs: 3_652 * dayMs,
  makeNextBeforeMs: 365 * dayMs,
  distributeMs: 90 * dayMs,
};

export interface AuthorityPlan {
  readonly rule: 'first-authority' | 'next-authority' | 'settled';
  /** An authority is to be made, and the plan made again with it. */
  readonly make: boolean;
  /** Null exactly when there is none. */
  readonly signing: Authority | null;
  /** Newest first; never one that has expired. */
  readonly trusted: readonly Authority[];
}

export function planAuthorities(
  authorities: readonly Authority[],
  nowMs: number,
  policy: AuthorityPolicy = authorityPolicy,
): AuthorityPlan {
  const trusted = authorities
    .filter(({ expiresAtMs }) => expiresAtMs > nowMs)
    .toSorted((one, other) => other.madeAtMs - one.madeAtMs);
  const newest = trusted[0];
  if (newest === undefined) return { rule: 'first-authority', make: true, signing: null, trusted };
  const signing =
    trusted.find(({ madeAtMs }) => nowMs - madeAtMs >= policy.distributeMs) ?? trusted.at(-1) ?? newest;
  const make = newest.expiresAtMs - nowMs < policy.makeNextBeforeMs;
  return { rule: make ? 'next-authority' : 'settled', make, signing, trusted };
}
