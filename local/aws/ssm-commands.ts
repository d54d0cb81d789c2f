/**
 * The commands that Run Command has taken, and what became of each on its host. Kept on disk, so that a runtime
 * that was killed knows them again. An invocation that has ended never changes any more.
 *
 * States of an invocation: `Pending` (until a worker says that it started; ends as `TimedOut` with details
 * `DeliveryTimedOut` when none does in time, or as `Cancelled`), `InProgress`, `Cancelling` (until the worker
 * has killed it), and for good `Success`, `Failed`, `TimedOut`, `Cancelled`.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile, writeJsonFile } from '../runtime/json-file.ts';
import type { ScriptStep } from './ssm-document.ts';
import type { StepReport, WorkerReport } from './ssm-protocol.ts';

export type InvocationStatus =
  | 'Pending'
  | 'InProgress'
  | 'Cancelling'
  | 'Success'
  | 'Failed'
  | 'TimedOut'
  | 'Cancelled';

export type Invocation = {
  readonly instanceId: string;
  status: InvocationStatus;
  statusDetails: string;
  /** The worker that said it started the command. */
  workerId?: string;
  startedAtMs?: number;
  steps: readonly StepReport[];
};

export type Command = {
  readonly commandId: string;
  readonly documentName: string;
  readonly comment: string;
  readonly parameters: Readonly<Record<string, readonly string[]>>;
  readonly steps: readonly ScriptStep[];
  readonly requestedAtMs: number;
  readonly timeoutSeconds: number;
  readonly invocations: readonly Invocation[];
};

export type CommandStore = {
  /** All commands, the newest first. */
  all(): readonly Command[];
  get(commandId: string): Command | undefined;
  /** Keeps a new command on disk before it returns. */
  add(command: Command): void;
  /** Commands of this host that have not ended, the oldest first. */
  open(instanceId: string): readonly { readonly command: Command; readonly invocation: Invocation }[];
  /** Takes a worker's report. `unwanted`: the command is not known or has ended on this host. */
  report(instanceId: string, report: WorkerReport): 'taken' | 'unwanted';
  /** Ends an invocation, unless it has ended already. */
  end(command: Command, invocation: Invocation, status: InvocationStatus, details: string): void;
  /** Marks an invocation in progress as to be cancelled. */
  cancelling(command: Command, invocation: Invocation): void;
  /** Stops all timers. */
  close(): void;
};

/** AWS keeps 30 days of history; this many commands is some days of a busy cluster. */
const maxCommands = 1000;
/** Beyond a command's own time-out: how long its worker may take to say so before it counts as lost. */
const reportGraceMs = 30_000;
/** The longest delay that a timer takes. */
const maxTimerMs = 2 ** 31 - 1;

export function openCommandStore(folder: string): CommandStore {
  mkdirSync(folder, { recursive: true });
  const commands = load(folder);
  const timers = new Map<Invocation, NodeJS.Timeout>();
  const save = (command: Command) => writeJsonFile(join(folder, `${command.commandId}.json`), command);

  function end(command: Command, invocation: Invocation, status: InvocationStatus, details: string): void {
    if (hasEnded(invocation)) return;
    clearTimeout(timers.get(invocation));
    timers.delete(invocation);
    invocation.status = status;
    invocation.statusDetails = details;
    save(command);
  }

  /** One timer an invocation: the bound of its delivery, then that of its execution. */
  function watch(command: Command, invocation: Invocation): void {
    clearTimeout(timers.get(invocation));
    const pending = invocation.status === 'Pending';
    const untilMs = pending
      ? command.requestedAtMs + command.timeoutSeconds * 1000
      : (invocation.startedAtMs ?? Date.now()) + executionMs(command) + reportGraceMs;
    const details = pending ? 'DeliveryTimedOut' : 'ExecutionTimedOut';
    const delayMs = Math.min(Math.max(0, untilMs - Date.now()), maxTimerMs);
    timers.set(invocation, setTimeout(() => end(command, invocation, 'TimedOut', details), delayMs).unref());
  }

  for (const command of commands.values()) {
    for (const invocation of command.invocations) if (!hasEnded(invocation)) watch(command, invocation);
  }

  return {
    all: () => [...commands.values()].reverse(),
    get: (commandId) => commands.get(commandId),
    end,
    add(command) {
      save(command);
      commands.set(command.commandId, command);
      for (const invocation of command.invocations) watch(command, invocation);
      prune(folder, commands);
    },
    open: (instanceId) =>
      [...commands.values()].flatMap((command) =>
        command.invocations
          .filter((invocation) => invocation.instanceId === instanceId && !hasEnded(invocation))
          .map((invocation) => ({ command, invocation })),
      ),
    report(instanceId, report) {
      const command = commands.get(report.commandId);
      const invocation = command?.invocations.find((candidate) => candidate.instanceId === instanceId);
      if (command === undefined || invocation === undefined || hasEnded(invocation)) return 'unwanted';
      invocation.steps = report.steps;
      invocation.workerId = report.workerId;
      if (report.status !== 'InProgress') {
        end(
          command,
          invocation,
          report.status,
          report.status === 'TimedOut' ? 'ExecutionTimedOut' : report.status,
        );
      } else if (invocation.status === 'Pending') {
        invocation.startedAtMs = Date.now();
        invocation.status = 'InProgress';
        invocation.statusDetails = 'InProgress';
        watch(command, invocation);
        save(command);
      }
      return 'taken';
    },
    cancelling(command, invocation) {
      if (invocation.status !== 'InProgress') return;
      invocation.status = 'Cancelling';
      invocation.statusDetails = 'Cancelling';
      save(command);
    },
    close() {
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

/** Whether the invocation has come to an end, after which nothing changes it. */
export function hasEnded({ status }: Invocation): boolean {
  return status === 'Success' || status === 'Failed' || status === 'TimedOut' || status === 'Cancelled';
}

function executionMs(command: Command): number {
  return command.steps.reduce((sum, { timeoutSeconds }) => sum + timeoutSeconds * 1000, 0);
}

function load(folder: string): Map<string, Command> {
  const found = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => readJsonFile<Command>(join(folder, file)) ?? [])
    .sort((left, right) => left.requestedAtMs - right.requestedAtMs);
  return new Map(found.map((command) => [command.commandId, command]));
}

/** Forgets the oldest commands that have ended, beyond the bound. */
function prune(folder: string, commands: Map<string, Command>): void {
  for (const [commandId, command] of commands) {
    if (commands.size <= maxCommands) return;
    if (!command.invocations.every(hasEnded)) continue;
    commands.delete(commandId);
    rmSync(join(folder, `${commandId}.json`), { force: true });
  }
}
