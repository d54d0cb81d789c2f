/** When a host asks for a certificate, and when it puts one in force. */
import { describe, expect, test } from 'vitest';
import type { HostCertificate } from '../../../core/model/tls.ts';
import {
  decideHostCertificate,
  expiryState,
  type HostCertificateState,
  hostCertificateTable,
  type InstalledCertificate,
  lookEveryMs,
  renewAtMs,
} from '../../../core/tls/decide-certificate.ts';

const dayMs = 24 * 3_600_000;
const installed: InstalledCertificate = {
  publicKey: 'KEY1',
  certificate: 'CERT1',
  authorities: 'BUNDLE',
  issuedAtMs: 0,
  expiresAtMs: 30 * dayMs,
};
const offered: HostCertificate = { ...installed, node: 'node1', names: [], authority: 'a1' };
const inForce: HostCertificateState = {
  mode: 'required',
  installed,
  pendingKey: null,
  asked: false,
  offered,
  nowMs: dayMs,
};
const fresh: HostCertificateState = { ...inForce, installed: null, offered: null };

const cases: readonly (readonly [string, HostCertificateState, string, string])[] = [
  ['a cluster without TLS', { ...fresh, mode: 'off' }, 'not-wanted', 'none'],
  ['a host that has not read its record', { ...fresh, mode: 'unknown' }, 'not-wanted', 'none'],
  ['a new host', fresh, 'first', 'ask'],
  ['a host whose agent ended before it could ask', { ...fresh, pendingKey: 'KEY1' }, 'ask-again', 'ask'],
  ['a host that has asked', { ...fresh, pendingKey: 'KEY1', asked: true }, 'waits', 'none'],
  [
    'a host that is offered what it asked for',
    { ...fresh, pendingKey: 'KEY1', asked: true, offered },
    'new-certificate',
    'install',
  ],
  [
    "a host that is offered somebody else's key",
    { ...fresh, pendingKey: 'KEY2', asked: true, offered },
    'waits',
    'none',
  ],
  ['a host with a young certificate', inForce, 'in-force', 'none'],
  ['a host with a certificate of twenty days', { ...inForce, nowMs: 20 * dayMs }, 'due', 'ask'],
  [
    'a host that has asked for the next one',
    { ...inForce, nowMs: 20 * dayMs, pendingKey: 'KEY2', asked: true },
    'waits',
    'none',
  ],
  [
    'a host that moved',
    { ...inForce, offered: { ...offered, certificate: 'CERT2' } },
    'same-key-signed-again',
    'install',
  ],
  [
    'a host that is told of the next authority',
    { ...inForce, offered: { ...offered, authorities: 'BUNDLE2' } },
    'same-key-signed-again',
    'install',
  ],
  ['a host with an expired certificate', { ...inForce, nowMs: 40 * dayMs }, 'due', 'ask'],
  [
    "a host on a former cluster's volume, that was never given a certificate here",
    { ...inForce, offered: null },
    'not-issued-here',
    'ask',
  ],
  [
    'a host on an old volume, that was given one for another key here',
    { ...inForce, offered: { ...offered, publicKey: 'KEY2' } },
    'not-issued-here',
    'ask',
  ],
  [
    'a host with a certificate of elsewhere that has asked',
    { ...inForce, offered: null, pendingKey: 'KEY2', asked: true },
    'waits',
    'none',
  ],
];

describe('a host', () => {
  test.each(cases)('%s', (_what, state, rule, action) => {
    expect(decideHostCertificate(state)).toEqual({ rule, action });
  });

  test('has a case for every rule', () => {
    expect(new Set(cases.map(([, , rule]) => rule))).toEqual(
      new Set(hostCertificateTable.map(({ rule }) => rule)),
    );
  });

  test('asks after two thirds, and not a moment before', () => {
    expect(renewAtMs(installed)).toBe(20 * dayMs);
    expect(decideHostCertificate({ ...inForce, nowMs: 20 * dayMs - 1 }).action).toBe('none');
  });

  test('looks often while it waits, and seldom otherwise', () => {
    expect(lookEveryMs(null, false)).toBe(1000);
    expect(lookEveryMs(installed, true)).toBe(1000);
    expect(lookEveryMs(installed, false)).toBe(60_000);
    expect(lookEveryMs({ ...installed, expiresAtMs: 30_000 }, false)).toBe(1500);
  });

  test('whose certificate was not renewed says so a week before, and when it is too late', () => {
    expect(expiryState(installed, 23 * dayMs - 1)).toBe('ok');
    // A sixth of thirty days is less than a week.
    expect(expiryState(installed, 25 * dayMs + 1)).toBe('soon');
    expect(expiryState({ ...installed, expiresAtMs: 90 * dayMs }, 83 * dayMs + 1)).toBe('soon');
    expect(expiryState(installed, 30 * dayMs)).toBe('expired');
  });
});
