/** The certificate of a database host: looks, as a client does, whether a running PostgreSQL serves it, and has it reload where not. */
import { createCertificateStore } from '../../adapters/aws/certificate-items.ts';
import { isSame, servedCertificate } from '../../adapters/tls/served-certificate.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import type { TlsSpec } from '../../core/model/tls.ts';
import { CertificateKeeper } from '../certificates.ts';
import type { Log } from '../emit.ts';
import type { Server } from './server.ts';

const lookMs = 1_000;
const reloadMs = 1_000;

export function databaseCertificates(deps: {
  readonly config: DatabaseHostConfig;
  readonly table: Parameters<typeof createCertificateStore>[0];
  readonly server: Server;
  /** Of the record; null while it has not been read. */
  readonly tls: () => TlsSpec | null;
  readonly log: Log;
}): CertificateKeeper {
  const { config, table, server, tls, log } = deps;
  return new CertificateKeeper({
    ...{ config, tls, log, wallMs: Date.now },
    store: createCertificateStore(table),
    async apply({ certificate }) {
      // One that does not run reads the files when it starts; that it did is looked at then.
      if (server.last()?.postmaster == null) return false;
      const { host, postgres } = config;
      if (isSame(await servedCertificate(host, postgres.port, lookMs), certificate)) return true;
      await server.node.query('select pg_reload_conf()', reloadMs);
      return false;
    },
  });
}
