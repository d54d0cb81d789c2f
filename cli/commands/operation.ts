/**
 * `leasehold switchover` and `leasehold failover`: one execution of the state machine, followed step by step. Both end
 * non-zero, with the reason, when the operation did not reach `Stable`.
 */
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import type { OperationKind } from '../../core/model/cluster-record.ts';
import { CliError, interruptedCode } from '../cli-error.ts';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { followExecution, startExecution, stepFunctionsClient } from '../follow-execution.ts';
import { wholeNumber } from '../option-values.ts';
import { print, say } from '../terminal.ts';

interface OperationOptions extends ClusterOptions {
  readonly target?: string;
  readonly reason?: string;
  readonly timeout: number;
  readonly wait: boolean;
}

export function addSwitchoverCommand(program: Command): void {
  addOperationCommand(program, 'switchover', 'move the primary to another node, without losing a write');
}

export function addFailoverCommand(program: Command): void {
  addOperationCommand(program, 'failover', 'replace a primary that does not answer');
}

function addOperationCommand(program: Command, kind: OperationKind, description: string): void {
  withClusterOptions(program.command(kind))
    .description(description)
    .option('-t, --target <node>', 'the new primary (default: the best candidate)')
    .option('-r, --reason <text>', 'why, for the history')
    .option('--timeout <seconds>', 'stop watching after this long', wholeNumber(1, 86_400), 300)
    .option('--no-wait', 'only start it, and print its execution')
    .action((options: OperationOptions) => run(kind, options));
}

async function run(kind: OperationKind, options: OperationOptions): Promise<void> {
  const access = openCluster(options);
  const sfn = stepFunctionsClient(access);
  try {
    const executionArn = await startExecution(sfn, access, {
      cluster: access.cluster,
      kind,
      ...(options.target === undefined ? {} : { target: options.target }),
      reason: options.reason ?? 'requested by an operator',
      requestedBy: `cli:${userInfo().username}`,
    });
    if (!options.wait) return print(executionArn);
    const forget = leaveOnSignal(kind);
    const outcome = await followExecution(sfn, executionArn, options.timeout * 1000, ({ step, ms }) =>
      print(`${step.padEnd(22)} ${String(ms).padStart(6)} ms`),
    );
    forget();
    switch (outcome.kind) {
      case 'succeeded':
        return print(`${kind} done in ${outcome.ms} ms`);
      case 'failed':
        throw new CliError(`the ${kind} failed: ${outcome.error}: ${outcome.message}`);
      case 'still-running':
        throw new CliError(
          `the ${kind} is still under way after ${options.timeout} s: see \`leasehold history\``,
        );
    }
  } finally {
    sfn.destroy();
  }
}

/** An operation under way must not be broken off in the middle: a signal ends only the watching. */
function leaveOnSignal(kind: OperationKind): () => void {
  const leave = (signal: 'SIGINT' | 'SIGTERM') => {
    say(`the ${kind} goes on by itself: see \`leasehold history\``);
    process.exit(interruptedCode[signal]);
  };
  process.once('SIGINT', leave).once('SIGTERM', leave);
  return () => {
    process.off('SIGINT', leave).off('SIGTERM', leave);
  };
}
