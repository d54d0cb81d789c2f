/** How a host follows the record: what it changes over to, what it waits for, and how often it tries. */
import { expect, test } from 'vitest';
import { SecretBook } from '../../../agent/secret-book.ts';
import { SecretRotation, type SecretRotationDeps } from '../../../agent/secret-rotation.ts';
import type { SecretVersions } from '../../../core/model/cluster-secrets.ts';
import { neverRotated } from '../../../core/model/cluster-secrets.ts';
import { primaryTakes } from '../../../core/secrets/decide-secret-use.ts';
import { aLease, aRecord } from '../../support/host-states.ts';
import { sampleNodeReport } from '../../support/samples.ts';

const installed = {
  superuser: { name: 'postgres', password: 'p0' },
  replication: { name: 'replicator', password: 'r0' },
  cluster: 'c0',
};
const texts: Readonly<Record<string, string>> = {
  v1: '{"username":"postgres_alt","password":"p1"}',
  v2: '{"username":"postgres","password":"p2"}',
};

function host(versions: SecretVersions, more: Partial<SecretRotationDeps> = {}) {
  const book = new SecretBook('/nowhere', { secrets: installed, secretIds: null }, () => undefined);
  const seen = { nowMs: 0, fetched: [] as string[], prepared: 0, versions };
  const rotation = new SecretRotation({
    book,
    kinds: ['superuser'],
    record: () => aRecord({ secrets: { ...neverRotated, superuser: seen.versions } }),
    fetch: async (_kind, version) => {
      seen.fetched.push(version);
      const value = texts[version];
      return value === undefined ? { kind: 'denied', message: 'gone' } : { kind: 'ok', value };
    },
    prepare: async () => {
      seen.prepared += 1;
      return true;
    },
    mayUse: async () => true,
    mayTake: () => true,
    adopt: async () => undefined,
    epoch: () => 1,
    isInUse: () => true,
    onChange: () => undefined,
    now: () => seen.nowMs,
    log: () => undefined,
    ...more,
  });
  return { book, rotation, seen };
}

test('a version that cannot be read keeps a host from no other: it changes over, and is ready for nothing', async () => {
  const one = host({ current: 'v1', next: { version: 'gone', stage: 'offered' } });
  await one.rotation.look();
  expect(one.book.uses('superuser')).toBe('v1');
  expect(one.seen.prepared).toBe(0);
  const other = host({ current: 'gone', next: { version: 'v2', stage: 'used' } });
  await other.rotation.look();
  expect(other.book.uses('superuser')).toBe('v2');
});

test('a login that PostgreSQL does not take is not used', async () => {
  let takes = false;
  const { book, rotation, seen } = host({ current: 'v1', next: null }, { mayUse: async () => takes });
  await rotation.look();
  expect(book.uses('superuser')).toBe(null);
  takes = true;
  seen.nowMs += 1_000;
  await rotation.look();
  expect(book.uses('superuser')).toBe('v1');
});

test('a text that is held back is not fetched before it may be taken', async () => {
  let takes = false;
  const next = { version: 'v1', stage: 'offered' } as const;
  const { book, rotation, seen } = host({ current: null, next }, { mayTake: () => takes });
  await rotation.look();
  expect([seen.fetched, book.logins('superuser')]).toEqual([[], [installed.superuser]]);
  takes = true;
  await rotation.look();
  expect(rotation.report()).toEqual({ superuser: { uses: null, ready: 'v1' } });
});

test('what fails is tried after one second, then after twice as long, once a minute at the end, and at once when the record has changed', async () => {
  let attempts = 0;
  const prepare = async () => {
    attempts += 1;
    return false;
  };
  const one = host({ current: null, next: { version: 'v1', stage: 'offered' } }, { prepare });
  const within = async (ms: number) => {
    const before = attempts;
    for (const endMs = one.seen.nowMs + ms; one.seen.nowMs < endMs; one.seen.nowMs += 500)
      await one.rotation.look();
    return attempts - before;
  };
  expect(await within(15_000)).toBe(4);
  await within(120_000);
  expect(await within(600_000)).toBe(10);
  one.seen.versions = { current: null, next: { version: 'v2', stage: 'offered' } };
  expect(await within(500)).toBe(1);
});

test('the primary takes a version by its own word, in this epoch, outside of any operation', () => {
  const report = (secrets: object, epoch = 1) => [{ ...sampleNodeReport, node: 'node1', epoch, secrets }];
  const ready = { superuser: { uses: 'v0', ready: 'v1' } };
  const takes = (view: object) =>
    primaryTakes(
      { record: aRecord(), lease: aLease(), nodes: report(ready), ...view } as never,
      'superuser',
      'v1',
    );
  expect(takes({})).toBe(true);
  expect(takes({ nodes: report({ superuser: { uses: 'v1', ready: null } }) })).toBe(true);
  expect(takes({ nodes: report({ superuser: { uses: 'v0', ready: null } }) })).toBe(false);
  expect(takes({ nodes: report(ready, 0) })).toBe(false);
  expect(takes({ nodes: [] })).toBe(false);
  expect(takes({ lease: aLease({ state: 'sealed' }) })).toBe(false);
  expect(takes({ record: aRecord({ operation: { id: 'o', kind: 'failover', executionArn: null } }) })).toBe(
    false,
  );
});
