/**
 * Runs the stack's Lambda functions, each in processes of its own that know nothing but what AWS would tell
 * them: the template's environment and Lambda's own variables. A warm process is reused, so that an invocation
 * costs a message there and back; more are started when all are busy, up to a bound, and surplus ones end.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { AwsError } from './aws-error.ts';
import { type BoundedLog, openBoundedLog } from './bounded-log.ts';
import {
  type InvocationError,
  type InvocationResult,
  type LambdaProcess,
  startLambdaProcess,
} from './lambda-process.ts';
import type { FunctionDefinition } from './template-resources.ts';

/** `payload` is JSON; with `functionError` it describes the error, as AWS does. */
export type InvokeAnswer = { readonly payload: string; readonly functionError?: 'Unhandled' };

export type LambdaRunner = {
  /** Invokes by name, ARN, or either with a version or alias. Throws AwsError when there is no such function. */
  invoke(functionNameOrArn: string, payload: string): Promise<InvokeAnswer>;
  /**
   * Starts processes of each function, one or as many as `countOf` says, and waits until all can answer. Throws when one
   * cannot be loaded.
   */
  prewarm(countOf?: (functionName: string) => number): Promise<void>;
  /** The functions, for ListFunctions. */
  readonly functions: readonly FunctionDefinition[];
  /** The process ids of a function's processes, for tests and for status. */
  processIds(functionName: string): readonly number[];
  /** Ends all processes. Invocations under way answer with an error. */
  close(): Promise<void>;
};

export type LambdaRunnerOptions = {
  readonly functions: readonly FunctionDefinition[];
  readonly region: string;
  /** Where the AWS endpoints listen; asked when a process starts. */
  readonly endpointUrl: () => string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Where each function's output goes, as `<name>.log`. */
  readonly logFolder: string;
  /** How many processes one function may have (default 8). */
  readonly maxProcesses?: number;
  /** After this long without work a surplus process ends (default 5 minutes); one always stays. */
  readonly idleMs?: number;
};

const prewarmAttempts = 4;
/** Invocations beyond this many waiting are throttled, as AWS does at the concurrency limit. */
const maxWaiting = 100;

type Worker = {
  readonly process: LambdaProcess;
  state: 'starting' | 'idle' | 'busy' | 'ended';
  idleTimer?: NodeJS.Timeout;
};
type Waiting = {
  readonly requestId: string;
  readonly payload: string;
  readonly settle: (answer: InvokeAnswer) => void;
};

