/**
 * `leasehold unfence`: undoes what a failover did to an old primary's host through EC2. It comes back as a standby: what its disk
 * holds beyond the fork is rewound or rebuilt by its agent, and kept first.
 */
import type { Command } from 'commander';
import { unfenceHost } from '../../adapters/workflow/unfence.ts';
import { WorkflowError } from '../../adapters/workflow/workflow-error.ts';
import { CliError } from '../cli-error.ts';
import {
  type ClusterAccess,
  type ClusterOptions,
  openCluster,
  withClusterOptions,
} from '../cluster/cluster-access.ts';
import { fromTerminal, withHosts } from '../operator-work.ts';
import { print } from '../terminal.ts';

export function addUnfenceCommand(program: Command): void {
  withClusterOptions(program.command('unfence'))
    .description(
      "bring back a host that was stopped or isolated through EC2 after it had lost the primary's part",
    )
    .argument('<node>', 'the node on that host')
    .action((node: string, options: ClusterOptions) => unfence(openCluster(options), node));
}

async function unfence(access: ClusterAccess, node: string): Promise<void> {
  try {
    const outcome = await withHosts(access, (hosts) =>
      unfenceHost({ ...fromTerminal, hosts }, access.store, node),
    );
    if (outcome.kind !== 'done')
      throw new CliError(`${node} was not unfenced: ${outcome.reason} (${outcome.rule})`);
    for (const line of outcome.did) print(line);
    print(`${node} comes back as a standby: see \`leasehold status\``);
  } catch (error) {
    if (error instanceof WorkflowError) throw new CliError(`${node} was not unfenced: ${error.message}`);
    throw error;
  }
}
