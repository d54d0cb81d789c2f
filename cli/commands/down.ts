/** `leasehold down`: ends the cluster in order, and whatever an earlier, killed runtime left running. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { clustersIn, defaultCluster, projectFolder } from '../cluster/cluster-access.ts';
import { clusterFolder } from '../cluster/cluster-folder.ts';
import { cleanUp, endRuntime } from '../cluster/runtime-process.ts';
import { print, say } from '../terminal.ts';

interface DownOptions {
  readonly cluster?: string;
  readonly folder?: string;
  readonly removeData?: boolean;
}

export function addDownCommand(program: Command): void {
  program
    .command('down')
    .description('stop a cluster that runs on this machine; its data stays for the next `up`')
    .option('-c, --cluster <name>', 'the cluster (default: "main", or the only one there is)')
    .option('--folder <path>', 'the project folder, whose .leasehold/ holds the cluster')
    .option('--remove-data', 'remove its data too')
    .action(down);
}

async function down(options: DownOptions): Promise<void> {
  const project = resolve(projectFolder(options));
  const cluster = options.cluster ?? chooseCluster(project);
  const folder = clusterFolder(project, cluster);
  if (!existsSync(folder.path)) throw new CliError(`there is no cluster ${cluster} in ${project}`);
  await endRuntime(folder);
  await cleanUp(folder, project, options.removeData === true, say);
  print(
    `The cluster ${cluster} is down${existsSync(folder.state) ? '; its data is kept' : ', and its data removed'}.`,
  );
}

function chooseCluster(project: string): string {
  const known = clustersIn(project);
  const [only] = known;
  if (only === undefined || known.includes(defaultCluster)) return defaultCluster;
  if (known.length > 1) throw new CliError(`say which cluster with --cluster: ${known.join(', ')}`);
  return only;
}
