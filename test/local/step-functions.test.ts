// Step Functions through AWS's own client: what it returns, page by page, and the errors that callers match on.

import {
  DescribeExecutionCommand,
  DescribeStateMachineCommand,
  DescribeStateMachineForExecutionCommand,
  GetExecutionHistoryCommand,
  ListExecutionsCommand,
  ListStateMachinesCommand,
  RedriveExecutionCommand,
  SendTaskFailureCommand,
  SendTaskHeartbeatCommand,
  SendTaskSuccessCommand,
  type SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
  ValidateStateMachineDefinitionCommand,
} from '@aws-sdk/client-sfn';
import { afterEach, describe, expect, it } from 'vitest';
import { DefinitionError } from '../../adapters/asl/definition.ts';
import { createMemoryStore } from '../../adapters/asl/execution-store.ts';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import { createLambdaInvoker, type LambdaFunction } from '../../adapters/asl/lambda-invoker.ts';
import { createStepFunctions, type StepFunctions } from '../../local/aws/step-functions.ts';
import {
  ACCOUNT,
  call,
  callAndWait,
  createFakeClock,
  type FakeClock,
  machineOf,
  START_MS,
  settle,
} from './asl-harness.ts';
import { serve } from './step-functions-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Fixture {
  client: SFNClient;
  clock: FakeClock;
  stepFunctions: StepFunctions;
  start(name?: string, input?: string): Promise<string>;
}

async function fixture(
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

const stateMachineArn = `${ACCOUNT}:stateMachine:failover`;
const quick: JsonObject = {
  StartAt: 'Show',
  States: { Show: { Type: 'Pass', Assign: { a: 1 }, Output: '{% $states.input.n %}', End: true } },
};
const waiting: JsonObject = {
  StartAt: 'Act',
  States: { Act: callAndWait('act', { HeartbeatSeconds: 10, End: true }) },
};

/** The name of the error a request is answered with. */
async function errorOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
  } catch (error) {
    return (error as Error).name;
  }
  return 'no error';
}

describe('StartExecution', () => {
  it('starts an execution that DescribeExecution then shows as it went', async () => {
    const { client, clock } = await fixture(quick);
    const input = '{ "n":  {"deep": [1, null]} }';
    const started = await client.send(new StartExecutionCommand({ stateMachineArn, name: 'first', input }));
    expect(started).toMatchObject({
      executionArn: `${ACCOUNT}:execution:failover:first`,
      startDate: new Date(START_MS),
    });
    await settle();
    await clock.advance(1234);
    const { $metadata: _, ...described } = await client.send(
      new DescribeExecutionCommand({ executionArn: started.executionArn }),
    );
    expect(described).toEqual({
      executionArn: `${ACCOUNT}:execution:failover:first`,
      stateMachineArn,
      name: 'first',
      status: 'SUCCEEDED',
      startDate: new Date(START_MS),
      stopDate: new Date(START_MS),
      input,
      inputDetails: { included: true },
      output: '{"deep":[1,null]}',
      outputDetails: { included: true },
      redriveCount: 0,
      redriveStatus: 'NOT_REDRIVABLE',
      redriveStatusReason: 'Execution is SUCCEEDED and cannot be redriven',
    });
  });

  it('returns the open execution for the same name and input, and refuses any other reuse of the name', async () => {
    const { client, clock, start } = await fixture(waiting, { act: async () => null });
    const again = (input: string) =>
      client.send(new StartExecutionCommand({ stateMachineArn, name: 'one', input }));
    const arn = await start('one', '{"a":1}');
    await clock.advance(3000);
    expect(await again('{"a":1}')).toMatchObject({ executionArn: arn, startDate: new Date(START_MS) });
    expect(await errorOf(again('{"a": 1}'))).toBe('ExecutionAlreadyExists');
    await client.send(new StopExecutionCommand({ executionArn: arn }));
    expect(await errorOf(again('{"a":1}'))).toBe('ExecutionAlreadyExists');
  });

  it('gives an execution without a name one of its own, and without an input an empty object', async () => {
    const { client, start } = await fixture({ StartAt: 'S', States: { S: { Type: 'Succeed' } } });
    const [a, b] = [await start(), await start()];
    expect(a).not.toBe(b);
    expect(await client.send(new DescribeExecutionCommand({ executionArn: a }))).toMatchObject({
      input: '{}',
      output: '{}',
    });
  });

  it('refuses what AWS refuses', async () => {
    const { client, start } = await fixture(waiting, { act: async () => null });
    const startWith = (rest: object) =>
      errorOf(client.send(new StartExecutionCommand({ stateMachineArn, ...rest })));
    expect(await startWith({ stateMachineArn: `${ACCOUNT}:stateMachine:none` })).toBe(
      'StateMachineDoesNotExist',
    );
    expect(await startWith({ stateMachineArn: 'failover' })).toBe('InvalidArn');
    expect(await startWith({ input: '{' })).toBe('InvalidExecutionInput');
    expect(await startWith({ input: '' })).toBe('InvalidExecutionInput');
    expect(await startWith({ name: 'a b' })).toBe('InvalidName');
    expect(await startWith({ name: 'x'.repeat(81) })).toBe('ValidationException');
    expect(await startWith({ input: JSON.stringify('x'.repeat(262_143)) })).toBe('ValidationException');
    for (const name of ['1', '2', '3', '4', '5']) await start(name);
    expect(await startWith({ name: '6' })).toBe('ExecutionLimitExceeded');
  });
});

