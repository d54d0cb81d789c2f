/**
 * The doctor's check of TLS on this host: whether it is required, whether the certificate was renewed in time, and whether what clients are
 * shown is the one that is in force.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { isSame, servedCertificate } from '../../adapters/tls/served-certificate.ts';
import { readInForce } from '../../adapters/tls/tls-folder.ts';
import type { HostConfig } from '../../core/model/host-config.ts';
import type { HostCertificate } from '../../core/model/tls.ts';
import { expiryState } from '../../core/tls/decide-certificate.ts';
import { tlsFolder } from '../paths.ts';
import { type Check, type Finding, failed, fine, skipped, warning } from './check.ts';

export interface CertificateCheckDeps {
  readonly config: HostConfig;
  readonly store: Pick<ClusterStore, 'readHead'>;
  readonly nowMs: () => number;
}

const callTimeoutMs = 3_000;
const page = 'See docs/runbook/certificates-failing.md.';

export function certificateCheck(deps: CertificateCheckDeps): Check {
  return { id: 'certificate', look: () => lookAtCertificate(deps) };
}

async function lookAtCertificate({ config, store, nowMs }: CertificateCheckDeps): Promise<Finding> {
  const inForce = await readInForce(tlsFolder(config));
  if (inForce === null) return await lookWithout(store);
  const until = `valid until ${new Date(inForce.expiresAtMs).toISOString()}`;
  switch (expiryState(inForce, nowMs())) {
    case 'expired':
      return failed(`${until}: it has expired`, page);
    case 'soon':
      return warning(`${until}: its renewal is overdue`, page);
    case 'ok':
      return await lookAtServer(config, inForce, until);
  }
}

async function lookWithout(store: Pick<ClusterStore, 'readHead'>): Promise<Finding> {
  const head = await store.readHead({ timeoutMs: callTimeoutMs });
  if (head.kind !== 'ok') return skipped('there is none; whether TLS is required cannot be read');
  if (head.value.record?.spec.tls.mode !== 'required') return skipped('TLS is not required');
  return failed('TLS is required and this host has no certificate: its server is not started', page);
}

async function lookAtServer(config: HostConfig, inForce: HostCertificate, until: string): Promise<Finding> {
  const port = config.role === 'database' ? config.postgres.port : config.ports.pgbouncer;
  const served = await servedCertificate(config.host, port, callTimeoutMs);
  if (served === null) return fine(`${until}; no server shows it now`);
  if (isSame(served, inForce.certificate)) return fine(`${until}, and it is what clients are shown`);
  return warning(
    `${until}, but clients are shown another one`,
    'The agent has it reloaded each second: see its log.',
  );
}
