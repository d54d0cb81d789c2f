// Serves the task resources lambda:invoke and lambda:invoke.waitForTaskToken with functions of this process, answering
// and failing exactly as the integration does on AWS, so that one definition runs in both places.

import { AslTaskError } from './failure.ts';
import { isObject, type Json } from './json.ts';
import type { InvokeTask, TaskInvocation } from './run.ts';

/** One Lambda function: its payload as JSON in, its answer as JSON out (undefined is null, as in Lambda). */
export type LambdaFunction = (payload: Json, task: TaskInvocation) => Promise<unknown>;

/** The bare name in a function's name, `name:qualifier` or ARN. */
export function functionName(nameOrArn: string): string {
  const parts = nameOrArn.split(':');
  const at = parts.indexOf('function');
  return (at === -1 ? parts[0] : parts[at + 1]) ?? nameOrArn;
}

/**
 * An invoker over functions by name. A function that throws fails its task with the name of the error, and with Lambda's
 * description of it as the cause; an `AslTaskError` passes as it is.
 */
export function createLambdaInvoker(functions: Readonly<Record<string, LambdaFunction>>): InvokeTask {
  return async (task) => {
    const given = isObject(task.arguments) ? task.arguments : {};
    const name = typeof given.FunctionName === 'string' ? functionName(given.FunctionName) : '';
    const call = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (call === undefined) {
      const cause = `Functions from '${String(given.FunctionName)}' are not reachable: there is no such function`;
      throw new AslTaskError('Lambda.ResourceNotFoundException', cause);
    }
    try {
      const answer = await call(given.Payload ?? {}, task);
      const text = JSON.stringify(answer);
      const payload = text === undefined ? null : (JSON.parse(text) as Json);
      return { ExecutedVersion: '$LATEST', Payload: payload, StatusCode: 200 };
    } catch (error) {
      if (error instanceof AslTaskError) throw error;
      const {
        name: errorType,
        message: errorMessage,
        stack,
      } = error instanceof Error ? error : { name: 'Error', message: String(error), stack: '' };
      const cause = JSON.stringify({
        errorType,
        errorMessage,
        trace: (stack ?? '').split('\n').slice(0, 20),
      });
      throw new AslTaskError(errorType, cause);
    }
  };
}
