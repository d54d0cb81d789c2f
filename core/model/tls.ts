/**
 * TLS of a cluster: what its file asks for, what hosts ask of the control plane, what they are given. A host's private key never leaves
 * it; the request holds its public half and the proof that it has the other. Who a certificate is for is never taken from the request.
 */
import type { NodeId } from './lease.ts';

export interface TlsSpec {
  /** Set when the cluster is recorded, for good: `required` refuses whoever comes without TLS. */
  readonly mode: 'off' | 'required';
  /** Names and addresses by which clients reach the cluster, such as the load balancer's; in every certificate of it. */
  readonly names: readonly string[];
  /** How long a certificate lives; a new one is asked for after two thirds. */
  readonly lifetimeMs: number;
}

/** Each has a partition for its requests, which the other cannot write. */
export type HostRole = 'database' | 'proxy';

export interface CertificateRequest {
  readonly node: NodeId;
  /** SubjectPublicKeyInfo, DER in base64. */
  readonly publicKey: string;
  /** The key's signature of `proofText`, DER in base64. */
  readonly proof: string;
}

export interface HostCertificate {
  readonly node: NodeId;
  readonly publicKey: string;
  readonly names: readonly string[];
  /** PEM. */
  readonly certificate: string;
  /** The id of the authority that signed it. */
  readonly authority: string;
  /** PEM of every authority that is to be trusted. */
  readonly authorities: string;
  /** Milliseconds since 1970, as the certificate says them to the second. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** One certificate authority of a cluster; kept in its secret alone. */
export interface Authority {
  /** SHA-256 of the certificate's DER, in hexadecimal. */
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  readonly madeAtMs: number;
  readonly expiresAtMs: number;
}

const dayMs = 24 * 3_600_000;

export const defaultTls: TlsSpec = { mode: 'off', names: [], lifetimeMs: 30 * dayMs };

/** What a host signs: bound to cluster, role and node, so that a request is worth nothing under another name. */
export function proofText(
  cluster: string,
  role: HostRole,
  request: { readonly node: NodeId; readonly publicKey: string },
): string {
  return `leasehold certificate request 1\n${cluster}\n${role}\n${request.node}\n${request.publicKey}\n`;
}

/** The name of a host in its certificate. `.internal` is reserved for private use: nobody can own it elsewhere. */
export function hostDnsName(cluster: string, node: NodeId): string {
  return `${node}.${cluster}.leasehold.internal`;
}
