/**
 * One process that runs one Lambda function, from its start to its end. Whatever happens to it, timeout,
 * exit or SIGKILL, every invocation handed to it is answered exactly once, and a process that has failed so
 * is never used again.
 *
 * States: `starting` (until the handler is loaded), `idle`, `busy` (one invocation), `ended` (for good).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FunctionDefinition } from './template-resources.ts';

/** What the runtime sends to the process. `payload` is JSON. */
export type ToLambda = {
  readonly kind: 'invoke';
  readonly requestId: string;
  readonly payload: string;
  readonly timeoutMs: number;
  readonly functionArn: string;
};

export type InvocationError = {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly trace?: readonly string[];
};

/** What the process sends to the runtime. */
export type FromLambda =
  | { readonly kind: 'ready' }
  | { readonly kind: 'init-failed'; readonly error: InvocationError }
  | { readonly kind: 'result'; readonly requestId: string; readonly payload: string }
  /** `fatal`: the process is about to exit because of it. */
  | {
      readonly kind: 'failed';
      readonly requestId: string;
      readonly error: InvocationError;
      readonly fatal: boolean;
    };

export type InvocationResult =
  | { readonly kind: 'result'; readonly payload: string }
  | { readonly kind: 'error'; readonly error: InvocationError };

export type LambdaProcess = {
  readonly pid: number | undefined;
  /** Resolves once the handler is loaded, or with the reason why it never will be. */
  readonly ready: Promise<{ kind: 'ready' } | { kind: 'failed'; error: InvocationError }>;
  /** Runs one invocation. Only for a process that is ready and not busy. */
  invoke(requestId: string, payload: string): Promise<InvocationResult>;
  /** Kills the process; resolves when it is gone. */
  end(): Promise<void>;
};

export type LambdaProcessOptions = {
  readonly definition: FunctionDefinition;
  /** The whole environment of the process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Receives what it prints. */
  readonly log: (chunk: string) => void;
  /** Called once, when the process is gone. */
  readonly onEnd: () => void;
};

/** AWS gives a function ten seconds to load, apart from its own timeout. */
const initTimeoutMs = 10_000;
/** As `nice` has it. */
const functionPriority = 10;

const bootstrap = fileURLToPath(new URL('./lambda-bootstrap.ts', import.meta.url));

/** Kills the child with its parent even when the child is stuck in a loop and cannot see the closed channel. */
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

export function startLambdaProcess(options: LambdaProcessOptions): LambdaProcess {
  const { definition, log } = options;
  const child = spawnNode(definition, options.environment);
  let pending: { requestId: string; settle: (result: InvocationResult) => void } | undefined;
  let initError: InvocationError | undefined;
  let fatalError: InvocationError | undefined;
  let timedOut = false;
  let endedBecause: string | undefined;

  child.stdout?.setEncoding('utf8').on('data', log);
  child.stderr?.setEncoding('utf8').on('data', log);
  // A failed send shows as the end of the process, which answers the invocation.
  child.on('error', (error) => log(`${error.message}\n`));

  const gone = whenGone(child);
  const ready: LambdaProcess['ready'] = new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), initTimeoutMs);
    child.on('message', (message: FromLambda) => {
      if (message.kind === 'init-failed') initError = message.error;
      if (message.kind === 'ready') resolve({ kind: 'ready' });
      if (message.kind !== 'ready') return;
      clearTimeout(timer);
    });
    void gone.then((reason) => {
      clearTimeout(timer);
      resolve({
        kind: 'failed',
        error: initError ?? { errorType: 'Runtime.ExitError', errorMessage: reason },
      });
    });
  });
  child.on('message', (message: FromLambda) => {
    if (message.kind !== 'result' && message.kind !== 'failed') return;
    if (pending?.requestId !== message.requestId || timedOut) return;
    if (message.kind === 'failed' && message.fatal) {
      // Answered when the process is gone, so that nothing more is handed to it.
      fatalError = message.error;
      return;
    }
    const { settle } = pending;
    pending = undefined;
    settle(
      message.kind === 'result'
        ? { kind: 'result', payload: message.payload }
        : { kind: 'error', error: message.error },
    );
  });
  void gone.then((reason) => {
    endedBecause = reason;
    if (pending !== undefined) {
      const { requestId, settle } = pending;
      pending = undefined;
      const timeoutMs = timedOut ? definition.timeoutMs : undefined;
      settle({ kind: 'error', error: fatalError ?? endOfInvocation(requestId, timeoutMs, reason) });
    }
    options.onEnd();
  });

  return {
    pid: child.pid,
    ready,
    invoke(requestId, payload) {
      if (pending !== undefined) throw new Error('a Lambda process runs one invocation at a time');
      if (endedBecause !== undefined) {
        const error = endOfInvocation(requestId, undefined, endedBecause);
        return Promise.resolve({ kind: 'error', error });
      }
      return new Promise<InvocationResult>((resolve) => {
        const timer = setTimeout(() => {
          timedOut = true;
          child.kill('SIGKILL');
        }, definition.timeoutMs);
        pending = {
          requestId,
          settle(result) {
            clearTimeout(timer);
            resolve(result);
          },
        };
        const { timeoutMs, arn: functionArn } = definition;
        if (child.connected) {
          child.send(
            { kind: 'invoke', requestId, payload, timeoutMs, functionArn } satisfies ToLambda,
            () => {},
          );
        }
      });
    },
    async end() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function spawnNode(
  definition: FunctionDefinition,
  environment: Readonly<Record<string, string>>,
): ChildProcess {
  const heapMb = Math.max(64, Math.floor(definition.memoryMb * 0.9));
  const node = [process.execPath, `--max-old-space-size=${heapMb}`, bootstrap];
  const command = setpriv === undefined ? node : [setpriv, '--pdeathsig', 'KILL', '--', ...node];
  const child = spawn(command[0] ?? process.execPath, command.slice(1), {
    cwd: definition.taskRoot,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  giveWay(child.pid);
  return child;
}

/** On AWS functions run on machines of their own; here a cold start must not keep the endpoints from answering heartbeats. */
function giveWay(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, functionPriority);
  } catch {
    // It has ended already, which its exit tells.
  }
}

/** The last messages of a process may be read after its exit is known; this waits for them, within a bound. */
const lastMessagesMs = 200;

function whenGone(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => child.pid === undefined && resolve(error.message));
    child.once('exit', (code, signal) => {
      const reason = exitReason(code, signal);
      if (!child.connected) return resolve(reason);
      const timer = setTimeout(() => resolve(reason), lastMessagesMs);
      child.once('disconnect', () => {
        clearTimeout(timer);
        resolve(reason);
      });
    });
  });
}

function exitReason(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `signal: ${signal === 'SIGKILL' ? 'killed' : signal}`;
  return `exit status ${code}`;
}

/** The error that AWS gives for an invocation whose process ended under it. */
function endOfInvocation(requestId: string, timeoutMs: number | undefined, reason: string): InvocationError {
  if (timeoutMs !== undefined) {
    const seconds = (timeoutMs / 1000).toFixed(2);
    return {
      errorType: 'Sandbox.Timedout',
      errorMessage: `RequestId: ${requestId} Error: Task timed out after ${seconds} seconds`,
    };
  }
  return {
    errorType: 'Runtime.ExitError',
    errorMessage: `RequestId: ${requestId} Error: Runtime exited with error: ${reason}`,
  };
}
