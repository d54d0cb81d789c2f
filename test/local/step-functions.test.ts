// Step Functions through AWS's own client: what it returns, page by page, and the errors that callers match on.

import {
  DescribeExecutionCommand,
  DescribeStateMachineCommand,
  DescribeStateMachineForExecutionCommand,
  GetExecutionHistoryCommand,
  ListExecutionsCommand,
  ListStateMachinesCommand,
  StartExecutionCommand,
  StopExecutionCommand,
  ValidateStateMachineDefinitionCommand,
} from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import { DefinitionError } from '../../adapters/asl/definition.ts';
import { createMemoryStore } from '../../adapters/asl/execution-store.ts';
import type { JsonObject } from '../../adapters/asl/json.ts';
import { createLambdaInvoker } from '../../adapters/asl/lambda-invoker.ts';
import { createStepFunctions } from '../../local/aws/step-functions.ts';
import { ACCOUNT, call, machineOf, START_MS, settle } from './asl-harness.ts';
import { errorOf, fixture, stateMachineArn, waiting } from './step-functions-fixture.ts';

const quick: JsonObject = {
  StartAt: 'Show',
  States: { Show: { Type: 'Pass', Assign: { a: 1 }, Output: '{% $states.input.n %}', End: true } },
};
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
