/**
 * One operation run by this process instead of Step Functions and Lambda: the same definition, interpreted here, with the same
 * steps. Hosts are reached by Run Command where it answers; where it does not, their agents find the actions in DynamoDB. Upholds that
 * a run which dies is known to be dead (O1): while it lives it raises the record's version, and who finds it silent may take
 * over; each step checks that the operation is still the current one, so that taking over a living one is safe too.
 */
import type { OperationPlan } from '../../core/failover/plan-operation.ts';
import type { TokenVerdict } from '../asl/answer-task.ts';
import { AslEngine } from '../asl/engine.ts';
import type { Execution } from '../asl/execution.ts';
import { createMemoryStore } from '../asl/execution-store.ts';
import type { HistoryEvent } from '../asl/history.ts';
import type { Json } from '../asl/json.ts';
import { createLambdaInvoker, type LambdaFunction } from '../asl/lambda-invoker.ts';
import { type Answer, ok } from '../aws/store-answer.ts';
import { DirectAnswers } from './direct-answers.ts';
import type { Executions, Hosts, Tasks, WorkflowDeps } from './ports.ts';
import { definitionForSteps, type StepName, workflowSteps } from './steps.ts';

export interface DirectRun {
  /** What the record and the history call it. */
  readonly id: string;
  /** Resolves when the operation has ended, however it did. */
  readonly finished: Promise<Execution>;
  /** The operation's id, once it is claimed. */
  operation(): string | null;
  /** Stops at once and undoes nothing: as if the process had been killed. */
  abandon(): void;
}

export interface DirectRequest {
  readonly cluster: string;
  /** The text of the state machine's definition, with its placeholders. */
  readonly definition: string;
  /** As for an execution of the state machine. */
  readonly input: object;
  readonly onEvent?: (event: HistoryEvent) => void;
}

/** Well within the silence after which it would count as dead (`directSilenceMs`). */
const signOfLifeMs = 3_000;
/** Run Command is a help here: where it takes longer to accept a command, agents have found the action by themselves. */
const runCommandLimitMs = 1_000;

/** `tasks` of the given ports is not used: the tokens are this run's own. */
export function startDirectRun(given: Omit<WorkflowDeps, 'tasks'>, request: DirectRequest): DirectRun {
  const id = `direct-${given.newId()}`;
  const answers = new DirectAnswers(() => tasks);
  const store = given.storeOf(request.cluster);
  const deps: WorkflowDeps = {
    ...given,
    storeOf: () => answers.keeping(store),
    hosts: hurriedHosts(given),
    executions: judgedByProgress(given.executions),
    tasks: { succeed: (...of) => tasks.succeed(...of), fail: (...of) => tasks.fail(...of) },
  };
  let operation: string | null = null;
  const steps = workflowSteps(deps, id);
  const functions: Record<StepName, LambdaFunction> = {
    ...steps,
    begin: async (event, task) => {
      const plan = await steps.begin(event, task);
      operation = (plan as OperationPlan).operation;
      return plan;
    },
  };
  const engine: AslEngine = new AslEngine({
    store: createMemoryStore(),
    invokeTask: createLambdaInvoker(functions),
    onEvent: (_arn, event) => request.onEvent?.(event),
  });
  const tasks = tasksOf(engine);
  const machine = {
    arn: 'direct',
    name: 'direct',
    roleArn: '',
    definition: definitionForSteps(request.definition),
  };
  const started = engine.start(machine, id, JSON.stringify(request.input));
  if (started.kind !== 'started') throw new Error(`InvariantViolation: a new engine says ${started.kind}`);
  const beat = setInterval(() => {
    // Refused: it is closed, or its place was taken, which each step finds out by itself.
    if (operation !== null) void store.updateRecord({ expect: { operation }, set: {} });
  }, signOfLifeMs);
  const end = (): void => {
    clearInterval(beat);
    answers.close();
  };
  return {
    id,
    finished: engine.finished(started.execution.arn).finally(end),
    operation: () => operation,
    abandon: () => {
      end();
      engine.close();
    },
  };
}

function tasksOf(engine: AslEngine): Tasks {
  const taken = (verdict: TokenVerdict): Answer<'taken' | 'gone'> =>
    ok(verdict === 'accepted' ? 'taken' : 'gone');
  return {
    succeed: async (token, output) =>
      taken(engine.answer(token, { kind: 'succeeded', result: JSON.parse(JSON.stringify(output)) as Json })),
    fail: async (token, error, result) => {
      const failure = { error, cause: JSON.stringify(result), heartbeat: false };
      return taken(engine.answer(token, { kind: 'failed', failure }));
    },
  };
}

/** Once Run Command has failed or taken too long, actions go without it for the rest of the run; a fence is always tried. */
export function hurriedHosts({ hosts, sleep }: Pick<WorkflowDeps, 'hosts' | 'sleep'>): Hosts {
  let away: Answer<string> | null = null;
  return {
    ...hosts,
    runAction: async (order) => {
      if (away !== null) return away;
      const late = sleep(runCommandLimitMs).then(
        (): Answer<string> => ({
          kind: 'unreachable',
          message: `no answer within ${runCommandLimitMs} ms`,
        }),
      );
      const sent = await Promise.race([hosts.runAction(order), late]);
      if (sent.kind !== 'ok') away = sent;
      return sent;
    },
  };
}

/** An execution of Step Functions that cannot be asked about is judged by what it leaves in the record. */
function judgedByProgress(executions: Executions): Executions {
  return {
    ...executions,
    status: async (executionArn) => {
      const answer = await executions.status(executionArn);
      return answer.kind === 'ok' ? answer : ok('unknowable' as const);
    },
  };
}
