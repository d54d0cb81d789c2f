/** `leasehold authorities`: the certificate authorities that a client of the cluster is to trust, as PEM, for `sslrootcert`. */
import type { Command } from 'commander';
import { createCertificateStore } from '../../adapters/aws/certificate-items.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { CliError } from '../cli-error.ts';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { answered } from '../cluster/watch-lease.ts';
import { print } from '../terminal.ts';

export function addAuthoritiesCommand(program: Command): void {
  withClusterOptions(program.command('authorities'))
    .description('print the certificate authorities of the cluster, for sslmode=verify-full')
    .action(async (options: ClusterOptions) => {
      const { cluster, tableName, clientConfig } = openCluster(options);
      const client = createDynamoClient(clientConfig);
      const store = createCertificateStore({ client, tableName, cluster });
      const issued = answered(await store.readCertificates());
      // What was signed last has the newest of them beside it.
      const newest = issued.toSorted((one, other) => other.issuedAtMs - one.issuedAtMs)[0];
      if (newest === undefined)
        throw new CliError(`no certificate of ${cluster} has been signed: is tls.mode "required"?`);
      print(newest.authorities.trimEnd());
    });
}