export function createLambdaRunner(options: LambdaRunnerOptions): LambdaRunner {
  const pools = new Map(
    options.functions.map((definition) => [definition.name, createPool(definition, options)]),
  );
  return {
    functions: options.functions,
    async invoke(functionNameOrArn, payload) {
      return poolOf(pools, functionNameOrArn).invoke(payload);
    },
    async prewarm(countOf = () => 1) {
      await Promise.all([...pools].map(([name, pool]) => pool.prewarm(countOf(name))));
    },
    processIds: (functionName) => poolOf(pools, functionName).processIds(),
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}

type Pool = {
  invoke(payload: string): Promise<InvokeAnswer>;
  prewarm(count: number): Promise<void>;
  processIds(): readonly number[];
  close(): Promise<void>;
};

/** `name`, `name:alias`, `arn:...:function:name` and `arn:...:function:name:alias` all name the function. */
function poolOf(pools: ReadonlyMap<string, Pool>, functionNameOrArn: string): Pool {
  const rest = functionNameOrArn.replace(/^(arn:[^:]*:lambda:[^:]*:[^:]*:|\d{12}:)function:/, '');
  const pool = pools.get(rest.split(':')[0] ?? '');
  if (pool === undefined) {
    throw new AwsError('ResourceNotFoundException', `Function not found: ${functionNameOrArn}`, 404);
  }
  return pool;
}

function createPool(definition: FunctionDefinition, options: LambdaRunnerOptions): Pool {
  const log = openBoundedLog(join(options.logFolder, `${definition.name}.log`));
  const workers = new Set<Worker>();
  const waiting: Waiting[] = [];
  const limit = Math.min(
    options.maxProcesses ?? 8,
    definition.reservedConcurrency ?? Number.POSITIVE_INFINITY,
  );
  let closed = false;

  function start(): Worker {
    const worker: Worker = {
      state: 'starting',
      process: startLambdaProcess({
        definition,
        environment: environmentOf(definition, options),
        log: log.write,
        onEnd() {
          worker.state = 'ended';
          clearTimeout(worker.idleTimer);
          workers.delete(worker);
          startForWaiting();
        },
      }),
    };
    workers.add(worker);
    void worker.process.ready.then((outcome) => {
      if (outcome.kind === 'ready') return becomeIdle(worker);
      // What cannot be loaded fails the invocation that waits for it, as AWS does; the next one tries again.
      const next = waiting.shift();
      if (next !== undefined) next.settle(unhandled(next, outcome.error, log));
    });
    return worker;
  }

  function becomeIdle(worker: Worker): void {
    if (worker.state === 'ended') return;
    worker.state = 'idle';
    const next = waiting.shift();
    if (next !== undefined) {
      run(worker, next);
      return;
    }
    clearTimeout(worker.idleTimer);
    worker.idleTimer = setTimeout(() => {
      if (workers.size > 1 && worker.state === 'idle') retire(worker);
    }, options.idleMs ?? 300_000);
    worker.idleTimer.unref();
  }

  function retire(worker: Worker): void {
    worker.state = 'ended';
    workers.delete(worker);
    void worker.process.end();
  }

  function run(worker: Worker, { requestId, payload, settle }: Waiting): void {
    clearTimeout(worker.idleTimer);
    worker.state = 'busy';
    log.write(`START RequestId: ${requestId}\n`);
    const startedMs = performance.now();
    void worker.process.invoke(requestId, payload).then((result) => {
      log.write(`END RequestId: ${requestId} Duration: ${(performance.now() - startedMs).toFixed(2)} ms\n`);
      settle(toAnswer(result, requestId, log));
      becomeIdle(worker);
    });
  }

  /** Keeps as many processes on their way as there are invocations that no process has yet. */
  function startForWaiting(): void {
    if (closed) return;
    let starting = [...workers].filter(({ state }) => state === 'starting').length;
    for (; starting < waiting.length && workers.size < limit; starting += 1) start();
  }

  return {
    invoke(payload) {
      if (closed) throw new AwsError('ServiceException', 'the runtime is shutting down', 500);
      if (waiting.length >= maxWaiting || limit === 0) {
        throw new AwsError('TooManyRequestsException', 'Rate Exceeded.', 429);
      }
      return new Promise((settle) => {
        const invocation = { requestId: randomUUID(), payload, settle };
        const idle = [...workers].find(({ state }) => state === 'idle');
        if (idle !== undefined) return run(idle, invocation);
        waiting.push(invocation);
        startForWaiting();
      });
    },
    async prewarm(count) {
      for (let attempt = 1; ; attempt += 1) {
        while (workers.size < Math.min(count, limit)) start();
        const outcomes = await Promise.all([...workers].map(({ process }) => process.ready));
        const failed = outcomes.find((outcome) => outcome.kind === 'failed');
        if (failed === undefined) return;
        // One that was ended because it took too long may be loaded in time when the machine is less busy.
        const again = failed.error.errorType === 'Runtime.ExitError' && attempt < prewarmAttempts && !closed;
        if (!again) throw new Error(`${definition.name} cannot be loaded: ${failed.error.errorMessage}`);
      }
    },
    processIds: () => [...workers].flatMap(({ process }) => process.pid ?? []),
    async close() {
      closed = true;
      const ended = { errorType: 'Runtime.ExitError', errorMessage: 'the runtime is shutting down' };
      for (const invocation of waiting.splice(0)) invocation.settle(unhandled(invocation, ended, log));
      await Promise.all([...workers].map(({ process }) => process.end()));
      await log.flush();
    },
  };
}

function toAnswer(result: InvocationResult, requestId: string, log: BoundedLog): InvokeAnswer {
  switch (result.kind) {
    case 'result':
      return { payload: result.payload };
    case 'error':
      return unhandled({ requestId }, result.error, log);
  }
}

function unhandled(
  { requestId }: { requestId: string },
  error: InvocationError,
  log: BoundedLog,
): InvokeAnswer {
  log.write(`${requestId} ERROR ${JSON.stringify(error)}\n`);
  return { payload: JSON.stringify(error), functionError: 'Unhandled' };
}

/** Everything that a function of this definition sees in `process.env`. */
export function environmentOf(
  definition: FunctionDefinition,
  options: Pick<LambdaRunnerOptions, 'region' | 'endpointUrl' | 'credentials'>,
): Record<string, string> {
  return {
    ...definition.environment,
    AWS_REGION: options.region,
    AWS_DEFAULT_REGION: options.region,
    AWS_ACCESS_KEY_ID: options.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: options.credentials.secretAccessKey,
    AWS_LAMBDA_FUNCTION_NAME: definition.name,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(definition.memoryMb),
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${definition.name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: 'local',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    _HANDLER: definition.handler,
    LAMBDA_TASK_ROOT: definition.taskRoot,
    TZ: ':UTC',
    LANG: 'en_US.UTF-8',
    AWS_ENDPOINT_URL: options.endpointUrl(),
  };
}
