/** Counts the invocations of functions with their duration, as AWS bills them: whoever invokes, and whatever comes of it. */
import type { LambdaRunner } from '../aws/lambda.ts';
import type { UsageMeter } from '../aws/usage-meter.ts';

/** The same functions, each invocation counted at its end. AWS counts whole milliseconds, begun ones included. */
export function meterLambda(runner: LambdaRunner, meter: UsageMeter): LambdaRunner {
  const memoryGb = new Map(runner.functions.map(({ name, memoryMb }) => [name, memoryMb / 1024]));
  return {
    ...runner,
    async invoke(functionNameOrArn, payload) {
      const startedMs = performance.now();
      const what = shortName(functionNameOrArn);
      try {
        return await runner.invoke(functionNameOrArn, payload);
      } finally {
        const ms = Math.ceil(performance.now() - startedMs);
        const gbSeconds = (ms / 1000) * (memoryGb.get(fullName(functionNameOrArn)) ?? 0);
        meter.add({ service: 'lambda', operation: 'Invoke', what, who: '' }, { ms, gbSeconds });
      }
    },
  };
}

/** `arn:aws:lambda:<region>:<account>:function:<name>` and `<name>` are the same function. */
function fullName(functionNameOrArn: string): string {
  return functionNameOrArn.split(':').at(functionNameOrArn.startsWith('arn:') ? 6 : 0) ?? '';
}

/** Of a stack's function or state machine, without the stack: `sentinel` for `Leasehold-sentinel`. */
export function shortName(nameOrArn: string): string {
  const name = fullName(nameOrArn);
  return name.slice(name.lastIndexOf('-') + 1);
}
