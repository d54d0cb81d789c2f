/**
 * What the control plane does about one host's request for a certificate: an ordered table, first match wins. Names come from the
 * cluster's record and the host's report; of the request only the public key counts, and only with the proof that its sender has the
 * private one.
 */
import type { CertificateRequest, HostCertificate, HostRole, TlsSpec } from '../model/tls.ts';
import { hostDnsName } from '../model/tls.ts';

export interface CertificateState {
  readonly request: CertificateRequest;
  /** The request's signature was verified with its own public key. */
  readonly proofHolds: boolean;
  readonly issued: HostCertificate | null;
  /** The address that the host reports in its own class; null: it has not reported. */
  readonly address: string | null;
  /** A host of the other class has this name. */
  readonly isOfOtherRole: boolean;
  /** What its certificate is to name, by `certificateNames`. */
  readonly names: readonly string[];
  /** Ids of the authorities that are trusted now. */
  readonly trusted: readonly string[];
  /** PEM of the same. */
  readonly authorities: string;
}

export interface CertificateDecision {
  readonly rule: string;
  /** `distribute`: the certificate stays, the trusted authorities beside it change. */
  readonly action: 'none' | 'refuse' | 'sign' | 'distribute';
  readonly reason: string;
}

interface Row extends CertificateDecision {
  readonly when: (state: CertificateState) => boolean;
}

export const certificateTable: readonly Row[] = [
  {
    rule: 'name-of-other-role',
    when: (s) => s.isOfOtherRole,
    action: 'refuse',
    reason: 'a host of the other role has this name',
  },
  {
    rule: 'no-report',
    when: (s) => s.address === null,
    action: 'none',
    reason: 'the host has not reported where it is',
  },
  {
    rule: 'no-proof',
    when: (s) => !s.proofHolds,
    action: 'refuse',
    reason: 'the request is not signed by the key that it names',
  },
  {
    rule: 'first-certificate',
    when: (s) => s.issued === null,
    action: 'sign',
    reason: 'the host has no certificate yet',
  },
  {
    rule: 'another-key',
    when: (s) => s.issued?.publicKey !== s.request.publicKey,
    action: 'sign',
    reason: 'the host asks for another key',
  },
  {
    rule: 'other-names',
    when: (s) => s.issued?.names.join() !== s.names.join(),
    action: 'sign',
    reason: 'its address or the names of the cluster have changed',
  },
  {
    rule: 'authority-gone',
    when: (s) => s.issued !== null && !s.trusted.includes(s.issued.authority),
    action: 'sign',
    reason: 'what signed it is not trusted any more',
  },
  {
    rule: 'other-authorities',
    when: (s) => s.issued?.authorities !== s.authorities,
    action: 'distribute',
    reason: 'the trusted authorities have changed',
  },
  { rule: 'settled', when: () => true, action: 'none', reason: 'it has what it asked for' },
];

/** Total: the last row matches always. */
export function planCertificate(state: CertificateState): CertificateDecision {
  const row = certificateTable.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: the certificate table has no row');
  return { rule: row.rule, action: row.action, reason: row.reason };
}

/** The host's own name first, then its address, then what the cluster's file says; each once. */
export function certificateNames(
  cluster: string,
  node: string,
  address: string,
  { names }: Pick<TlsSpec, 'names'>,
): readonly string[] {
  return [...new Set([hostDnsName(cluster, node), address, ...names])];
}

/** The reports of the class that a host belongs to say where it is; a name of both classes is nobody's. */
export function whereIs(
  node: string,
  role: HostRole,
  hosts: {
    readonly databases: ReadonlyMap<string, string>;
    readonly proxies: ReadonlyMap<string, string>;
    readonly recordedMembers: readonly string[];
    readonly recordedProxies: readonly string[];
  },
): { readonly address: string | null; readonly isOfOtherRole: boolean } {
  const [own, others, recordedOthers] =
    role === 'database'
      ? [hosts.databases, hosts.proxies, hosts.recordedProxies]
      : [hosts.proxies, hosts.databases, hosts.recordedMembers];
  return {
    address: own.get(node) ?? null,
    isOfOtherRole: others.has(node) || recordedOthers.includes(node),
  };
}
