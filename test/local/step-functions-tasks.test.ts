// Tasks as their workers see them, through AWS's own client: answers by token, functions, and another try by redrive.

import {
  DescribeExecutionCommand,
  GetExecutionHistoryCommand,
  ListExecutionsCommand,
  RedriveExecutionCommand,
  SendTaskFailureCommand,
  SendTaskHeartbeatCommand,
  SendTaskSuccessCommand,
} from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import type { LambdaFunction } from '../../adapters/asl/lambda-invoker.ts';
import { call, callAndWait, START_MS, settle } from './asl-harness.ts';
import { errorOf, fixture, stateMachineArn, waiting } from './step-functions-fixture.ts';

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
