/**
 * What the health endpoints answer, with the paths, parameters and status codes of Patroni's REST API, so that an existing
 * haproxy.cfg, target group or probe works unchanged. `/primary` is 200 only while the lease is valid at this instant
 * (invariant L3): the caller computes `leaseValid` when it is asked, never from a cache.
 */
import type { NodeTags } from '../model/node-report.ts';

export interface HealthFacts {
  readonly postgres: 'running' | 'starting' | 'stopped' | 'unreachable';
  readonly role: 'primary' | 'standby' | 'none';
  readonly leaseValid: boolean;
  /** This node is about to pass the lease on: new clients should go elsewhere. */
  readonly handingOver: boolean;
  readonly streaming: boolean;
  readonly lagBytes: number | null;
  /** Each acknowledged commit is on this standby; it is one of those of which enough have each acknowledged commit. */
  readonly sync: boolean;
  readonly quorum: boolean;
  readonly tags: NodeTags;
  /** The agent's loop ran within its bound. */
  readonly loopAlive: boolean;
}

/** `notFound` for a path that is none of the health checks. */
export type HealthAnswer = 200 | 503 | 'notFound';

/** A standby is ready while it is not further behind than this. */
const readyLagBytes = 16 * 1024 * 1024;

/** A URL's query, as `URLSearchParams` has it. */
export interface QueryParameters {
  get(name: string): string | null;
}

type Check = (facts: HealthFacts, query: QueryParameters) => boolean;

const isPrimary: Check = (f) =>
  f.postgres === 'running' && f.role === 'primary' && f.leaseValid && !f.handingOver;

const isStandby: Check = (f, query) => {
  if (f.postgres !== 'running' || f.role !== 'standby') return false;
  const limit = parseSize(query.get('lag'));
  return limit === null || (f.lagBytes !== null && f.lagBytes <= limit);
};

const checks: Readonly<Record<string, Check>> = {
  '/': isPrimary,
  '/primary': isPrimary,
  '/read-write': isPrimary,
  '/leader': isPrimary,
  '/master': isPrimary,
  '/replica': isStandby,
  '/read-only': (f, query) => isPrimary(f, query) || isStandby(f, query),
  '/sync': (f, query) => isStandby(f, query) && f.sync,
  '/synchronous': (f, query) => isStandby(f, query) && f.sync,
  '/quorum': (f, query) => isStandby(f, query) && f.quorum,
  '/read-only-sync': (f, query) => isPrimary(f, query) || (isStandby(f, query) && f.sync),
  '/read-only-quorum': (f, query) => isPrimary(f, query) || (isStandby(f, query) && f.quorum),
  '/async': (f, query) => isStandby(f, query) && !f.sync && !f.quorum,
  '/asynchronous': (f, query) => isStandby(f, query) && !f.sync && !f.quorum,
  '/health': (f) => f.postgres === 'running',
  '/liveness': (f) => f.loopAlive,
  '/readiness': (f, query) =>
    isPrimary(f, query) ||
    (isStandby(f, query) && f.streaming && (f.lagBytes === null || f.lagBytes <= readyLagBytes)),
};

export function healthAnswer(path: string, query: QueryParameters, facts: HealthFacts): HealthAnswer {
  const check = checks[path];
  if (check === undefined) return 'notFound';
  return check(facts, query) ? 200 : 503;
}

/** Patroni's sizes: a number of bytes, or with kB, MB, GB, TB. Null when there is none or it is not understood. */
export function parseSize(text: string | null): number | null {
  const match = /^(\d+)\s*(B|kB|MB|GB|TB)?$/.exec(text ?? '');
  if (match === null) return null;
  const powers: Readonly<Record<string, number>> = { B: 0, kB: 1, MB: 2, GB: 3, TB: 4 };
  return Number(match[1]) * 1024 ** (powers[match[2] ?? 'B'] ?? 0);
}
