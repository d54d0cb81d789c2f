// Every path of the health checks in every state of a node: `/primary` is 200 only with a lease that is valid at this instant (L3).

import { describe, expect, it } from 'vitest';
import { type HealthFacts, healthAnswer, parseSize } from '../../core/host/health.ts';

const noParameters = new URLSearchParams();
const primary: HealthFacts = {
  postgres: 'running',
  role: 'primary',
  leaseValid: true,
  handingOver: false,
  streaming: false,
  lagBytes: null,
  sync: false,
  quorum: false,
  tags: { nofailover: false, failoverPriority: 100 },
  loopAlive: true,
};
const standby: HealthFacts = { ...primary, role: 'standby', leaseValid: false, streaming: true, lagBytes: 0 };

const states = {
  primary,
  'primary without a valid lease': { ...primary, leaseValid: false },
  'primary handing over': { ...primary, handingOver: true },
  'primary that does not answer': { ...primary, postgres: 'unreachable' },
  'standby, asynchronous': standby,
  'standby, synchronous': { ...standby, sync: true },
  'standby, one of a quorum': { ...standby, quorum: true },
  'standby far behind': { ...standby, lagBytes: 1024 ** 3 },
  'standby without a stream': { ...standby, streaming: false },
  'standby that acquired and is not promoted': { ...standby, leaseValid: true },
  starting: { ...standby, postgres: 'starting', role: 'none' },
  stopped: { ...standby, postgres: 'stopped', role: 'none' },
  'stopped with the lease': { ...primary, postgres: 'stopped', role: 'none' },
  'hung loop': { ...standby, loopAlive: false },
} satisfies Record<string, HealthFacts>;
type State = keyof typeof states;

const asPrimary: readonly State[] = ['primary'];
const asStandby: readonly State[] = [
  'standby, asynchronous',
  'standby, synchronous',
  'standby, one of a quorum',
  'standby far behind',
  'standby without a stream',
  'standby that acquired and is not promoted',
  'hung loop',
];
const waitedFor: readonly State[] = ['standby, synchronous', 'standby, one of a quorum'];
const asynchronous = asStandby.filter((state) => !waitedFor.includes(state));
const running: readonly State[] = [
  ...asPrimary,
  ...asStandby,
  'primary without a valid lease',
  'primary handing over',
];

/** In which states each path answers 200; in all others 503. */
const table: Readonly<Record<string, readonly State[]>> = {
  '/': asPrimary,
  '/primary': asPrimary,
  '/read-write': asPrimary,
  '/leader': asPrimary,
  '/master': asPrimary,
  '/replica': asStandby,
  '/read-only': [...asPrimary, ...asStandby],
  '/sync': ['standby, synchronous'],
  '/synchronous': ['standby, synchronous'],
  '/quorum': ['standby, one of a quorum'],
  '/read-only-sync': [...asPrimary, 'standby, synchronous'],
  '/read-only-quorum': [...asPrimary, 'standby, one of a quorum'],
  '/async': asynchronous,
  '/asynchronous': asynchronous,
  '/health': running,
  '/liveness': (Object.keys(states) as State[]).filter((state) => state !== 'hung loop'),
  '/readiness': [
    ...asPrimary,
    ...asStandby.filter((state) => !['standby far behind', 'standby without a stream'].includes(state)),
  ],
};

describe('health checks', () => {
  for (const [path, good] of Object.entries(table)) {
    it(`${path} answers 200 for ${good.length} of ${Object.keys(states).length} states, else 503`, () => {
      const answers = Object.entries(states).map(([state, facts]) => [
        state,
        healthAnswer(path, noParameters, facts),
      ]);
      const expected = (Object.keys(states) as State[]).map((state) => [
        state,
        good.includes(state) ? 200 : 503,
      ]);
      expect(answers).toEqual(expected);
    });
  }

  it('call a node primary only while its lease is valid, whatever the path', () => {
    for (const path of ['/', '/primary', '/read-write', '/leader', '/master', '/read-only', '/readiness']) {
      expect(healthAnswer(path, noParameters, { ...primary, leaseValid: false })).toBe(503);
    }
  });

  it('bound the lag of a replica, and take an unknown lag for too much', () => {
    const ask = (query: string, lagBytes: number | null) =>
      healthAnswer('/replica', new URLSearchParams(query), { ...standby, lagBytes });
    expect(ask('lag=16kB', 16 * 1024)).toBe(200);
    expect(ask('lag=16kB', 16 * 1024 + 1)).toBe(503);
    expect(ask('lag=0', 1)).toBe(503);
    expect(ask('lag=1MB', null)).toBe(503);
    expect(ask('', null)).toBe(200);
    expect(ask('lag=much', 1024 ** 3)).toBe(200);
  });

  it.each(['/cluster', '/primary/', '//', '/PRIMARY', '/constructor', '/__proto__', '/toString'])(
    'do not know %s',
    (path) => {
      expect(healthAnswer(path, noParameters, primary)).toBe('notFound');
    },
  );

  it('read sizes as Patroni does', () => {
    expect(['100', '1kB', '2MB', '1GB', '1TB', '10 B', '', null, '1.5MB', '-1', 'MB'].map(parseSize)).toEqual(
      [100, 1024, 2 * 1024 ** 2, 1024 ** 3, 1024 ** 4, 10, null, null, null, null, null],
    );
  });
});
