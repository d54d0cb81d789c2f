/** The PostgreSQL server that a host's configuration describes. */
import type { CommandReport, Credentials } from '../../adapters/postgres/host.ts';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import { hasCertificate, tlsFilesIn } from '../../adapters/tls/tls-folder.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { dataDirectory, postgresLogPath, socketFolder, tlsFolder } from '../paths.ts';

export function postgresFor(
  config: DatabaseHostConfig,
  onCommand?: (report: CommandReport) => void,
  tlsRequired: () => boolean | null = () => null,
  moreLogins?: () => readonly Credentials[],
): PostgresNode {
  const tlsFiles = tlsFilesIn(tlsFolder(config));
  // While the record cannot be read: a cluster that gave this host a certificate requires TLS for good. Not asked again, for the disk
  // may be frozen. What the record says comes first: a volume may bring the certificate of a former cluster.
  const hadCertificate = hasCertificate(tlsFolder(config));
  return new PostgresNode({
    nodeName: config.node,
    binDir: config.postgres.binDir,
    dataDir: dataDirectory(config),
    port: config.postgres.port,
    listenAddresses: config.postgres.listen,
    socketDir: socketFolder(config),
    runAs: config.runAs,
    superuser: config.secrets.superuser,
    replication: config.secrets.replication,
    logFile: postgresLogPath(config),
    settings: config.postgres.settings,
    // Without a certificate the server does not start then: never in the clear.
    tls: () => ((tlsRequired() ?? hadCertificate) ? tlsFiles : null),
    ...(onCommand === undefined ? {} : { onCommand }),
    ...(moreLogins === undefined ? {} : { moreLogins }),
  });
}
