/**
 * `leasehold init`: records a cluster in its control plane's table, which its hosts wait for before they do anything, or brings what is
 * recorded up to date with a cluster file that has changed. `leasehold up` does the same on this machine.
 */
import type { Command } from 'commander';
import { ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import { CliError } from '../cli-error.ts';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { print } from '../terminal.ts';
import { readClusterFile } from './up.ts';

export function addInitCommand(program: Command): void {
  withClusterOptions(program.command('init'))
    .description('record a cluster, so that its hosts can begin; again: bring its specification up to date')
    .argument('<file>', 'the cluster file; of its hosts only the names of the proxies matter')
    .action((file: string, options: ClusterOptions) => init(file, options));
}

const said = {
  created: 'is recorded: its hosts can begin',
  changed: 'is recorded anew: its hosts read it within seconds',
  'as-it-was': 'is recorded like that already',
} as const;

async function init(path: string, options: ClusterOptions): Promise<void> {
  const file = readClusterFile(path);
  if (options.cluster !== undefined && options.cluster !== file.cluster)
    throw new CliError(`--cluster ${options.cluster}: the file is of ${file.cluster}`);
  const access = openCluster({ ...options, cluster: file.cluster });
  try {
    print(`${file.cluster} ${said[await ensureClusterRecord(access.store, file)]}`);
  } catch (error) {
    throw new CliError(
      `${file.cluster} could not be recorded: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
