/** PostgreSQL's programs that run during an action show in its transcript, which Run Command gives to the operator. */
import type { CommandReport } from '../adapters/postgres/host.ts';
import type { ActionVerb } from '../core/model/operation.ts';
import type { Executor } from './action-runner.ts';
import type { Log } from './emit.ts';

export class CommandTranscript {
  readonly #log: Log;
  #say: (line: string) => void = () => undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  add(report: CommandReport): void {
    const line = `${report.argv.join(' ')} -> ${report.exitCode ?? 'killed'} (${Math.round(report.ms)} ms)`;
    const level = report.exitCode === 0 ? 'info' : 'warn';
    this.#log(level, 'program ended', { command: line, stderr: report.stderrTail.slice(-300) });
    this.#say(line);
  }

  /** The same executors, each heard while it works. */
  of(executors: Partial<Record<ActionVerb, Executor>>): Partial<Record<ActionVerb, Executor>> {
    const heard = Object.entries(executors).map(([verb, execute]): [string, Executor] => [
      verb,
      async (action, run) => {
        this.#say = run.say;
        try {
          return await execute(action, run);
        } finally {
          this.#say = () => undefined;
        }
      },
    ]);
    return Object.fromEntries(heard);
  }
}
