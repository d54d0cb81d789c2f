/** Run Command over the wire, with the worker as a process of its own: what is refused, and what really runs on the host. */
import {
  CancelCommandCommand,
  DescribeInstanceInformationCommand,
  GetCommandInvocationCommand,
  GetDocumentCommand,
  ListCommandInvocationsCommand,
  ListCommandsCommand,
  SendCommandCommand,
} from '@aws-sdk/client-ssm';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { awsCli, hasAwsCli } from './fixtures/endpoints.ts';
import { commandsOf, documents } from './fixtures/ssm-commands.ts';
import { instanceId, openSsmHost, type SsmHost, stoppedInstanceId } from './fixtures/ssm-host.ts';
import { documentContent } from './fixtures/synthesise.ts';
import { until } from './fixtures/until.ts';

let host: SsmHost;
const { send, invocation, status, ended, run } = commandsOf(() => host);

beforeAll(async () => {
  host = await openSsmHost(documents);
  await host.startWorker();
});

afterAll(async () => {
  await host?.close();
});

describe('a command', () => {
  test('runs the document with its parameters in the environment of the host', async () => {
    const script =
      'echo $verb $epoch $PGDATA; host-tool here; echo wrong >&2; env | grep -c AWS_SSM_INSTANCE_ID';
    const result = await run({ script: [script], verb: ['stop'], epoch: ['17'] });
    expect(result).toMatchObject({
      Status: 'Success',
      StatusDetails: 'Success',
      ResponseCode: 0,
      PluginName: 'run',
    });
    expect(result.StandardOutputContent).toBe('stop 17 /srv/data\nthe tool of this host, here\n1\n');
    expect(result.StandardErrorContent).toBe('wrong\n');
    expect(result.ExecutionElapsedTime).toMatch(/^PT\d+\.\d{3}S$/);
  });

  test('that fails says so with its exit code', async () => {
    expect(await run({ script: ['exit 42'] })).toMatchObject({ Status: 'Failed', ResponseCode: 42 });
  });

  test('sees nothing of the environment of the runtime', async () => {
    vi.stubEnv('LEASEHOLD_SECRET_OF_THE_TEST', 'x');
    await host.killWorker();
    await host.startWorker();
    vi.unstubAllEnvs();
    const result = await run({ script: ['env | grep -c SECRET_OF_THE_TEST'] });
    expect(result.StandardOutputContent).toBe('0\n');
  });

  test('shows its output while it runs', async () => {
    const id = await send({ script: ['echo early; sleep 2; echo late'] });
    await until(
      async () => (await invocation(id)).StandardOutputContent === 'early\n',
      'the first line',
      1500,
    );
    expect(await status(id)).toBe('InProgress');
    expect((await ended(id)).StandardOutputContent).toBe('early\nlate\n');
  });

  test('starts when it has come to its host, long after Run Command has taken it, however often the host asks', async () => {
    host.deliverIn(2500);
    try {
      const sentMs = Date.now();
      const id = await send({ script: ['date +%s%3N'] });
      expect(await status(id)).toBe('Pending');
      await host.killWorker();
      await host.startWorker();
      const startedMs = Number((await ended(id)).StandardOutputContent);
      expect(startedMs - sentMs).toBeGreaterThanOrEqual(2500);
    } finally {
      host.deliverIn(0);
    }
  });

  test('keeps the first 24,000 characters of its output', async () => {
    const result = await run({ script: ['yes | head -c 100000; echo done >&2'] });
    expect(result.StandardOutputContent).toHaveLength(24_000);
    expect(result.StandardErrorContent).toBe('done\n');
  });

  test('ends although it leaves a daemon behind that holds its output', async () => {
    const startedMs = performance.now();
    const result = await run({ script: ['sleep 5 & echo started'] });
    expect(performance.now() - startedMs).toBeLessThan(4000);
    expect(result).toMatchObject({ Status: 'Success', StandardOutputContent: 'started\n' });
  });

  test('with several steps follows onFailure and runs the last one whatever happens', async () => {
    const id = await send({}, 'Probe-Steps');
    expect(await ended(id)).toMatchObject({
      Status: 'Failed',
      ResponseCode: 3,
      StandardOutputContent: 'first\nlast\n',
    });
    expect(await invocation(id, 'last')).toMatchObject({
      Status: 'Success',
      StandardOutputContent: 'last\n',
    });
    expect(await invocation(id, 'skipped')).toMatchObject({ Status: 'Pending', ResponseCode: -1 });
    await expect(invocation(id, 'absent')).rejects.toMatchObject({ name: 'InvalidPluginName' });
  });

  test('passes a parameter as a variable without making it code, and a list as lines', async () => {
    const result = await run(
      { message: ['"; echo injected; "'], lines: ['echo one', 'echo two'] },
      'Probe-Variable',
    );
    expect(result.StandardOutputContent).toBe('"; echo injected; "\none\ntwo\n');
  });

  test('runs beside others, up to the bound of its worker, and none is forgotten', async () => {
    await host.killWorker();
    await host.startWorker(2);
    const startedMs = performance.now();
    const ids = await Promise.all([1, 2, 3, 4].map(() => send({ script: ['sleep 0.5'] })));
    await until(async () => (await status(ids[1] ?? '')) === 'InProgress', 'two run');
    expect(await status(ids[2] ?? '')).toBe('Pending');
    for (const id of ids) expect((await ended(id)).Status).toBe('Success');
    expect(performance.now() - startedMs).toBeGreaterThan(950);
  });
});

