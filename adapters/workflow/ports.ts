/**
 * What the workflow's steps need from outside, put together by each entry (a Lambda function, the CLI that runs the state
 * machine itself, a simulation). Operating errors are values; nothing here waits without a bound.
 */

import type { MetricName, Watching } from '../../core/health/cluster-metrics.ts';
import type { EventKind } from '../../core/model/cluster-event.ts';
import type { FailoverState } from '../../core/model/cluster-record.ts';
import type { ActionResult } from '../../core/model/operation.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Answer } from '../aws/store-answer.ts';

/** Reaches hosts without their agents' help: Run Command and EC2. */
export interface Hosts {
  /** Asks the host's agent to carry out an action; the value is the command's id. */
  runAction(order: { instanceId: string; operation: string; action: string }): Promise<Answer<string>>;
  /** Stops, and bars, a PostgreSQL of this epoch or an older one, whether or not its agent lives. */
  fence(order: { instanceId: string; epoch: number }): Promise<Answer<string>>;
  /** What became of a fence. */
  fenceOutcome(command: { instanceId: string; commandId: string }): Promise<Answer<FenceOutcome>>;
  /** Stops the instance without asking its system. */
  stopInstance(instanceId: string): Promise<Answer<void>>;
  /** EC2's name of the instance's state (`running`, `stopped`, ...), or `unknown`. */
  instanceState(instanceId: string): Promise<Answer<string>>;
  startInstance(instanceId: string): Promise<Answer<void>>;
  /** The security groups that the instance has. */
  securityGroups(instanceId: string): Promise<Answer<readonly string[]>>;
  setSecurityGroups(instanceId: string, groups: readonly string[]): Promise<Answer<void>>;
}

export type FenceOutcome =
  | { readonly kind: 'pending' }
  /** The host has written that no primary may run at `epoch` or below, and verified that none does. */
  | { readonly kind: 'fenced'; readonly epoch: number }
  | { readonly kind: 'failed'; readonly message: string };

export interface Executions {
  /** `absent`: there is no such execution. `unknowable`: judge it by the record's progress (only without Step Functions). */
  status(executionArn: string): Promise<Answer<'running' | 'ended' | 'absent' | 'unknowable'>>;
  start(request: { name: string; input: string }): Promise<Answer<'started' | 'exists'>>;
}

/** Answers to a task's token; `gone`: nobody waits for it any more. */
export interface Tasks {
  succeed(token: string, output: unknown): Promise<Answer<'taken' | 'gone'>>;
  fail(token: string, error: string, result: ActionResult): Promise<Answer<'taken' | 'gone'>>;
}

export type LogLevel = 'info' | 'warn' | 'error';
export type Log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Figures for operators: few, because each costs. `about` is told beside them, for whoever reads the log. */
export type Measure = (
  cluster: string,
  figures: Readonly<Partial<Record<MetricName, number>>>,
  about?: Readonly<Record<string, string>>,
) => void;

export interface WorkflowDeps {
  /** The name of the function that speaks in events. */
  readonly who: string;
  readonly storeOf: (cluster: string) => ClusterStore;
  readonly hosts: Hosts;
  readonly executions: Executions;
  readonly tasks: Tasks;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** ISO 8601, for people. */
  readonly time: () => string;
  /** A new ULID. */
  readonly newId: () => string;
  readonly log: Log;
  readonly measure: Measure;
  /** Which figures are sent while all is well. */
  readonly watching: Watching;
}

export interface EventDraft {
  readonly kind: EventKind;
  readonly message: string;
  readonly rule?: string;
  readonly epoch?: number | null;
  readonly operation?: string | null;
}

export type Step = Exclude<FailoverState, 'stable'>;
