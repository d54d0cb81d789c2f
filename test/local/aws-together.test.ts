/**
 * The services together, as a failover uses them: Step Functions, asked by SDK and CLI over the one port, runs the definition of
 * the template, which invokes the function that CDK packaged, which writes to DynamoDB.
 */
import { join } from 'node:path';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createStepFunctions, type StepFunctions } from '../../local/aws/step-functions.ts';
import { invokeFunction } from '../../local/runtime/aws-services.ts';
import { awsCli, clientOptions, type Endpoints, hasAwsCli, openEndpoints } from './fixtures/endpoints.ts';
import { type Assembly, synthesise } from './fixtures/synthesise.ts';
import { until } from './fixtures/until.ts';

let assembly: Assembly;
let endpoints: Endpoints;
let stepFunctions: StepFunctions | undefined;
let client: SFNClient;
let stateMachineArn: string;

beforeAll(async () => {
  assembly = synthesise();
  const handle = (operation: string, input: object) => {
    if (stepFunctions === undefined) throw new Error('asked before it was opened');
    return stepFunctions.handle(operation, input);
  };
  endpoints = await openEndpoints(assembly.folder, { stepFunctions: { handle } });
  const { stack, folder, lambda } = endpoints;
  stepFunctions = createStepFunctions({
    stateMachines: stack.stateMachines,
    folder: join(folder, 'step-functions'),
    invokeTask: invokeFunction(lambda),
    region: stack.region,
    accountId: stack.accountId,
  });
  stepFunctions.resume();
  stateMachineArn = stack.stateMachines[0]?.arn ?? '';
  client = new SFNClient(clientOptions(endpoints.server.endpoint));
});

afterAll(async () => {
  client?.destroy();
  stepFunctions?.close();
  await endpoints?.close();
  assembly?.remove();
});

test('an execution invokes the function, which counts in the table', async () => {
  const start = new StartExecutionCommand({ stateMachineArn, input: JSON.stringify({ do: 'count' }) });
  const { executionArn } = await client.send(start);
  const describeIt = () => client.send(new DescribeExecutionCommand({ executionArn }));
  await until(async () => (await describeIt()).status !== 'RUNNING', 'the execution ends');
  const { status, output } = await describeIt();
  expect(status).toBe('SUCCEEDED');
  expect(JSON.parse(output ?? '{}')).toMatchObject({ Payload: 1, StatusCode: 200 });
  const Key = { pk: { S: 'counter' }, sk: { S: 'record' } };
  const { Item } = await endpoints.dynamoDb.call('GetItem', {
    TableName: endpoints.stack.tables[0]?.name,
    Key,
  });
  expect(Item).toMatchObject({ count: { N: '1' } });
});

test('an execution whose function fails ends with the error of the function', async () => {
  const start = new StartExecutionCommand({ stateMachineArn, input: JSON.stringify({ do: 'throw' }) });
  const { executionArn } = await client.send(start);
  const describeIt = () => client.send(new DescribeExecutionCommand({ executionArn }));
  await until(async () => (await describeIt()).status !== 'RUNNING', 'the execution ends');
  expect(await describeIt()).toMatchObject({ status: 'FAILED', error: 'TypeError' });
});

test.skipIf(!hasAwsCli)(
  'the AWS CLI starts one, and is refused the same name with another input',
  async () => {
    const run = (input: string) => {
      const names = ['--state-machine-arn', stateMachineArn, '--name', 'once'];
      return awsCli(endpoints.server.endpoint, [
        'stepfunctions',
        'start-execution',
        ...names,
        '--input',
        input,
      ]);
    };
    expect((await run('{"do":"echo"}')).status).toBe(0);
    const again = await run('{"do":"print"}');
    expect(again.status).toBe(254);
    expect(again.stderr).toContain('An error occurred (ExecutionAlreadyExists)');
  },
);
