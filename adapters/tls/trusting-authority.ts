/**
 * How our own connections within a cluster verify the other end, as libpq's sslmode=verify-ca: a certificate of the cluster's authority
 * that has not expired. The name is not looked at, because nodes are reached by addresses that may change, and no stranger has one.
 */
import type { ConnectionOptions } from 'node:tls';

/** `authorities`: PEM. */
export function trustingAuthority(authorities: string): ConnectionOptions {
  return { ca: authorities, minVersion: 'TLSv1.2', checkServerIdentity: () => undefined };
}
