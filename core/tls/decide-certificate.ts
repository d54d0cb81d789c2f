/**
 * What a host does about its certificate: an ordered table, first match wins. A new key is made for each certificate that is asked for,
 * and the old one is in force until the new one is there. States: `none` (a host's first minutes) -> asked -> installed -> asked ...
 * An expired certificate stays in force: who verifies refuses it, and nothing else here would be better.
 */
import type { HostCertificate } from '../model/tls.ts';

export interface InstalledCertificate {
  readonly publicKey: string;
  readonly certificate: string;
  readonly authorities: string;
  /** When it was signed. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export interface HostCertificateState {
  readonly mode: 'off' | 'required' | 'unknown';
  readonly installed: InstalledCertificate | null;
  /** The public half of a key that was made and has no certificate yet. */
  readonly pendingKey: string | null;
  /** Its request was written since this agent started. */
  readonly asked: boolean;
  /** What the control plane has given this host. */
  readonly offered: HostCertificate | null;
  readonly nowMs: number;
}

export interface HostCertificateDecision {
  readonly rule: string;
  /** `ask` makes a key unless one is pending; `install` puts what is offered in force, with the pending key or the one in force. */
  readonly action: 'none' | 'ask' | 'install';
}

interface Row extends HostCertificateDecision {
  readonly when: (state: HostCertificateState) => boolean;
}

export const hostCertificateTable: readonly Row[] = [
  { rule: 'not-wanted', when: (s) => s.mode !== 'required' && s.installed === null, action: 'none' },
  {
    rule: 'new-certificate',
    when: (s) => s.offered !== null && s.offered.publicKey === s.pendingKey,
    action: 'install',
  },
  {
    rule: 'same-key-signed-again',
    when: (s) =>
      s.offered !== null &&
      s.offered.publicKey === s.installed?.publicKey &&
      (s.offered.certificate !== s.installed.certificate ||
        s.offered.authorities !== s.installed.authorities),
    action: 'install',
  },
  { rule: 'first', when: (s) => s.installed === null && s.pendingKey === null, action: 'ask' },
  { rule: 'ask-again', when: (s) => s.pendingKey !== null && !s.asked, action: 'ask' },
  { rule: 'waits', when: (s) => s.pendingKey !== null, action: 'none' },
  {
    // On the volume of a former cluster, or brought back from an old snapshot: nobody here knows this certificate, or trusts it.
    rule: 'not-issued-here',
    when: (s) => s.installed !== null && s.offered?.publicKey !== s.installed.publicKey,
    action: 'ask',
  },
  { rule: 'due', when: (s) => s.installed !== null && s.nowMs >= renewAtMs(s.installed), action: 'ask' },
  { rule: 'in-force', when: () => true, action: 'none' },
];

/** Total: the last row matches always. */
export function decideHostCertificate(state: HostCertificateState): HostCertificateDecision {
  const row = hostCertificateTable.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: the table of host certificates has no row');
  return { rule: row.rule, action: row.action };
}

/** After two thirds of its life: a third is left for whatever is in the way. */
export function renewAtMs(certificate: {
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}): number {
  return certificate.issuedAtMs + (2 * (certificate.expiresAtMs - certificate.issuedAtMs)) / 3;
}

const leastLookMs = 1_000;
const mostLookMs = 60_000;

/** How soon to look for something new: at once while a certificate is awaited, otherwise often for one that lives shortly. */
export function lookEveryMs(installed: InstalledCertificate | null, pending: boolean): number {
  if (installed === null || pending) return leastLookMs;
  const life = installed.expiresAtMs - installed.issuedAtMs;
  return Math.min(mostLookMs, Math.max(leastLookMs, life / 20));
}

export type ExpiryState = 'ok' | 'soon' | 'expired';

const weekMs = 7 * 24 * 3_600_000;

/** `soon`: renewal is overdue, and less than a week is left (or, of a short life, less than a sixth). */
export function expiryState(
  certificate: { readonly issuedAtMs: number; readonly expiresAtMs: number },
  nowMs: number,
): ExpiryState {
  const left = certificate.expiresAtMs - nowMs;
  if (left <= 0) return 'expired';
  const life = certificate.expiresAtMs - certificate.issuedAtMs;
  return left < Math.min(weekMs, life / 6) ? 'soon' : 'ok';
}
