/** AWS's own command line against a whole cluster: an operator needs no tool of ours to switch over and to see what happened. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';

const run = promisify(execFile);
/** Debian's: another program of that name may come first in PATH. */
const aws = '/usr/bin/aws';
const file = threeNodes({ lease: { ttlMs: 4_000, heartbeatMs: 500 } });

let sandbox: ClusterSandbox;

beforeAll(async () => {
  if (existsSync(aws)) sandbox = await openClusterSandbox(file);
});
beforeEach(async (context) => {
  if (!existsSync(aws)) context.skip('needs the AWS command line');
  await sandbox.cluster.untilWhole(60_000);
});
afterAll(async () => {
  await sandbox?.close();
});

async function call<T>(...args: string[]): Promise<T> {
  const { awsEndpointUrl, region, accessKeyId, secretAccessKey } = sandbox.cluster.endpoints();
  const { stdout } = await run(
    aws,
    ['--endpoint-url', awsEndpointUrl, '--region', region, '--output', 'json', ...args],
    {
      env: {
        PATH: process.env.PATH,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_PAGER: '',
      },
    },
  );
  return JSON.parse(stdout) as T;
}

describe("AWS's command line", () => {
  it('switches over with {"cluster":"main"}, and tells the steps', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const { executionArn } = await call<{ executionArn: string }>(
      ...['stepfunctions', 'start-execution', '--state-machine-arn', cluster.endpoints().stateMachineArn],
      ...['--input', '{"cluster":"main"}'],
    );
    const ended = await eventually(
      'the end of the execution',
      async () => {
        const now = await call<{ status: string }>(
          'stepfunctions',
          'describe-execution',
          '--execution-arn',
          executionArn,
        );
        return now.status === 'RUNNING' ? null : now;
      },
      60_000,
    );
    expect(ended).toMatchObject({ status: 'SUCCEEDED' });
    expect(await cluster.primary()).not.toBe(primary);
    const { events } = await call<{ events: { stateEnteredEventDetails?: { name: string } }[] }>(
      ...['stepfunctions', 'get-execution-history', '--execution-arn', executionArn],
    );
    const entered = events.flatMap((event) => event.stateEnteredEventDetails?.name ?? []);
    const states = [
      'Initiated',
      'WaitingForCatchup',
      'DemotingOldPrimary',
      'PromotingNewPrimary',
      'ReconfiguringReplicas',
      'Stable',
    ];
    expect(entered.filter((name) => states.includes(name))).toEqual(states);
  });

  it('shows lease and nodes as items of the table', async () => {
    const { tableName } = sandbox.cluster.endpoints();
    const query = (pk: string) =>
      call<{ Items: Record<string, { S?: string }>[] }>(
        ...['dynamodb', 'query', '--table-name', tableName, '--consistent-read'],
        ...[
          '--key-condition-expression',
          'pk = :pk',
          '--expression-attribute-values',
          JSON.stringify({ ':pk': { S: pk } }),
        ],
      );
    const head = await query('cluster#main');
    const lease = head.Items.find((item) => item.sk?.S === 'lease');
    expect(lease?.holder?.S).toBe(await sandbox.cluster.primary());
    expect(head.Items.find((item) => item.sk?.S === 'record')?.failover_state?.S).toBe('stable');
    const nodes = await query('cluster#main#nodes');
    expect(nodes.Items.map((item) => item.sk?.S).sort()).toEqual(['node1', 'node2', 'node3']);
  });

  it('runs a document on a node and gives its output', async () => {
    const { cluster } = sandbox;
    const standby = await cluster.standby();
    const instance = cluster.endpoints().nodes[standby]?.instanceId ?? '';
    const { DocumentIdentifiers } = await call<{ DocumentIdentifiers: { Name: string }[] }>(
      'ssm',
      'list-documents',
    );
    const document =
      DocumentIdentifiers.map(({ Name }) => Name).find((name) => name.includes('RunAction')) ?? '';
    const { Command } = await call<{ Command: { CommandId: string } }>(
      ...['ssm', 'send-command', '--document-name', document, '--instance-ids', instance],
      ...['--parameters', `Operation=none-e1-a1,Action=follow@${standby}#1`],
    );
    const invocation = await eventually('the invocation', async () => {
      const now = await call<{ Status: string; StandardOutputContent: string }>(
        ...['ssm', 'get-command-invocation', '--command-id', Command.CommandId, '--instance-id', instance],
      ).catch(() => null);
      return now === null || ['Pending', 'InProgress'].includes(now.Status) ? null : now;
    });
    // There is no such operation: the agent says so, and the command failed.
    expect(invocation).toMatchObject({
      Status: 'Failed',
      StandardOutputContent: expect.stringContaining('no-such-action'),
    });
  });

  it("gets AWS's errors for what does not exist", async () => {
    const { stateMachineArn } = sandbox.cluster.endpoints();
    const failing = (...args: string[]) =>
      call(...args).then(
        () => '',
        (error: { stderr: string }) => error.stderr,
      );
    const absent = `${stateMachineArn.replace(':stateMachine:', ':execution:')}:absent`;
    expect(await failing('stepfunctions', 'describe-execution', '--execution-arn', absent)).toContain(
      'ExecutionDoesNotExist',
    );
    expect(await failing('dynamodb', 'describe-table', '--table-name', 'absent')).toContain(
      'ResourceNotFoundException',
    );
    expect(
      await failing('ssm', 'send-command', '--document-name', 'absent', '--instance-ids', 'i-0'),
    ).toMatch(/InvalidDocument|InvalidInstanceId/);
  });
});
