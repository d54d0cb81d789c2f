/** Certificates as OpenSSL, through Node, reads them: for whom, by whom, how long; and which requests are believed. */
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  bundleOf,
  makeAuthority,
  proofHolds,
  signCertificate,
} from '../../../adapters/tls/certificate-maker.ts';
import { proofText } from '../../../core/model/tls.ts';

const nowMs = Date.UTC(2026, 10, 29, 12, 0, 0, 250);
const dayMs = 24 * 3_600_000;

function newRequest(node = 'node1', namedCurve = 'P-256') {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve });
  const key = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const text = proofText('main', 'database', { node, publicKey: key });
  const proof = sign('sha256', Buffer.from(text), privateKey).toString('base64');
  return { privateKey, request: { node, publicKey: key, proof } };
}

const names = ['node1.main.leasehold.internal', '10.0.0.1', 'db.example'];

describe('a certificate', async () => {
  const authority = await makeAuthority('main', nowMs, 3650 * dayMs);
  const other = await makeAuthority('main', nowMs, 3650 * dayMs);
  const { request, privateKey } = newRequest();
  const signing = {
    authority,
    authorities: bundleOf([other, authority]),
    names,
    lifetimeMs: 30 * dayMs,
    nowMs,
  };
  const signed = await signCertificate(request, signing);
  const read = new X509Certificate(signed.certificate);
  const issuer = new X509Certificate(authority.certificate);

  test('is of the authority that signed it, and of no other of the same name', () => {
    expect(read.checkIssued(issuer)).toBe(true);
    expect(read.verify(issuer.publicKey)).toBe(true);
    expect(read.verify(new X509Certificate(other.certificate).publicKey)).toBe(false);
    expect(signed.authority).toBe(issuer.fingerprint256.replaceAll(':', '').toLowerCase());
  });

  test('is for the key of the request and for the names it was given, and for nothing else', () => {
    expect(read.checkPrivateKey(privateKey)).toBe(true);
    expect(read.checkHost('node1.main.leasehold.internal')).toBeDefined();
    expect(read.checkHost('db.example')).toBeDefined();
    expect(read.checkIP('10.0.0.1')).toBeDefined();
    expect(read.checkHost('node2.main.leasehold.internal')).toBeUndefined();
    expect(read.subjectAltName).toBe(
      'DNS:node1.main.leasehold.internal, IP Address:10.0.0.1, DNS:db.example',
    );
  });

  test('is no authority itself', () => {
    expect(read.ca).toBe(false);
    expect(issuer.ca).toBe(true);
  });

  test('lives as long as asked for, to the second, and began five minutes ago', () => {
    expect(Date.parse(read.validFrom)).toBe(nowMs - 250 - 300_000);
    expect(Date.parse(read.validTo)).toBe(nowMs - 250 + 30 * dayMs);
    expect(signed).toMatchObject({ issuedAtMs: nowMs - 250, expiresAtMs: nowMs - 250 + 30 * dayMs });
  });

  test('does not outlive its authority', async () => {
    const late = await signCertificate(request, { ...signing, nowMs: authority.expiresAtMs - dayMs });
    expect(late.expiresAtMs).toBe(authority.expiresAtMs);
    expect(Date.parse(new X509Certificate(late.certificate).validTo)).toBe(Date.parse(issuer.validTo));
  });
});

describe('a request', () => {
  const { request } = newRequest();
  const holds = proofHolds;

  test('is believed from who has the key', () => {
    expect(holds('main', 'database', request)).toBe(true);
  });

  test('is not believed for another cluster, role, node or key', () => {
    expect(holds('orders', 'database', request)).toBe(false);
    expect(holds('main', 'proxy', request)).toBe(false);
    expect(holds('main', 'database', { ...request, node: 'node2' })).toBe(false);
    expect(holds('main', 'database', { ...request, publicKey: newRequest().request.publicKey })).toBe(false);
  });

  test('of another kind of key is not believed', () => {
    expect(holds('main', 'database', newRequest('node1', 'P-384').request)).toBe(false);
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const publicKey = rsa.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
    const text = proofText('main', 'database', { node: 'node1', publicKey });
    const proof = sign('sha256', Buffer.from(text), rsa.privateKey).toString('base64');
    expect(holds('main', 'database', { node: 'node1', publicKey, proof })).toBe(false);
  });

  test('that is nonsense is not believed, and breaks nothing', () => {
    expect(holds('main', 'database', { node: 'node1', publicKey: 'AAAA', proof: 'BBBB' })).toBe(false);
    expect(holds('main', 'database', { ...request, proof: 'AAAA' })).toBe(false);
  });
});
