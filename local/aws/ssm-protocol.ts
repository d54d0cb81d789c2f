/**
 * What the runtime and the process that plays amazon-ssm-agent on a host say to each other over HTTP, as JSON.
 *
 * `POST /_leasehold/ssm/<instance>/poll`   WorkerPoll -> WorkerOrders, held until there is something or 20 s
 * `POST /_leasehold/ssm/<instance>/report` WorkerReport -> 200; 404 or 409 when nobody wants that command's report any more
 */
import type { ScriptStep } from './ssm-document.ts';

export type WorkerPoll = {
  /** Random at each start of the worker: tells a restart, with everything it ran lost, from a lost connection. */
  readonly workerId: string;
  /** Commands that it runs, or whose result has not been taken yet. */
  readonly known: readonly string[];
  /** How many more it would run at once. */
  readonly free: number;
};

export type WorkerOrders = {
  readonly start: readonly { readonly commandId: string; readonly steps: readonly ScriptStep[] }[];
  readonly cancel: readonly string[];
};

export type StepStatus = 'Pending' | 'InProgress' | 'Success' | 'Failed' | 'TimedOut' | 'Cancelled';

export type StepReport = {
  readonly name: string;
  readonly status: StepStatus;
  /** The exit code; -1 until there is one, and when the script was killed. */
  readonly responseCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Epoch milliseconds; undefined until it started or ended. */
  readonly startedAtMs?: number | undefined;
  readonly endedAtMs?: number | undefined;
};

export type WorkerReport = {
  readonly workerId: string;
  readonly commandId: string;
  readonly status: 'InProgress' | 'Success' | 'Failed' | 'TimedOut' | 'Cancelled';
  readonly steps: readonly StepReport[];
};

/** What AWS keeps of each output of a step. */
export const maxOutputCharacters = 24_000;
