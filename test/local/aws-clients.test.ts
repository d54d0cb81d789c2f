/**
 * The calls to Step Functions, Run Command and EC2 over HTTP: what is sent, and which value each of a service's answers becomes.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type AwsClients, createAwsClients } from '../../adapters/aws/clients.ts';

let server: Server;
let clients: AwsClients;
let seen: { target: string; body: string }[];
let answers: { status: number; body: string }[];

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      seen.push({ target: `${request.headers['x-amz-target'] ?? ''}`, body });
      const answer = answers.shift();
      if (answer === undefined) return;
      response.writeHead(answer.status, {
        'content-type': answer.body.startsWith('<') ? 'text/xml' : 'application/json',
      });
      response.end(answer.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  clients = createAwsClients({
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
});

beforeEach(() => {
  seen = [];
  answers = [];
});

afterAll(() => {
  clients.destroy();
  server.closeAllConnections();
  server.close();
});

const json = (body: object) => answers.push({ status: 200, body: JSON.stringify(body) });
const jsonError = (type: string) =>
  answers.push({ status: 400, body: JSON.stringify({ __type: type, message: 'because' }) });
const xml = (body: string) => answers.push({ status: 200, body });
const xmlError = (code: string) =>
  answers.push({
    status: 400,
    body: `<Response><Errors><Error><Code>${code}</Code><Message>because</Message></Error></Errors><RequestID>r</RequestID></Response>`,
  });
const sent = () => ({ target: seen[0]?.target, input: JSON.parse(seen[0]?.body ?? '') as unknown });

const start = {
  stateMachineArn: 'arn:aws:states:us-east-1:1:stateMachine:f',
  name: 'n1',
  input: '{"cluster":"main"}',
};
const executionArn = 'arn:aws:states:us-east-1:1:execution:f:n1';

test('an execution is started, or exists', async () => {
  json({ executionArn, startDate: 1 });
  expect(await clients.startExecution(start)).toEqual({
    kind: 'ok',
    value: { state: 'started', executionArn },
  });
  expect(sent()).toEqual({ target: 'AWSStepFunctions.StartExecution', input: start });
  jsonError('ExecutionAlreadyExists');
  expect(await clients.startExecution(start)).toEqual({ kind: 'ok', value: { state: 'exists' } });
  jsonError('AccessDeniedException');
  expect(await clients.startExecution(start)).toMatchObject({ kind: 'denied' });
  jsonError('StateMachineDoesNotExist');
  await expect(clients.startExecution(start)).rejects.toThrow('because');
});

test.each([
  ['RUNNING', 'running'],
  ['SUCCEEDED', 'ended'],
  ['FAILED', 'ended'],
  ['TIMED_OUT', 'ended'],
  ['ABORTED', 'ended'],
])('an execution that is %s is %s', async (status, value) => {
  json({ executionArn, status, stateMachineArn: start.stateMachineArn, startDate: 1 });
  expect(await clients.describeExecution(executionArn)).toEqual({ kind: 'ok', value });
});

test('an execution that is unknown is absent', async () => {
  jsonError('ExecutionDoesNotExist');
  expect(await clients.describeExecution(executionArn)).toEqual({ kind: 'ok', value: 'absent' });
});

test.each(['TaskTimedOut', 'TaskDoesNotExist'])('a task that answers %s is gone', async (type) => {
  jsonError(type);
  expect(await clients.sendTaskSuccess('t1', { ok: true })).toEqual({ kind: 'ok', value: 'gone' });
  jsonError(type);
  expect(await clients.sendTaskFailure('t1', { error: 'e', cause: 'c' })).toEqual({
    kind: 'ok',
    value: 'gone',
  });
});

test('a task is told its output, or an error that is cut to what the service takes', async () => {
  json({});
  expect(await clients.sendTaskSuccess('t1', { ok: true })).toEqual({ kind: 'ok', value: 'taken' });
  expect(sent().input).toEqual({ taskToken: 't1', output: '{"ok":true}' });
  seen = [];
  json({});
  await clients.sendTaskFailure('t1', { error: 'e'.repeat(300), cause: 'c'.repeat(40_000) });
  expect(sent().input).toEqual({ taskToken: 't1', error: 'e'.repeat(256), cause: 'c'.repeat(32_768) });
});

test('a command goes to one instance; one that is not managed is refused', async () => {
  json({ Command: { CommandId: '0b5f0cf2-0000-4000-8000-000000000001' } });
  const command = { document: 'Fence', instanceId: 'i-1', parameters: { Epoch: '3' } };
  expect(await clients.sendCommand(command)).toEqual({
    kind: 'ok',
    value: '0b5f0cf2-0000-4000-8000-000000000001',
  });
  expect(sent()).toEqual({
    target: 'AmazonSSM.SendCommand',
    input: { DocumentName: 'Fence', InstanceIds: ['i-1'], Parameters: { Epoch: ['3'] }, TimeoutSeconds: 30 },
  });
  jsonError('InvalidInstanceId');
  expect(await clients.sendCommand(command)).toEqual({ kind: 'refused' });
});

test.each([
  ['Pending', 'pending'],
  ['InProgress', 'pending'],
  ['Delayed', 'pending'],
  ['Cancelling', 'pending'],
  ['Success', 'succeeded'],
  ['Failed', 'failed'],
  ['TimedOut', 'failed'],
  ['Cancelled', 'failed'],
])('an invocation that is %s is %s', async (Status, state) => {
  json({ Status, StatusDetails: Status, StandardOutputContent: 'out', StandardErrorContent: 'err' });
  expect(await clients.getCommandInvocation({ commandId: 'c1', instanceId: 'i-1' })).toEqual({
    kind: 'ok',
    value: { state, status: Status, output: 'out', errorOutput: 'err' },
  });
});

test('an invocation that is not visible yet is pending', async () => {
  jsonError('InvocationDoesNotExist');
  expect(await clients.getCommandInvocation({ commandId: 'c1', instanceId: 'i-1' })).toMatchObject({
    value: { state: 'pending' },
  });
});

test('an instance is stopped by force, or cannot be', async () => {
  xml('<StopInstancesResponse><instancesSet/></StopInstancesResponse>');
  expect(await clients.stopInstance('i-1', { force: true })).toEqual({ kind: 'ok', value: undefined });
  expect(seen[0]?.body).toContain('Action=StopInstances');
  expect(seen[0]?.body).toContain('Force=true');
  expect(seen[0]?.body).toContain('InstanceId.1=i-1');
  for (const code of ['IncorrectInstanceState', 'InvalidInstanceID.NotFound', 'UnsupportedOperation']) {
    xmlError(code);
    expect(await clients.stopInstance('i-1', { force: true })).toEqual({ kind: 'refused' });
  }
  xmlError('UnauthorizedOperation');
  expect(await clients.startInstance('i-1')).toMatchObject({ kind: 'denied' });
});

test('the state of an instance is EC2 word, or absent', async () => {
  const described = (name: string, instanceId = 'i-1') =>
    xml(
      `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>${instanceId}</instanceId>` +
        `<instanceState><code>0</code><name>${name}</name></instanceState></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
    );
  for (const state of ['running', 'stopping', 'stopped', 'terminated', 'shutting-down', 'pending']) {
    described(state);
    expect(await clients.describeInstance('i-1')).toEqual({ kind: 'ok', value: state });
  }
  described('stopped', 'i-2');
  expect(await clients.describeInstance('i-1')).toEqual({ kind: 'ok', value: 'absent' });
  xmlError('InvalidInstanceID.NotFound');
  expect(await clients.describeInstance('i-1')).toEqual({ kind: 'ok', value: 'absent' });
  xml('<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>');
  expect(await clients.describeInstance('i-1')).toEqual({ kind: 'ok', value: 'absent' });
});

test('the security groups of an instance are read and replaced', async () => {
  xml(
    '<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><groupSet>' +
      '<item><groupId>sg-1</groupId></item><item><groupId>sg-2</groupId></item></groupSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>',
  );
  expect(await clients.describeSecurityGroups('i-1')).toEqual({ kind: 'ok', value: ['sg-1', 'sg-2'] });
  xml('<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>');
  expect(await clients.describeSecurityGroups('i-2')).toEqual({ kind: 'refused' });
  seen.length = 0;
  xml('<ModifyInstanceAttributeResponse><return>true</return></ModifyInstanceAttributeResponse>');
  expect(await clients.setSecurityGroups('i-1', ['sg-3', 'sg-4'])).toEqual({ kind: 'ok', value: undefined });
  expect(seen[0]?.body).toContain('Action=ModifyInstanceAttribute');
  expect(seen[0]?.body).toContain('InstanceId=i-1');
  expect(seen[0]?.body).toContain('GroupId.1=sg-3');
  expect(seen[0]?.body).toContain('GroupId.2=sg-4');
  for (const code of ['InvalidGroup.NotFound', 'InvalidInstanceID.NotFound', 'InvalidInstanceID']) {
    xmlError(code);
    expect(await clients.setSecurityGroups('i-1', ['sg-3'])).toEqual({ kind: 'refused' });
  }
  xmlError('UnauthorizedOperation');
  expect(await clients.setSecurityGroups('i-1', ['sg-3'])).toMatchObject({ kind: 'denied' });
});

test('no answer is unreachable after the time-out', async () => {
  const startedMs = performance.now();
  expect(await clients.describeExecution(executionArn, { timeoutMs: 100 })).toMatchObject({
    kind: 'unreachable',
  });
  expect(await clients.describeInstance('i-1', { timeoutMs: 100 })).toMatchObject({ kind: 'unreachable' });
  expect(performance.now() - startedMs).toBeLessThan(1500);
});