describe('what Run Command refuses', () => {
  test.each([
    [
      'a parameter outside of the allowed values',
      { verb: ['destroy'] },
      'InvalidParameters',
      /not one of status, stop/,
    ],
    [
      'a parameter that only contains the pattern',
      { epoch: ['1; reboot'] },
      'InvalidParameters',
      /does not match/,
    ],
    [
      'a parameter with a line break after the pattern',
      { epoch: ['1\n'] },
      'InvalidParameters',
      /does not match/,
    ],
    [
      'an undeclared parameter',
      { force: ['true'] },
      'InvalidParameters',
      /does not support parameters: force/,
    ],
    ['two values for one', { verb: ['stop', 'status'] }, 'InvalidParameters', /exactly one value/],
  ])('%s', async (_, parameters, name, message) => {
    await expect(send(parameters)).rejects.toMatchObject({ name, message: expect.stringMatching(message) });
  });

  test('an unknown document, a missing parameter, an unknown or stopped instance, a short time-out', async () => {
    const attempt = (changes: object) =>
      host.client.send(
        new SendCommandCommand({ DocumentName: 'Probe-Run', InstanceIds: [instanceId], ...changes }),
      );
    await expect(attempt({ DocumentName: 'AWS-RunShellScript' })).rejects.toMatchObject({
      name: 'InvalidDocument',
    });
    await expect(attempt({ DocumentName: 'Probe-Variable' })).rejects.toMatchObject({
      name: 'InvalidParameters',
    });
    for (const id of ['i-0123456789abcdef9', stoppedInstanceId]) {
      await expect(attempt({ InstanceIds: [id] })).rejects.toMatchObject({ name: 'InvalidInstanceId' });
    }
    await expect(attempt({ TimeoutSeconds: 29 })).rejects.toMatchObject({
      name: 'ValidationException',
      message: expect.stringContaining('greater than or equal to 30'),
    });
    await expect(attempt({ OutputS3BucketName: 'bucket' })).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });

  test('to know a command of another host or of nobody', async () => {
    const id = await send({});
    for (const [CommandId, InstanceId] of [
      [id, stoppedInstanceId],
      ['00000000-0000-0000-0000-000000000000', instanceId],
    ]) {
      const get = host.client.send(new GetCommandInvocationCommand({ CommandId, InstanceId }));
      await expect(get).rejects.toMatchObject({ name: 'InvocationDoesNotExist' });
    }
    const cancel = new CancelCommandCommand({ CommandId: '00000000-0000-0000-0000-000000000000' });
    await expect(host.client.send(cancel)).rejects.toMatchObject({ name: 'InvalidCommandId' });
  });
});

