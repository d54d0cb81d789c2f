/** Who gets a certificate, for which names, and who does not: the control plane's table. */
import { describe, expect, test } from 'vitest';
import type { HostCertificate } from '../../../core/model/tls.ts';
import {
  type CertificateState,
  certificateNames,
  certificateTable,
  planCertificate,
  whereIs,
} from '../../../core/tls/plan-certificate.ts';

const request = { node: 'node1', publicKey: 'KEY1', proof: 'PROOF' };
const names = ['node1.main.leasehold.internal', '10.0.0.1'];
const issued: HostCertificate = {
  node: 'node1',
  publicKey: 'KEY1',
  names,
  certificate: 'CERT',
  authority: 'a1',
  authorities: 'BUNDLE',
  issuedAtMs: 1,
  expiresAtMs: 2,
};
const settled: CertificateState = {
  request,
  proofHolds: true,
  issued,
  address: '10.0.0.1',
  isOfOtherRole: false,
  names,
  trusted: ['a1'],
  authorities: 'BUNDLE',
};

const cases: readonly (readonly [string, Partial<CertificateState>, string, string])[] = [
  ['a host that has what it asked for', {}, 'settled', 'none'],
  ['a host without a certificate', { issued: null }, 'first-certificate', 'sign'],
  ['a host with a new key', { request: { ...request, publicKey: 'KEY2' } }, 'another-key', 'sign'],
  ['a host that moved', { names: ['node1.main.leasehold.internal', '10.0.0.2'] }, 'other-names', 'sign'],
  ['a host whose authority was thrown away', { trusted: ['a2'] }, 'authority-gone', 'sign'],
  [
    'a host that does not know the next authority',
    { authorities: 'BUNDLE2' },
    'other-authorities',
    'distribute',
  ],
  ['a host that has not reported', { address: null, issued: null }, 'no-report', 'none'],
  ['a host that does not have the key', { proofHolds: false, issued: null }, 'no-proof', 'refuse'],
  [
    'a host that asks for another key without having it',
    { proofHolds: false, request: { ...request, publicKey: 'KEY2' } },
    'no-proof',
    'refuse',
  ],
  [
    "a database host under a proxy's name",
    { isOfOtherRole: true, issued: null },
    'name-of-other-role',
    'refuse',
  ],
];

describe('the control plane', () => {
  test.each(cases)('%s', (_what, change, rule, action) => {
    expect(planCertificate({ ...settled, ...change })).toMatchObject({ rule, action });
  });

  test('has a case for every rule', () => {
    expect(new Set(cases.map(([, , rule]) => rule))).toEqual(
      new Set(certificateTable.map(({ rule }) => rule)),
    );
  });
});

describe('names', () => {
  test('are those of the host, its address and those of the file, each once', () => {
    expect(certificateNames('main', 'node1', '10.0.0.1', { names: ['db.example', '10.0.0.1'] })).toEqual([
      'node1.main.leasehold.internal',
      '10.0.0.1',
      'db.example',
    ]);
  });
});

describe('where a host is', () => {
  const hosts = {
    databases: new Map([['node1', '10.0.0.1']]),
    proxies: new Map([['proxy1', '10.0.0.9']]),
    recordedMembers: ['node1', 'node2'],
    recordedProxies: ['proxy1', 'proxy2'],
  };

  test('is what it reports in its own class', () => {
    expect(whereIs('node1', 'database', hosts)).toEqual({ address: '10.0.0.1', isOfOtherRole: false });
    expect(whereIs('proxy1', 'proxy', hosts)).toEqual({ address: '10.0.0.9', isOfOtherRole: false });
  });

  test('is nowhere for a name that has not reported', () => {
    expect(whereIs('node3', 'database', hosts)).toEqual({ address: null, isOfOtherRole: false });
  });

  test('is refused for a name of the other class, reported or recorded', () => {
    for (const [name, role] of [
      ['proxy1', 'database'],
      ['proxy2', 'database'],
      ['node1', 'proxy'],
      ['node2', 'proxy'],
    ] as const)
      expect(whereIs(name, role, hosts).isOfOtherRole).toBe(true);
  });
});
