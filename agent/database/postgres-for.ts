/** The PostgreSQL server that a host's configuration describes. */
import type { CommandReport } from '../../adapters/postgres/host.ts';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { dataDirectory, postgresLogPath, socketFolder } from '../paths.ts';

export function postgresFor(
  config: DatabaseHostConfig,
  onCommand?: (report: CommandReport) => void,
): PostgresNode {
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
    ...(onCommand === undefined ? {} : { onCommand }),
  });
}