describe('what Run Command lists', () => {
  afterEach(async () => {
    if (!host.ssm().workers.presence(instanceId).online) await host.startWorker();
  });

  test('commands and invocations with their steps, in pages', async () => {
    const id = await send({ script: ['echo listed'] });
    await ended(id);
    const { Commands, NextToken } = await host.client.send(new ListCommandsCommand({ MaxResults: 1 }));
    expect(Commands?.[0]).toMatchObject({
      CommandId: id,
      Status: 'Success',
      TargetCount: 1,
      CompletedCount: 1,
    });
    const following = await host.client.send(new ListCommandsCommand({ MaxResults: 1, NextToken }));
    expect(following.Commands?.[0]?.CommandId).not.toBe(id);
    const listed = await host.client.send(
      new ListCommandInvocationsCommand({ CommandId: id, Details: true }),
    );
    expect(listed.CommandInvocations?.[0]).toMatchObject({ InstanceName: 'db1', Status: 'Success' });
    expect(listed.CommandInvocations?.[0]?.CommandPlugins?.[0]).toMatchObject({
      Name: 'run',
      Output: 'listed\n',
    });
  });

  test('hosts with the presence of their workers', async () => {
    const ping = async () => {
      const command = new DescribeInstanceInformationCommand({
        Filters: [{ Key: 'InstanceIds', Values: [instanceId] }],
      });
      return (await host.client.send(command)).InstanceInformationList?.map(({ PingStatus }) => PingStatus);
    };
    expect(await ping()).toEqual(['Online']);
    await host.killWorker();
    await until(async () => (await ping())?.[0] === 'ConnectionLost', 'the worker is missed');
  });

  test('documents with their content', async () => {
    const { Content } = await host.client.send(new GetDocumentCommand({ Name: 'Probe-Run' }));
    expect(JSON.parse(Content ?? '')).toEqual(documentContent);
  });
});

test('nothing comes through while the service is away, and what waited runs afterwards', async () => {
  host.server().setAway('ssm', 'refuse');
  await expect(send({})).rejects.toMatchObject({ code: 'ECONNRESET' });
  host.server().setAway('ssm', null);
  expect((await run({})).Status).toBe('Success');
});

describe.skipIf(!hasAwsCli)('the AWS CLI', () => {
  test('sends a command, waits for it and reads its output', async () => {
    const target = ['--instance-ids', instanceId, '--document-name', 'Probe-Run'];
    const sent = await awsCli(host.endpoint, [
      'ssm',
      'send-command',
      ...target,
      '--parameters',
      '{"script":["echo cli"]}',
    ]);
    const { Command } = JSON.parse(sent.stdout) as { Command: { CommandId: string; Status: string } };
    const names = ['--command-id', Command.CommandId, '--instance-id', instanceId];
    expect((await awsCli(host.endpoint, ['ssm', 'wait', 'command-executed', ...names])).status).toBe(0);
    const got = await awsCli(host.endpoint, ['ssm', 'get-command-invocation', ...names]);
    expect(JSON.parse(got.stdout)).toMatchObject({ Status: 'Success', StandardOutputContent: 'cli\n' });
    const refused = await awsCli(host.endpoint, [
      'ssm',
      'send-command',
      ...target,
      '--parameters',
      'verb=destroy',
    ]);
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain(
      'An error occurred (InvalidParameters) when calling the SendCommand operation',
    );
    const described = await awsCli(host.endpoint, ['ssm', 'describe-document', '--name', 'Probe-Run']);
    expect(described.stdout).toContain('"Name": "epoch"');
  });
});
