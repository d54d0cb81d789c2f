/**
 * `leasehold upgrade`: a release of the agent on every host, one after the other, standbys first and the primary last, after a
 * switchover; back again on every host when the release may be why one fails. It can be broken off at any time, and run again.
 */
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { ulid } from 'ulid';
import { createAwsClients } from '../../adapters/aws/clients.ts';
import { monotonicMs, sleepMs } from '../../adapters/clock.ts';
import { runUpgrade, type Switched, type UpgradeRun } from '../../adapters/upgrade/run-upgrade.ts';
import { upgradeHost } from '../../adapters/upgrade/upgrade-host.ts';
import { WorkflowError } from '../../adapters/workflow/workflow-error.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import { CliError } from '../cli-error.ts';
import {
  type ClusterAccess,
  type ClusterOptions,
  openCluster,
  withClusterOptions,
} from '../cluster/cluster-access.ts';
import {
  type ExecutionOutcome,
  followExecution,
  startExecution,
  stepFunctionsClient,
} from '../follow-execution.ts';
import { print, say } from '../terminal.ts';

const switchoverLimitMs = 300_000;

interface UpgradeOptions extends ClusterOptions {
  readonly key: string;
  readonly sha256: string;
  readonly mixed?: boolean;
}

export function addUpgradeCommand(program: Command): void {
  withClusterOptions(program.command('upgrade'))
    .description('bring another release of the agent onto every host, one after the other, standbys first')
    .requiredOption('--key <key>', 'the artifact, in the bucket that the hosts were installed from')
    .requiredOption('--sha256 <sum>', 'its SHA-256')
    .option('--mixed', 'although hosts have several releases: then none is brought back when one fails')
    .option('--upgrade-document <name>', 'AWS: the document ($LEASEHOLD_UPGRADE_DOCUMENT)')
    .action(upgrade);
}

async function upgrade(options: UpgradeOptions): Promise<void> {
  const { key, sha256 } = options;
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new InvalidInput('--sha256', sha256, '64 hexadecimal digits');
  if (!/^[A-Za-z0-9][A-Za-z0-9/._-]{0,511}$/.test(key))
    throw new InvalidInput('--key', key, 'the key of an object: letters, digits, and any of / . _ -');
  const access = openCluster(options);
  const document = access.documents.upgrade;
  if (document === '')
    throw new CliError(
      'the document is not known: --upgrade-document or $LEASEHOLD_UPGRADE_DOCUMENT, from the outputs of the stack',
    );
  if (access.stateMachineArn === '')
    throw new CliError('the state machine is not known: --state-machine or $LEASEHOLD_STATE_MACHINE');
  const clients = createAwsClients(access.clientConfig);
  const clock = { now: monotonicMs, sleep: sleepMs };
  try {
    conclude(
      await runUpgrade(
        {
          ...clock,
          who: 'cli',
          time: () => new Date().toISOString(),
          newId: () => ulid(),
          log: (level, message, fields) => {
            if (level !== 'info') say(`${level}: ${message} ${JSON.stringify(fields)}`);
          },
          say,
          upgradeHost: (host, artifact) => upgradeHost({ ...clock, clients, document }, host, artifact),
          switchOver: (_from, epoch) => switchOver(access, epoch),
        },
        access.store,
        { artifact: { key, sha256 }, mixed: options.mixed === true },
      ),
    );
  } catch (error) {
    if (error instanceof WorkflowError) throw new CliError(`nothing was upgraded: ${error.message}`);
    throw error;
  } finally {
    clients.destroy();
  }
}

/** Refusals of requests that changed nothing: another's operation is under way, or the epoch is over and with it whose turn it was. */
const othersDoing: readonly string[] = ['OperationInProgress', 'ClusterNotReady'];

export function switchedBy(outcome: ExecutionOutcome): Switched {
  switch (outcome.kind) {
    case 'succeeded':
      return { kind: 'done' };
    case 'still-running':
      return { kind: 'look-again', reason: 'it does not end' };
    case 'failed': {
      const reason = `${outcome.error}: ${outcome.message}`;
      return { kind: othersDoing.includes(outcome.error) ? 'look-again' : 'failed', reason };
    }
  }
}

/** To the best candidate: every standby has the release by now. */
export function switchoverRequest(cluster: string, requestedBy: string, epoch: number): object {
  return { cluster, kind: 'switchover', reason: 'upgrade of the agents', requestedBy, epoch };
}

async function switchOver(access: ClusterAccess, epoch: number): Promise<Switched> {
  const sfn = stepFunctionsClient(access);
  try {
    const input = switchoverRequest(access.cluster, `cli:${userInfo().username}`, epoch);
    const execution = await startExecution(sfn, access, input);
    return switchedBy(await followExecution(sfn, execution, switchoverLimitMs, () => undefined));
  } catch (error) {
    // Not started, or not seen to its end: the cluster itself says which.
    return { kind: 'look-again', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    sfn.destroy();
  }
}

function conclude(run: UpgradeRun): void {
  switch (run.kind) {
    case 'done':
      print(`all ${run.hosts} hosts have the release`);
      return;
    case 'refused':
      throw new CliError(`no upgrade, and nothing was changed: ${run.reason} (${run.rule})`);
    case 'stopped':
      throw new CliError(
        `the upgrade stopped, and hosts keep the releases that they have: ${run.reason}; the same command goes on when that is over`,
      );
    case 'failed':
      throw new CliError(
        [
          `the upgrade failed: ${run.reason}`,
          ...run.rolledBack.map(
            ({ node, outcome }) =>
              `  ${node} ${outcome === null ? 'has the former release again' : `could not go back: ${outcome}`}`,
          ),
          ...(run.rolledBack.length > 0
            ? []
            : [
                `  ${run.former === null ? 'no host was brought back, for they had several releases' : 'no host has the new release'}`,
              ]),
        ].join('\n'),
      );
  }
}
