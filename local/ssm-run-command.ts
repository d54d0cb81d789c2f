/**
 * Runs the steps of one command as amazon-ssm-agent does: each script by the shell, one after the other, in a
 * process group of its own that is killed as a whole when its time is over or the command is cancelled.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { ScriptStep } from './aws/ssm-document.ts';
import { maxOutputCharacters, type StepReport } from './aws/ssm-protocol.ts';

export type CommandEnd = 'Success' | 'Failed' | 'TimedOut' | 'Cancelled';

export type RunningCommand = {
  /** Resolves once no step will run any more. Never rejects. */
  readonly ended: Promise<CommandEnd>;
  /** The steps as they are now. */
  steps(): readonly StepReport[];
  /** Kills what runs and skips what would follow. */
  cancel(): void;
};

export type CommandOptions = {
  readonly commandId: string;
  readonly steps: readonly ScriptStep[];
  readonly instanceId: string;
  readonly workFolder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Called when there is more output. */
  readonly onOutput: () => void;
};

/** A daemon that a script leaves behind may hold its output open; the end is not waited for longer than this. */
const drainMs = 100;

type MutableReport = { -readonly [key in keyof StepReport]: StepReport[key] };

export function runCommand(options: CommandOptions): RunningCommand {
  const reports: MutableReport[] = options.steps.map(({ name }) => ({
    name,
    status: 'Pending',
    responseCode: -1,
    stdout: '',
    stderr: '',
  }));
  const folder = join(options.workFolder, options.commandId);
  let cancelled = false;
  let kill: (() => void) | undefined;

  async function runAll(): Promise<CommandEnd> {
    let end: CommandEnd = 'Success';
    let stopped = false;
    for (const [index, step] of options.steps.entries()) {
      const report = reports[index];
      if (report === undefined || cancelled || (stopped && !step.isFinally)) continue;
      await runStep(step, report, String(index));
      if (report.status === 'Success') continue;
      if (step.onFailure === 'successAndExit' && report.status === 'Failed') stopped = true;
      else {
        if (end === 'Success') end = report.status === 'TimedOut' ? 'TimedOut' : 'Failed';
        stopped ||= step.onFailure === 'exit' || report.status === 'TimedOut';
      }
    }
    rmSync(folder, { recursive: true, force: true });
    if (!cancelled) return end;
    for (const report of reports) if (report.status === 'Pending') report.status = 'Cancelled';
    return 'Cancelled';
  }

  async function runStep(step: ScriptStep, report: MutableReport, index: string): Promise<void> {
    report.status = 'InProgress';
    report.startedAtMs = Date.now();
    const outcome = await runScript(step, join(folder, index), options, {
      started(killIt) {
        kill = killIt;
        if (cancelled) killIt();
      },
      output(stream, text) {
        if (report[stream].length >= maxOutputCharacters) return;
        report[stream] = (report[stream] + text).slice(0, maxOutputCharacters);
        options.onOutput();
      },
    });
    kill = undefined;
    report.endedAtMs = Date.now();
    report.responseCode = outcome.responseCode;
    if (cancelled) report.status = 'Cancelled';
    else if (outcome.timedOut) report.status = 'TimedOut';
    else report.status = outcome.responseCode === 0 ? 'Success' : 'Failed';
  }

  return {
    ended: runAll().catch((error: unknown): CommandEnd => {
      const report = reports.find(({ status }) => status === 'InProgress') ?? reports[0];
      if (report !== undefined)
        Object.assign(report, { status: 'Failed', stderr: `${report.stderr}${String(error)}\n` });
      return 'Failed';
    }),
    steps: () => reports,
    cancel() {
      cancelled = true;
      kill?.();
    },
  };
}

type ScriptEvents = {
  started(kill: () => void): void;
  output(stream: 'stdout' | 'stderr', text: string): void;
};

async function runScript(
  step: ScriptStep,
  folder: string,
  options: CommandOptions,
  events: ScriptEvents,
): Promise<{ responseCode: number; timedOut: boolean }> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, '_script.sh');
  writeFileSync(file, step.script, { mode: 0o700 });
  const [program = '/bin/sh', ...args] = step.script.startsWith('#!') ? [file] : ['/bin/sh', file];
  const child = spawn(program, args, {
    cwd: step.workingDirectory ?? folder,
    env: { ...options.environment, ...step.environment, AWS_SSM_INSTANCE_ID: options.instanceId },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let timedOut = false;
  for (const stream of ['stdout', 'stderr'] as const) {
    const decoder = new StringDecoder('utf8');
    child[stream]?.on('data', (chunk: Buffer) => events.output(stream, decoder.write(chunk)));
  }
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child);
  }, step.timeoutSeconds * 1000);
  events.started(() => killGroup(child));
  try {
    return { responseCode: await whenDone(child), timedOut };
  } finally {
    clearTimeout(timer);
    if (timedOut) killGroup(child);
  }
}

/** The exit code once the process is gone and its output read, -1 for one that was killed. */
function whenDone(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => child.pid === undefined && reject(error));
    child.once('exit', (code) => {
      const timer = setTimeout(() => resolve(code ?? -1), drainMs);
      child.once('close', () => {
        clearTimeout(timer);
        resolve(code ?? -1);
      });
    });
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The whole group is gone already.
  }
}