describe('tasks that call back', () => {
  const tokens: string[] = [];
  const act: LambdaFunction = async (payload) => {
    tokens.push((payload as { token: string }).token);
    return 'submitted';
  };
  const begin = async () => {
    tokens.length = 0;
    const f = await fixture(waiting, { act });
    const arn = await f.start();
    const describeIt = () => f.client.send(new DescribeExecutionCommand({ executionArn: arn }));
    return { ...f, arn, describeIt, taskToken: tokens[0] ?? '' };
  };

  it('end with the output that SendTaskSuccess gives, once', async () => {
    const { client, describeIt, taskToken, arn, stepFunctions } = await begin();
    await client.send(new SendTaskHeartbeatCommand({ taskToken }));
    await client.send(new SendTaskSuccessCommand({ taskToken, output: '{"lsn":"0/3000060"}' }));
    await settle();
    expect(await describeIt()).toMatchObject({ status: 'SUCCEEDED', output: '{"lsn":"0/3000060"}' });
    expect(await errorOf(client.send(new SendTaskSuccessCommand({ taskToken, output: '1' })))).toBe(
      'TaskTimedOut',
    );
    expect(await errorOf(client.send(new SendTaskFailureCommand({ taskToken })))).toBe('TaskTimedOut');
    expect(await errorOf(client.send(new SendTaskHeartbeatCommand({ taskToken })))).toBe('TaskTimedOut');
    expect(stepFunctions.engine.history(arn)?.map((event) => event.type)).toEqual([
      'ExecutionStarted',
      'TaskStateEntered',
      'TaskScheduled',
      'TaskStarted',
      'TaskSubmitted',
      'TaskSucceeded',
      'TaskStateExited',
      'ExecutionSucceeded',
    ]);
  });

  it('fail with the error and cause of SendTaskFailure', async () => {
    const { client, describeIt, taskToken } = await begin();
    await client.send(new SendTaskFailureCommand({ taskToken, error: 'NotReady', cause: 'replaying' }));
    await settle();
    expect(await describeIt()).toMatchObject({ status: 'FAILED', error: 'NotReady', cause: 'replaying' });
  });

  it('may be answered before their function has returned', async () => {
    let finish: (value: unknown) => void = () => {};
    const f = await fixture(waiting, {
      act: (payload) => {
        tokens[0] = (payload as { token: string }).token;
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
    });
    const arn = await f.start();
    await f.client.send(new SendTaskSuccessCommand({ taskToken: tokens[0], output: '7' }));
    finish('submitted');
    await settle();
    expect(f.stepFunctions.engine.describe(arn)).toMatchObject({ status: 'SUCCEEDED', output: '7' });
    expect(f.stepFunctions.engine.history(arn)?.map((event) => event.type)).not.toContain('TaskSubmitted');
  });

  it('refuse other outputs, and tokens that are made up, strange or out of date', async () => {
    const { client, clock, taskToken } = await begin();
    const succeed = (token: string, output = '1') =>
      errorOf(client.send(new SendTaskSuccessCommand({ taskToken: token, output })));
    expect(await succeed(taskToken, '{nonsense')).toBe('InvalidOutput');
    expect(await succeed(taskToken, JSON.stringify('ä'.repeat(200_000)))).toBe('InvalidOutput');
    expect(await succeed('made up')).toBe('InvalidToken');
    const [arn, lane] = JSON.parse(Buffer.from(taskToken, 'base64url').toString()) as [string, number];
    const forged = (parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    expect(await succeed(forged([`${arn}x`, lane, 'nonce']))).toBe('TaskDoesNotExist');
    expect(await succeed(forged([arn, lane, 'nonce']))).toBe('TaskTimedOut');
    await clock.advance(10_000);
    expect(await succeed(taskToken)).toBe('TaskTimedOut');
  });
});

describe('StopExecution', () => {
  it('aborts what runs, gives the same answer again, and knows no other executions', async () => {
    const signals: AbortSignal[] = [];
    const { client, clock, start } = await fixture(
      { StartAt: 'Ask', States: { Ask: call('f') } },
      {
        f: (_payload, task) => {
          signals.push(task.signal);
          return new Promise(() => {});
        },
      },
    );
    const executionArn = await start();
    await clock.advance(1500);
    const stop = () =>
      client.send(new StopExecutionCommand({ executionArn, error: 'Operator', cause: 'changed my mind' }));
    expect((await stop()).stopDate).toEqual(new Date(START_MS + 1500));
    await clock.advance(1000);
    expect((await stop()).stopDate).toEqual(new Date(START_MS + 1500));
    expect(signals[0]?.aborted).toBe(true);
    expect(await client.send(new DescribeExecutionCommand({ executionArn }))).toMatchObject({
      status: 'ABORTED',
      error: 'Operator',
      cause: 'changed my mind',
    });
    const { events } = await client.send(
      new GetExecutionHistoryCommand({ executionArn, reverseOrder: true, maxResults: 1 }),
    );
    expect(events).toMatchObject([
      {
        type: 'ExecutionAborted',
        executionAbortedEventDetails: { error: 'Operator', cause: 'changed my mind' },
      },
    ]);
    const unknown = { executionArn: `${executionArn}x` };
    expect(await errorOf(client.send(new StopExecutionCommand(unknown)))).toBe('ExecutionDoesNotExist');
    expect(await errorOf(client.send(new DescribeExecutionCommand(unknown)))).toBe('ExecutionDoesNotExist');
    expect(await errorOf(client.send(new GetExecutionHistoryCommand(unknown)))).toBe('ExecutionDoesNotExist');
    expect(await errorOf(client.send(new DescribeExecutionCommand({ executionArn: 'x' })))).toBe(
      'InvalidArn',
    );
  });
});

describe('lists', () => {
  it('of executions come newest first, by status, page by page', async () => {
    const { client, clock, start } = await fixture({
      StartAt: 'Which',
      States: {
        Which: {
          Type: 'Choice',
          Choices: [{ Condition: '{% $states.input.stay %}', Next: 'Stay' }],
          Default: 'Go',
        },
        Stay: { Type: 'Wait', Seconds: 60, End: true },
        Go: { Type: 'Succeed' },
      },
    });
    for (const name of ['a', 'b', 'c', 'd']) {
      await start(name, JSON.stringify({ stay: name === 'b' }));
      await clock.advance(1000);
    }
    const list = (rest: object) => client.send(new ListExecutionsCommand({ stateMachineArn, ...rest }));
    const first = await list({ maxResults: 3 });
    expect(first.executions?.map((each) => each.name)).toEqual(['d', 'c', 'b']);
    const second = await list({ maxResults: 3, nextToken: first.nextToken });
    expect(second.executions).toEqual([
      {
        executionArn: `${ACCOUNT}:execution:failover:a`,
        stateMachineArn,
        name: 'a',
        status: 'SUCCEEDED',
        startDate: new Date(START_MS),
        stopDate: new Date(START_MS),
        redriveCount: 0,
      },
    ]);
    expect(second.nextToken).toBeUndefined();
    expect((await list({ statusFilter: 'RUNNING' })).executions?.map((each) => each.name)).toEqual(['b']);
    expect((await list({ stateMachineArn: `${ACCOUNT}:stateMachine:other` })).executions).toEqual([]);
    expect(await errorOf(list({ stateMachineArn: `${ACCOUNT}:stateMachine:none` }))).toBe(
      'StateMachineDoesNotExist',
    );
    expect(await errorOf(list({ nextToken: 'nonsense' }))).toBe('InvalidToken');
    expect(await errorOf(list({ statusFilter: 'SLEEPING' }))).toBe('ValidationException');
    expect(await errorOf(list({ maxResults: 1001 }))).toBe('ValidationException');
  });

  it('of events come in both orders, page by page, with or without data', async () => {
    const { client, start } = await fixture(quick);
    const executionArn = await start('one', '{"n":5}');
    const get = (rest: object) => client.send(new GetExecutionHistoryCommand({ executionArn, ...rest }));
    const pages = [await get({ maxResults: 3 })];
    pages.push(await get({ maxResults: 3, nextToken: pages[0]?.nextToken }));
    expect(pages.map((page) => page.events?.map((event) => event.id))).toEqual([[1, 2, 3], [4]]);
    expect(pages[1]?.nextToken).toBeUndefined();
    expect((await get({ reverseOrder: true })).events?.map((event) => event.id)).toEqual([4, 3, 2, 1]);
    expect(pages[0]?.events?.[2]).toEqual({
      id: 3,
      previousEventId: 2,
      timestamp: new Date(START_MS),
      type: 'PassStateExited',
      stateExitedEventDetails: {
        name: 'Show',
        output: '5',
        outputDetails: { truncated: false },
        assignedVariables: { a: '1' },
        assignedVariablesDetails: { truncated: false },
      },
    });
    expect((await get({ includeExecutionData: false })).events?.[2]?.stateExitedEventDetails).toEqual({
      name: 'Show',
    });
  });
});

describe('state machines', () => {
  it('are listed and described, also as the execution had them', async () => {
    const { client, start } = await fixture(quick);
    const { definition } = machineOf(quick);
    const { stateMachines } = await client.send(new ListStateMachinesCommand({}));
    expect(stateMachines?.map((each) => [each.name, each.type])).toEqual([
      ['failover', 'STANDARD'],
      ['other', 'STANDARD'],
    ]);
    const described = await client.send(new DescribeStateMachineCommand({ stateMachineArn }));
    expect(described).toMatchObject({ name: 'failover', status: 'ACTIVE', type: 'STANDARD', definition });
    const executionArn = await start();
    const forExecution = await client.send(new DescribeStateMachineForExecutionCommand({ executionArn }));
    expect(forExecution).toMatchObject({ stateMachineArn, definition, roleArn: described.roleArn });
  });

  it('with a definition that is not understood are refused at creation, naming every problem', () => {
    const bad = machineOf({
      StartAt: 'A',
      States: { A: { Type: 'Pass', ResultPath: '$.x', Output: '{% $eval("1") %}', End: true } },
    });
    const options = {
      store: createMemoryStore(),
      invokeTask: createLambdaInvoker({}),
      region: 'eu-central-1',
      accountId: '123456789012',
    };
    expect(() => createStepFunctions({ ...options, stateMachines: [bad] })).toThrow(DefinitionError);
    expect(() => createStepFunctions({ ...options, stateMachines: [bad] })).toThrow(/ResultPath.*\$eval/s);
  });

  it('of another account are refused at creation', () => {
    const options = {
      store: createMemoryStore(),
      invokeTask: createLambdaInvoker({}),
      region: 'eu-central-1',
    };
    const elsewhere = { ...options, accountId: '999999999999', stateMachines: [machineOf(quick)] };
    expect(() => createStepFunctions(elsewhere)).toThrow(/must end with :states:eu-central-1:999999999999:/);
  });

  it('are validated on request', async () => {
    const { client } = await fixture(quick);
    const validate = (definition: string) =>
      client.send(new ValidateStateMachineDefinitionCommand({ definition }));
    expect(await validate(machineOf(quick).definition)).toMatchObject({
      result: 'OK',
      diagnostics: [],
      truncated: false,
    });
    expect(
      await validate('{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Nap"}}}'),
    ).toMatchObject({
      result: 'FAIL',
      diagnostics: [
        { severity: 'ERROR', code: 'SCHEMA_VALIDATION_FAILED', location: '/States/A/Type' },
        { code: 'MISSING_END_STATE' },
      ],
    });
  });
});

describe('lambda functions', () => {
  const run = async (functions: Record<string, LambdaFunction>) => {
    const Ask = call('arn:aws:lambda:eu-central-1:123456789012:function:ask:live', { q: 1 });
    const { start, stepFunctions } = await fixture({ StartAt: 'Ask', States: { Ask } }, functions);
    return stepFunctions.engine.describe(await start());
  };

  it('answer as the integration does', async () => {
    const execution = await run({ ask: async (payload: Json) => ({ payload, gone: undefined }) });
    expect(JSON.parse(execution?.output ?? '')).toEqual({
      ExecutedVersion: '$LATEST',
      Payload: { payload: { q: 1 } },
      StatusCode: 200,
    });
    expect(JSON.parse((await run({ ask: async () => undefined }))?.output ?? '')).toMatchObject({
      Payload: null,
    });
  });

  it('fail with the name of what they throw, and with its description as the cause', async () => {
    const execution = await run({
      ask: async () => {
        throw new RangeError('too far');
      },
    });
    expect(execution).toMatchObject({ status: 'FAILED', error: 'RangeError' });
    expect(JSON.parse(execution?.cause ?? '')).toMatchObject({
      errorType: 'RangeError',
      errorMessage: 'too far',
    });
    const own = await run({
      ask: async () => {
        throw new AslTaskError('Lambda.TooManyRequestsException', 'slow down');
      },
    });
    expect(own).toMatchObject({ error: 'Lambda.TooManyRequestsException', cause: 'slow down' });
    expect(await run({})).toMatchObject({ error: 'Lambda.ResourceNotFoundException' });
  });
});

describe('RedriveExecution', () => {
  it('takes a failed execution up where it failed, keeping the iterations that were done', async () => {
    let broken = true;
    const calls: Json[] = [];
    const definition: JsonObject = {
      StartAt: 'First',
      TimeoutSeconds: 100,
      States: {
        First: call('f', 'first', { Assign: { first: '{% $states.result.Payload %}' }, Next: 'Each' }),
        Each: {
          Type: 'Map',
          Items: ['a', 'b', 'c'],
          MaxConcurrency: 1,
          ItemProcessor: {
            StartAt: 'Ask',
            States: {
              Ask: call('f', '{% $states.input %}', {
                Output: '{% $states.result.Payload & $states.context.Execution.RedriveCount %}',
                End: true,
              }),
            },
          },
          Output: '{% [$first, $states.result] %}',
          End: true,
        },
      },
    };
    const { client, clock, start } = await fixture(definition, {
      f: async (payload) => {
        calls.push(payload);
        if (payload === 'b' && broken) throw new Error('broken');
        return payload;
      },
    });
    const executionArn = await start('one');
    const describeIt = () => client.send(new DescribeExecutionCommand({ executionArn }));
    expect(await describeIt()).toMatchObject({
      status: 'FAILED',
      redriveStatus: 'REDRIVABLE',
      redriveCount: 0,
    });
    broken = false;
    await clock.advance(60_000);
    const redriven = await client.send(new RedriveExecutionCommand({ executionArn, clientToken: 't' }));
    expect(redriven.redriveDate).toEqual(new Date(START_MS + 60_000));
    await settle();
    expect(calls).toEqual(['first', 'a', 'b', 'b', 'c']);
    expect(await describeIt()).toMatchObject({
      status: 'SUCCEEDED',
      output: '["first","a0","b1","c1"]',
      redriveCount: 1,
      redriveDate: new Date(START_MS + 60_000),
    });
    const { events } = await client.send(new GetExecutionHistoryCommand({ executionArn }));
    expect(events?.map((event) => event.id)).toEqual(events?.map((_, index) => index + 1));
    const at = events?.findIndex((event) => event.type === 'ExecutionRedriven') ?? 0;
    expect(events?.[at]?.executionRedrivenEventDetails).toEqual({ redriveCount: 1 });
    expect(events?.slice(at - 1, at + 2).map((event) => event.type)).toEqual([
      'ExecutionFailed',
      'ExecutionRedriven',
      'TaskScheduled',
    ]);
    const { executions } = await client.send(
      new ListExecutionsCommand({ stateMachineArn, redriveFilter: 'REDRIVEN' }),
    );
    expect(executions).toMatchObject([{ name: 'one', redriveCount: 1 }]);
  });

  it('takes up what timed out or was stopped, once a token, and nothing that succeeded, runs or is too old', async () => {
    const { client, clock, start } = await fixture(
      { StartAt: 'Act', TimeoutSeconds: 30, States: { Act: callAndWait('act') } },
      { act: async () => null },
    );
    const executionArn = await start('one');
    const redrive = (clientToken?: string) =>
      client.send(new RedriveExecutionCommand({ executionArn, ...(clientToken && { clientToken }) }));
    const status = async () => (await client.send(new DescribeExecutionCommand({ executionArn }))).status;
    expect(await errorOf(redrive())).toBe('ExecutionNotRedrivable');
    await clock.advance(30_000);
    expect(await status()).toBe('TIMED_OUT');
    const first = await redrive('x');
    await clock.advance(20_000);
    expect((await redrive('x')).redriveDate).toEqual(first.redriveDate);
    expect(await errorOf(redrive('y'))).toBe('ExecutionNotRedrivable');
    expect(await status()).toBe('RUNNING');
    await clock.advance(10_000);
    expect(await status()).toBe('TIMED_OUT');
    await clock.advance(14 * 24 * 3600 * 1000 + 1);
    expect(await errorOf(redrive())).toBe('ExecutionNotRedrivable');
    expect(
      await errorOf(client.send(new RedriveExecutionCommand({ executionArn: `${executionArn}x` }))),
    ).toBe('ExecutionDoesNotExist');
  });
});
