/**
 * Makes authorities and signs hosts' certificates: X.509 version 3, ECDSA on P-256. What a certificate says is the caller's; of a
 * request only the public key and the proof of the private one pass through here. Only the control plane's function loads this.
 */
import 'reflect-metadata';
import { createHash, createPublicKey, randomBytes, verify, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import {
  type Authority,
  type CertificateRequest,
  type HostCertificate,
  type HostRole,
  proofText,
} from '../../core/model/tls.ts';
import { isAddress } from '../../core/wire/parse-tls.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Clocks of hosts and clients may be this far behind. */
const backdatedMs = 300_000;

/** A new authority of a cluster, which may sign hosts and no other authority. */
export async function makeAuthority(cluster: string, nowMs: number, lifetimeMs: number): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const madeAtMs = toSecond(nowMs);
  const expiresAtMs = madeAtMs + lifetimeMs;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=Leasehold ${cluster} ${new Date(madeAtMs).toISOString().slice(0, 10)}`,
    notBefore: new Date(madeAtMs - backdatedMs),
    notAfter: new Date(expiresAtMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    id: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex'),
    certificate: pem(certificate.toString('pem')),
    privateKey: pem(PemConverter.encode(privateKey, PemConverter.PrivateKeyTag)),
    madeAtMs,
    expiresAtMs,
  };
}

export interface Signing {
  readonly authority: Authority;
  /** PEM of all that are trusted. */
  readonly authorities: string;
  readonly names: readonly string[];
  readonly lifetimeMs: number;
  readonly nowMs: number;
}

/** A certificate for the request's key under these names. It never outlives its authority. */
export async function signCertificate(
  { node, publicKey }: CertificateRequest,
  { authority, authorities, names, lifetimeMs, nowMs }: Signing,
): Promise<HostCertificate> {
  const issuedAtMs = toSecond(nowMs);
  const expiresAtMs = Math.min(issuedAtMs + lifetimeMs, authority.expiresAtMs);
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    PemConverter.decodeFirst(authority.privateKey),
    algorithm,
    false,
    ['sign'],
  );
  const hostKey = await webcrypto.subtle.importKey(
    'spki',
    Buffer.from(publicKey, 'base64'),
    algorithm,
    true,
    ['verify'],
  );
  const certificate = await X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: `CN=${node}`,
    issuer: issuer.subject,
    notBefore: new Date(issuedAtMs - backdatedMs),
    notAfter: new Date(expiresAtMs),
    signingAlgorithm: algorithm,
    publicKey: hostKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isAddress(name) ? 'ip' : 'dns', value: name }) as const),
      ),
      await SubjectKeyIdentifierExtension.create(hostKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return {
    node,
    publicKey,
    names,
    certificate: pem(certificate.toString('pem')),
    authority: authority.id,
    authorities,
    issuedAtMs,
    expiresAtMs,
  };
}

/** Whether the request was signed by the private half of the key that it names, for this cluster, role and node, and it is on P-256. */
export function proofHolds(cluster: string, role: HostRole, request: CertificateRequest): boolean {
  try {
    const key = createPublicKey({
      key: Buffer.from(request.publicKey, 'base64'),
      format: 'der',
      type: 'spki',
    });
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return false;
    const text = Buffer.from(proofText(cluster, role, request));
    return verify('sha256', text, key, Buffer.from(request.proof, 'base64'));
  } catch {
    // Not a key, or not a signature: whoever can write a request can write anything.
    return false;
  }
}

/** PEM of all of them, newest first. */
export function bundleOf(authorities: readonly Authority[]): string {
  return authorities.map(({ certificate }) => certificate).join('');
}

/** Certificates say times to the second. */
function toSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

/** 127 random bits, positive, as RFC 5280 wants it. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString('hex');
}

function pem(text: string): string {
  return `${text.trimEnd()}\n`;
}
