/**
 * `leasehold init`: records a cluster in its control plane's table, which its hosts wait for before they do anything, or brings what is
 * recorded up to date with a cluster file that has changed. `leasehold up` does the same on this machine.
 */
import type { Command } from 'commander';
import { type AdoptionOrder, ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import { InvalidInput, readSystemIdentifier } from '../../core/wire/fields.ts';
import type { ClusterFile } from '../../core/wire/parse-cluster-file.ts';
import { CliError } from '../cli-error.ts';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { print } from '../terminal.ts';
import { readClusterFile } from './up.ts';

export function addInitCommand(program: Command): void {
  withClusterOptions(program.command('init'))
    .description('record a cluster, so that its hosts can begin; again: bring its specification up to date')
    .argument('<file>', 'the cluster file; of its hosts only the names of the proxies matter')
    .option('--adopt <node>', "take this node's data for the cluster's first, where none is to be made")
    .option(
      '--system-identifier <number>',
      'with --adopt: the system that it must be of, as pg_controldata says',
    )
    .action((file: string, options: InitOptions) => init(file, options));
}

interface InitOptions extends ClusterOptions {
  readonly adopt?: string;
  readonly systemIdentifier?: string;
}

const said = {
  created: 'is recorded: its hosts can begin',
  changed: 'is recorded anew: its hosts read it within seconds',
  'as-it-was': 'is recorded like that already',
} as const;

async function init(path: string, options: InitOptions): Promise<void> {
  const file = readClusterFile(path);
  if (options.cluster !== undefined && options.cluster !== file.cluster)
    throw new CliError(`--cluster ${options.cluster}: the file is of ${file.cluster}`);
  const adoption = adoptionOf(file, options);
  const access = openCluster({ ...options, cluster: file.cluster });
  try {
    print(`${file.cluster} ${said[await ensureClusterRecord(access.store, file, adoption)]}`);
  } catch (error) {
    throw new CliError(
      `${file.cluster} could not be recorded: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function adoptionOf(file: ClusterFile, { adopt, systemIdentifier }: InitOptions): AdoptionOrder | null {
  if (adopt === undefined && systemIdentifier === undefined) return null;
  if (adopt === undefined || systemIdentifier === undefined)
    throw new CliError('--adopt and --system-identifier go together', 2);
  if (!file.nodes.some(({ id }) => id === adopt))
    throw new InvalidInput(
      '--adopt',
      adopt,
      `a node of the file: ${file.nodes.map(({ id }) => id).join(', ')}`,
    );
  return { node: adopt, systemIdentifier: readSystemIdentifier(systemIdentifier, '--system-identifier') };
}
