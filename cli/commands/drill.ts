/**
 * `leasehold drill`: a switchover, or a fault, on purpose, with a canary that writes through the endpoint meanwhile. `leasehold drills`: what former
 * drills saw, newest first, with p50 and p99 of their gaps.
 */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { type Command, Option } from 'commander';
import { ulid } from 'ulid';
import { type AwsClients, createAwsClients } from '../../adapters/aws/clients.ts';
import { monotonicMs, sleepMs } from '../../adapters/clock.ts';
import { CanaryWriter, defaultCanaryTable } from '../../adapters/drill/canary-writer.ts';
import { runDrill } from '../../adapters/drill/run-drill.ts';
import { summariseDrills } from '../../core/drill/drill-history.ts';
import { parseDrillWindow, windowTakes } from '../../core/drill/drill-window.ts';
import type { DrillKind } from '../../core/model/drill.ts';
import { drillKinds } from '../../core/wire/parse-drill.ts';
import { CliError } from '../cli-error.ts';
import {
  type ClusterAccess,
  type ClusterOptions,
  openCluster,
  withClusterOptions,
} from '../cluster/cluster-access.ts';
import { answered } from '../cluster/watch-lease.ts';
import { renderDrill, renderDrills } from '../drill-history.ts';
import { wholeNumber } from '../option-values.ts';
import { print, say } from '../terminal.ts';

const injectTimeoutMs = 60_000;

interface DrillOptions extends ClusterOptions {
  readonly kind: DrillKind;
  readonly inject?: string;
  readonly dsn?: string;
  readonly canaryTable: string;
  readonly every: number;
  readonly window: string;
  readonly again?: boolean;
  readonly json?: boolean;
}

export function addDrillCommand(program: Command): void {
  withClusterOptions(program.command('drill'))
    .description(
      'switch over, or break the primary, on purpose, and record the gap that a canary writer sees',
    )
    .addOption(
      new Option('--kind <kind>', 'what is done on purpose').choices(drillKinds).default('switchover'),
    )
    .option(
      '--inject <command>',
      "--kind fault: breaks the primary's host, $LEASEHOLD_PRIMARY_INSTANCE, from a shell",
    )
    .option('--dsn <url>', "where the canary writes ($LEASEHOLD_DSN; here: the cluster's endpoint)")
    .option('--canary-table <name>', 'its table, made if it is not there', defaultCanaryTable)
    .option('--every <ms>', 'a row is due this often', wholeNumber(2, 10_000), 10)
    .option('--window <when>', `only within it: ${windowTakes}`, 'always')
    .option('--again', 'although the last drill failed')
    .option('--json', 'as JSON')
    .action(drill);
}

export function addDrillsCommand(program: Command): void {
  withClusterOptions(program.command('drills'))
    .description('show former drills, newest first, with p50 and p99 of their gaps')
    .option('-n, --limit <count>', 'so many of the newest', wholeNumber(1, 10_000), 1_000)
    .option('--json', 'as JSON')
    .action(async (options: ClusterOptions & { limit: number; json?: boolean }) => {
      const { store } = openCluster(options);
      const drills = answered(await store.listDrills(options.limit));
      const summary = summariseDrills(drills);
      print(options.json === true ? JSON.stringify({ summary, drills }) : renderDrills(drills, summary));
    });
}

async function drill(options: DrillOptions): Promise<void> {
  const window = parseDrillWindow(options.window, '--window');
  const access = openCluster(options);
  if (access.stateMachineArn === '')
    throw new CliError('the state machine is not known: --state-machine or $LEASEHOLD_STATE_MACHINE');
  const dsn = dsnOf(access, options);
  const { kind, inject } = options;
  if ((kind === 'fault') !== (inject !== undefined))
    throw new CliError('--kind fault and --inject go together: the command that breaks the primary', 2);
  const { everyMs, table } = { everyMs: options.every, table: options.canaryTable };
  const clients = createAwsClients(access.clientConfig);
  try {
    const run = await runDrill(
      {
        store: access.store,
        ...executionsOf(clients, access),
        canary: (id) => new CanaryWriter({ dsn, drill: id, everyMs, table }),
        inject: ({ node, instanceId }) => runInShell(inject ?? 'false', node, instanceId),
        now: monotonicMs,
        sleep: sleepMs,
        wallMs: () => Date.now(),
        newId: () => ulid(),
        who: 'cli',
        say,
      },
      {
        cluster: access.cluster,
        kind,
        requestedBy: `cli:${userInfo().username}`,
        window,
        again: options.again === true,
        everyMs,
      },
    );
    if (run.kind === 'refused') throw new CliError(`no drill: ${run.decision.reason} (${run.decision.rule})`);
    print(options.json === true ? JSON.stringify(run.drill) : renderDrill(run.drill));
    if (run.drill.status !== 'succeeded') throw new CliError(`the drill failed: ${run.drill.outcome}`);
  } finally {
    clients.destroy();
  }
}

function dsnOf(access: ClusterAccess, options: DrillOptions): string {
  const dsn = options.dsn ?? process.env['LEASEHOLD_DSN'] ?? access.endpoints?.dsn.endpoint ?? '';
  if (dsn === '')
    throw new CliError('it is not known where clients connect: give the endpoint by --dsn or $LEASEHOLD_DSN');
  return dsn;
}

/** An operator's own command; what it says goes into the error when it fails. */
async function runInShell(command: string, primary: string, instance: string): Promise<void> {
  await promisify(execFile)('/bin/sh', ['-c', command], {
    env: { ...process.env, LEASEHOLD_PRIMARY: primary, LEASEHOLD_PRIMARY_INSTANCE: instance },
    timeout: injectTimeoutMs,
  });
}

function executionsOf(clients: AwsClients, { stateMachineArn }: ClusterAccess) {
  return {
    start: async (name: string, input: string) => {
      const started = await clients.startExecution({ stateMachineArn, name, input });
      if (started.kind !== 'ok') return started;
      if (started.value.state === 'started')
        return { kind: 'ok', value: started.value.executionArn } as const;
      return { kind: 'denied', message: `there is an execution ${name} already` } as const;
    },
    status: (executionArn: string) => clients.describeExecution(executionArn),
  };
}
