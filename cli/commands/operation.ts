/**
 * `leasehold switchover` and `leasehold failover`: one execution of the state machine, followed step by step; with `--direct`
 * the same definition, run in this process. Both end non-zero, with the reason, when the operation did not reach `Stable`.
 */
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { OperationKind } from '../../core/model/cluster-record.ts';
import { CliError, interruptedCode } from '../cli-error.ts';
import {
  type ClusterAccess,
  type ClusterOptions,
  openCluster,
  withClusterOptions,
} from '../cluster/cluster-access.ts';
import { type DirectOperation, startDirectOperation } from '../direct-operation.ts';
import {
  type ExecutionOutcome,
  followExecution,
  type StepTime,
  startExecution,
  stepFunctionsClient,
} from '../follow-execution.ts';
import { wholeNumber } from '../option-values.ts';
import { print, say } from '../terminal.ts';

interface OperationOptions extends ClusterOptions {
  readonly target?: string;
  readonly reason?: string;
  readonly timeout: number;
  readonly wait: boolean;
  readonly direct?: boolean;
  readonly acceptDataLoss?: boolean;
}

export function addSwitchoverCommand(program: Command): void {
  addOperationCommand(program, 'switchover', 'move the primary to another node, without losing a write');
}

export function addFailoverCommand(program: Command): void {
  addOperationCommand(program, 'failover', 'replace a primary that does not answer').option(
    '--accept-data-loss',
    'promote the best standby although commits that were acknowledged may be missing from it',
  );
}

function addOperationCommand(program: Command, kind: OperationKind, description: string): Command {
  return withClusterOptions(program.command(kind))
    .description(description)
    .option('-t, --target <node>', 'the new primary (default: the best candidate)')
    .option('-r, --reason <text>', 'why, for the history')
    .option('--timeout <seconds>', 'stop watching after this long', wholeNumber(1, 86_400), 300)
    .option('--no-wait', 'only start it, and print its execution')
    .option('--direct', 'run it in this terminal: when Step Functions or Lambda is away')
    .option('--run-action-document <name>', 'AWS, --direct: the document ($LEASEHOLD_RUN_ACTION_DOCUMENT)')
    .option('--fence-document <name>', 'AWS, --direct: the document ($LEASEHOLD_FENCE_DOCUMENT)')
    .action((options: OperationOptions) => run(kind, options));
}

async function run(kind: OperationKind, options: OperationOptions): Promise<void> {
  const access = openCluster(options);
  const input = {
    cluster: access.cluster,
    kind,
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(options.acceptDataLoss ? { acceptDataLoss: true } : {}),
    reason: options.reason ?? 'requested by an operator',
    requestedBy: `cli:${userInfo().username}`,
  };
  if (options.direct === true) return await runHere(access, kind, options, input);
  const sfn = stepFunctionsClient(access);
  try {
    const executionArn = await startExecution(sfn, access, input);
    if (!options.wait) return print(executionArn);
    const forget = leaveOnSignal(`the ${kind} goes on by itself: see \`leasehold history\``);
    conclude(kind, options, await followExecution(sfn, executionArn, options.timeout * 1000, printStep));
    forget();
  } finally {
    sfn.destroy();
  }
}

async function runHere(
  access: ClusterAccess,
  kind: OperationKind,
  options: OperationOptions,
  input: object,
): Promise<void> {
  if (!options.wait)
    throw new CliError('--direct runs in this terminal: it cannot be left with --no-wait', 2);
  const direct = startDirectOperation(access, input, printStep);
  const forget = leaveOnSignal(() => leftBehind(kind, direct));
  const timer = setTimeout(() => {
    say(leftBehind(kind, direct));
    process.exit(1);
  }, options.timeout * 1000);
  const outcome = await direct.outcome;
  clearTimeout(timer);
  forget();
  conclude(kind, options, outcome);
}

/** What becomes of a direct operation whose terminal goes away: nothing here is undone, for others may be acting on it already. */
function leftBehind(kind: OperationKind, { run, step }: DirectOperation): string {
  const operation = run.operation();
  if (operation === null)
    return `the ${kind} was broken off before it had claimed anything: nothing has changed`;
  return [
    `the ${kind} was broken off in ${step()}: operation ${operation} stays in the record.`,
    'Hosts complete what they were ordered. After 15 s of silence another `--direct` run may take its place, and the',
    'sentinel closes it within two minutes and starts a failover where nobody holds the lease.',
  ].join('\n');
}

function printStep({ step, ms }: StepTime): void {
  print(`${step.padEnd(22)} ${String(ms).padStart(6)} ms`);
}

function conclude(kind: OperationKind, options: OperationOptions, outcome: ExecutionOutcome): void {
  switch (outcome.kind) {
    case 'succeeded':
      print(`${kind} done in ${outcome.ms} ms`);
      return;
    case 'failed':
      throw new CliError(`the ${kind} failed: ${outcome.error}: ${outcome.message}`);
    case 'still-running':
      throw new CliError(
        `the ${kind} is still under way after ${options.timeout} s: see \`leasehold history\``,
      );
  }
}

/** A signal ends what this terminal does; `what` says what that leaves. */
function leaveOnSignal(what: string | (() => string)): () => void {
  const leave = (signal: 'SIGINT' | 'SIGTERM') => {
    say(typeof what === 'string' ? what : what());
    process.exit(interruptedCode[signal]);
  };
  process.once('SIGINT', leave).once('SIGTERM', leave);
  return () => {
    process.off('SIGINT', leave).off('SIGTERM', leave);
  };
}
