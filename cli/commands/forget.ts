/** `leasehold forget`: what a host that is gone said of itself is removed, so that another machine can take its name. */
import type { Command } from 'commander';
import { type ForgetRequest, forgetHost } from '../../adapters/workflow/forget-host.ts';
import { WorkflowError } from '../../adapters/workflow/workflow-error.ts';
import { CliError } from '../cli-error.ts';
import {
  type ClusterAccess,
  type ClusterOptions,
  openCluster,
  withClusterOptions,
} from '../cluster/cluster-access.ts';
import { fromTerminal, withHosts } from '../operator-work.ts';
import { print, say } from '../terminal.ts';

interface ForgetOptions extends ClusterOptions {
  readonly althoughSynchronous?: boolean;
  readonly althoughUnknownToEc2?: boolean;
}

export function addForgetCommand(program: Command): void {
  withClusterOptions(program.command('forget'))
    .description('let another machine take the name of a host whose machine is stopped or gone')
    .argument('<host>', 'a node or a proxy')
    .option('--although-synchronous', 'although commits wait for it, and no other standby can take its place')
    .option(
      '--although-unknown-to-ec2',
      "although EC2 does not know its machine: it was terminated, and this is the hosts' region and account",
    )
    .action((host: string, options: ForgetOptions) =>
      forget(openCluster(options), {
        host,
        althoughSynchronous: options.althoughSynchronous === true,
        althoughUnknown: options.althoughUnknownToEc2 === true,
      }),
    );
}

async function forget(access: ClusterAccess, request: ForgetRequest): Promise<void> {
  const { host } = request;
  try {
    const outcome = await withHosts(access, (hosts) =>
      forgetHost({ ...fromTerminal, hosts, region: access.clientConfig.region, say }, access.store, request),
    );
    if (outcome.kind === 'refused')
      throw new CliError(`${host} was not forgotten: ${outcome.reason} (${outcome.rule})`);
    print(`${host} on ${outcome.instanceId} is forgotten: the next machine of that name is let in`);
  } catch (error) {
    if (error instanceof WorkflowError) throw new CliError(`${host} was not forgotten: ${error.message}`);
    throw error;
  }
}
