// Step Functions behind HTTP with AWS's own client in front, and a clock that the test moves.

import { type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { afterEach } from 'vitest';
import { createMemoryStore } from '../../adapters/asl/execution-store.ts';
import type { JsonObject } from '../../adapters/asl/json.ts';
import { createLambdaInvoker, type LambdaFunction } from '../../adapters/asl/lambda-invoker.ts';
import { createStepFunctions, type StepFunctions } from '../../local/aws/step-functions.ts';
import { ACCOUNT, callAndWait, createFakeClock, type FakeClock, machineOf, settle } from './asl-harness.ts';
import { serve } from './step-functions-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

export interface Fixture {
  client: SFNClient;
  clock: FakeClock;
  stepFunctions: StepFunctions;
  start(name?: string, input?: string): Promise<string>;
}

/** A served state machine under a fake clock; a second one, `other`, does nothing. Both are gone after the test. */
export async function fixture(
  definition: JsonObject,
  functions: Record<string, LambdaFunction> = {},
): Promise<Fixture> {
  const clock = createFakeClock();
  const stepFunctions = createStepFunctions({
    stateMachines: [
      machineOf(definition),
      machineOf({ StartAt: 'End', States: { End: { Type: 'Succeed' } } }, 'other'),
    ],
    store: createMemoryStore(),
    invokeTask: createLambdaInvoker(functions),
    clock,
    region: 'eu-central-1',
    accountId: '123456789012',
    mostOpen: 5,
  });
  const { client, close } = await serve(stepFunctions);
  closers.push(async () => {
    stepFunctions.close();
    await close();
  });
  const start = async (name?: string, input?: string) => {
    const { executionArn } = await client.send(
      new StartExecutionCommand({ stateMachineArn, ...(name && { name }), ...(input && { input }) }),
    );
    await settle();
    return executionArn ?? '';
  };
  return { client, clock, stepFunctions, start };
}

export const stateMachineArn = `${ACCOUNT}:stateMachine:failover`;
/** One task that waits for its token. */
export const waiting: JsonObject = {
  StartAt: 'Act',
  States: { Act: callAndWait('act', { HeartbeatSeconds: 10, End: true }) },
};

/** The name of the error a request is answered with. */
export async function errorOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
  } catch (error) {
    return (error as Error).name;
  }
  return 'no error';
}
