/**
 * `--direct`: an operation that runs in this process, for the day on which Step Functions or Lambda is away. The definition is the one
 * that is deployed (`infra/failover.asl.json` beside this program); hosts are reached by Run Command where its documents are known,
 * and find their actions in DynamoDB in any case.
 */
import { readFileSync } from 'node:fs';
import type { HistoryEvent } from '../adapters/asl/history.ts';
import { type AwsClients, createAwsClients } from '../adapters/aws/clients.ts';
import { monotonicMs } from '../adapters/clock.ts';
import { type DirectRun, startDirectRun } from '../adapters/workflow/direct-run.ts';
import type { WorkflowDeps } from '../adapters/workflow/ports.ts';
import type { ClusterAccess } from './cluster/cluster-access.ts';
import { type ExecutionOutcome, operatorSteps, readableCause, type StepTime } from './follow-execution.ts';
import { fromTerminal, portsOf } from './operator-work.ts';

export interface DirectOperation {
  readonly run: DirectRun;
  /** The state it is in now, in the words of the definition. */
  step(): string;
  readonly outcome: Promise<ExecutionOutcome>;
}

/** The definition as the project has it: no service is asked for it. */
function readDefinition(): string {
  return readFileSync(new URL('../infra/failover.asl.json', import.meta.url), 'utf8');
}

export function startDirectOperation(
  access: ClusterAccess,
  input: object,
  onStep: (step: StepTime) => void,
): DirectOperation {
  const clients = createAwsClients(access.clientConfig);
  const startedMs = monotonicMs();
  const steps = new StepClock(onStep);
  const run = startDirectRun(depsOf(access, clients), {
    cluster: access.cluster,
    definition: readDefinition(),
    input,
    onEvent: (event) => steps.see(event),
  });
  const outcome = run.finished.then((execution): ExecutionOutcome => {
    clients.destroy();
    steps.end();
    const ms = Math.round(monotonicMs() - startedMs);
    if (execution.status === 'SUCCEEDED') return { kind: 'succeeded', ms, steps: steps.ended };
    return {
      kind: 'failed',
      error: execution.error ?? execution.status,
      message: readableCause(execution.cause ?? ''),
    };
  });
  return { run, step: () => steps.current(), outcome };
}

function depsOf(access: ClusterAccess, clients: AwsClients): Omit<WorkflowDeps, 'tasks'> {
  const { documents } = access;
  const { hosts, executions } = portsOf(access, clients);
  const unknown = {
    kind: 'unreachable',
    message: "Run Command's document is not known: --run-action-document, --fence-document",
  } as const;
  return {
    ...fromTerminal,
    storeOf: () => access.store,
    hosts: {
      ...hosts,
      ...(documents.runAction === '' ? { runAction: async () => unknown } : {}),
      ...(documents.fence === '' ? { fence: async () => unknown } : {}),
    },
    executions,
    // CloudWatch takes figures from the functions' logs: what runs here is in the history only.
    measure: () => undefined,
    watching: 'essential',
  };
}

/** Tells of each step when the next one begins, as the follower of an execution does. */
class StepClock {
  readonly ended: StepTime[] = [];
  readonly #onStep: (step: StepTime) => void;
  #step: { readonly name: string; readonly atMs: number } | null = null;

  constructor(onStep: (step: StepTime) => void) {
    this.#onStep = onStep;
  }

  current(): string {
    return this.#step?.name ?? 'Initiated';
  }

  see(event: HistoryEvent): void {
    const name = enteredState(event);
    if (name === null || !operatorSteps.has(name)) return;
    this.end();
    this.#step = { name, atMs: monotonicMs() };
  }

  end(): void {
    if (this.#step === null) return;
    const step = { step: this.#step.name, ms: Math.round(monotonicMs() - this.#step.atMs) };
    this.#step = null;
    this.ended.push(step);
    this.#onStep(step);
  }
}

function enteredState(event: HistoryEvent): string | null {
  const { stateEnteredEventDetails: details } = event as { stateEnteredEventDetails?: unknown };
  const name = typeof details === 'object' && details !== null ? (details as { name?: unknown }).name : null;
  return typeof name === 'string' ? name : null;
}
