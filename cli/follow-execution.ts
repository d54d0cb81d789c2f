/**
 * Starts an execution of the state machine and follows it, step by step, to its end, through the AWS SDK alone: what is shown
 * is what GetExecutionHistory says. The operation does not depend on whoever watches it: leaving early changes nothing.
 */
import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  GetExecutionHistoryCommand,
  type HistoryEvent,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { sleepMs } from '../adapters/clock.ts';
import { CliError } from './cli-error.ts';
import type { ClusterAccess } from './cluster/cluster-access.ts';

/** The states an operator knows; the others (Map iterations, choices) are inner workings. */
export const operatorSteps: ReadonlySet<string> = new Set([
  'Initiated',
  'WaitingForCatchup',
  'DemotingOldPrimary',
  'ChoosingTarget',
  'PromotingNewPrimary',
  'ReconfiguringReplicas',
  'Stable',
  'Aborting',
]);

export interface StepTime {
  readonly step: string;
  readonly ms: number;
}

export type ExecutionOutcome =
  | { readonly kind: 'succeeded'; readonly ms: number; readonly steps: readonly StepTime[] }
  | { readonly kind: 'failed'; readonly error: string; readonly message: string }
  | { readonly kind: 'still-running' };

const pollMs = 100;
const maxHistoryPages = 30;

/** A Step Functions client for the cluster; the caller destroys it. */
export function stepFunctionsClient(access: ClusterAccess): SFNClient {
  return new SFNClient({ ...access.clientConfig, maxAttempts: 3 });
}

/** Starts an execution with this input and returns its ARN. Throws CliError where Step Functions refuses. */
export async function startExecution(sfn: SFNClient, access: ClusterAccess, input: object): Promise<string> {
  if (access.stateMachineArn === '') {
    throw new CliError('the state machine is not known: --state-machine or $LEASEHOLD_STATE_MACHINE');
  }
  try {
    const started = await sfn.send(
      new StartExecutionCommand({ stateMachineArn: access.stateMachineArn, input: JSON.stringify(input) }),
    );
    return started.executionArn ?? '';
  } catch (error) {
    if (error instanceof Error) throw new CliError(`Step Functions: ${error.name}: ${error.message}`);
    throw error;
  }
}

/** Follows an execution to its end; `onStep` is told of each step when it is over. Gives up watching after `timeoutMs`. */
export async function followExecution(
  sfn: SFNClient,
  executionArn: string,
  timeoutMs: number,
  onStep: (step: StepTime) => void,
): Promise<ExecutionOutcome> {
  const untilMs = performance.now() + timeoutMs;
  const told: StepTime[] = [];
  const tell = (known: readonly StepTime[]) => {
    for (const step of known.slice(told.length)) {
      told.push(step);
      onStep(step);
    }
  };
  while (performance.now() < untilMs) {
    const described = await sfn.send(new DescribeExecutionCommand({ executionArn }));
    const events = await readHistory(sfn, executionArn);
    tell(finishedSteps(events));
    if (described.status !== 'RUNNING') return outcomeOf(described, events, told);
    await sleepMs(pollMs);
  }
  return { kind: 'still-running' };
}

async function readHistory(sfn: SFNClient, executionArn: string): Promise<HistoryEvent[]> {
  const events: HistoryEvent[] = [];
  let nextToken: string | undefined;
  for (let page = 0; page < maxHistoryPages; page += 1) {
    const answer = await sfn.send(
      new GetExecutionHistoryCommand({
        executionArn,
        maxResults: 1000,
        includeExecutionData: false,
        ...(nextToken === undefined ? {} : { nextToken }),
      }),
    );
    events.push(...(answer.events ?? []));
    nextToken = answer.nextToken;
    if (nextToken === undefined) break;
  }
  return events;
}

/** The steps that are over, in order, each from its entry to the next step's or to the end of the execution. */
export function finishedSteps(events: readonly HistoryEvent[]): StepTime[] {
  const entered = events.flatMap((event) => {
    const name = event.stateEnteredEventDetails?.name;
    return name !== undefined && operatorSteps.has(name) ? [{ step: name, atMs: timeOf(event) }] : [];
  });
  const end = events.find(({ type }) => type !== undefined && /^Execution(?!Started)/.test(type));
  return entered.flatMap(({ step, atMs }, at) => {
    const nextMs = entered[at + 1]?.atMs ?? (end === undefined ? undefined : timeOf(end));
    return nextMs === undefined ? [] : [{ step, ms: Math.max(0, nextMs - atMs) }];
  });
}

function timeOf(event: HistoryEvent): number {
  return event.timestamp?.getTime() ?? 0;
}

function outcomeOf(
  described: DescribeExecutionCommandOutput,
  events: readonly HistoryEvent[],
  told: readonly StepTime[],
): ExecutionOutcome {
  if (described.status === 'SUCCEEDED') {
    const ms = (described.stopDate?.getTime() ?? 0) - (described.startDate?.getTime() ?? 0);
    return { kind: 'succeeded', ms, steps: told };
  }
  const details = events.findLast((event) => event.executionFailedEventDetails !== undefined);
  const error =
    described.error ?? details?.executionFailedEventDetails?.error ?? described.status ?? 'FAILED';
  const cause = described.cause ?? details?.executionFailedEventDetails?.cause ?? '';
  return { kind: 'failed', error, message: readableCause(cause) };
}

/** A Lambda's error comes as JSON, in which the message is for people; anything else is shown as it is. */
export function readableCause(cause: string): string {
  let text = cause;
  // An aborted operation quotes the cause of what failed, which may itself be quoted JSON.
  for (let depth = 0; depth < 4; depth += 1) {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      return text;
    }
    if (typeof parsed === 'string') text = parsed;
    else if (typeof parsed === 'object' && parsed !== null) {
      const { errorMessage, message, cause: inner } = parsed as Record<string, unknown>;
      const next = [errorMessage, message, inner].find((value) => typeof value === 'string' && value !== '');
      if (typeof next !== 'string') return text;
      text = next;
    } else return text;
  }
  return text;
}
