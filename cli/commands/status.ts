/** `leasehold status`: the cluster's state, its lease and its nodes. */
import type { Command } from 'commander';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { answered, watchHead } from '../cluster/watch-lease.ts';
import { clusterStatus, renderStatus } from '../cluster-status.ts';
import { print } from '../terminal.ts';

export function addStatusCommand(program: Command): void {
  withClusterOptions(program.command('status'))
    .description('show the cluster, its lease and its nodes')
    .option('--json', 'as JSON')
    .action(async (options: ClusterOptions & { json?: boolean }) => {
      const { store } = openCluster(options);
      const [head, reports] = await Promise.all([watchHead(store), store.readNodes()]);
      const status = clusterStatus(head, answered(reports));
      print(options.json === true ? JSON.stringify(status) : renderStatus(status));
    });
}
