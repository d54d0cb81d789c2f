/**
 * Every call that the code makes is allowed to the role that makes it, so that a policy which is too tight fails too; and what a function
 * does not call is refused to it. What a function calls is read from its own bundle, not written down here.
 */
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAwsPorts } from '../../adapters/workflow/aws-ports.ts';
import { functionNames } from '../../infra/names.ts';
import { evaluateIam, type IamRequest } from '../support/iam-evaluate.ts';
import {
  anyFunction,
  anyHost,
  authoritySecret,
  certify,
  command,
  database,
  execution,
  groups,
  host,
  items,
  machine,
  on,
  ours,
  place,
  proxy,
  roleOf,
  rotation,
  secret,
  workflowNames,
} from './iam-requests.ts';
import { type Roles, synthesiseRoles } from './iam-roles.ts';

let roles: Roles;
beforeAll(async () => {
  roles = await synthesiseRoles();
});
afterAll(() => roles.remove());

const ask = (role: string, request: IamRequest) => evaluateIam(roles.of(role), request);

/** What a call of the workflow's ports asks of IAM; one that has no row here fails the test below. */
const portCalls: Readonly<Record<string, () => readonly IamRequest[]>> = {
  'hosts.runAction': () => [command(roles.document('RunAction'), host)],
  'hosts.fence': () => [command(roles.document('Fence'), host)],
  'hosts.fenceOutcome': () => [on('ssm:GetCommandInvocation', '*')],
  'hosts.stopInstance': () => [on('ec2:StopInstances', host)],
  'hosts.instanceState': () => [on('ec2:DescribeInstances', '*')],
  'hosts.startInstance': () => [on('ec2:StartInstances', host)],
  'hosts.securityGroups': () => [on('ec2:DescribeInstances', '*')],
  // With the attribute's name, and as if EC2 did not tell it.
  'hosts.setSecurityGroups': () => [
    groups(host, { 'ec2:Attribute': 'groupSet' }),
    groups(host, { 'ec2:Attribute': 'GroupSet' }),
    groups(host),
  ],
  'executions.status': () => [on('states:DescribeExecution', execution(ours))],
  'executions.start': () => [on('states:StartExecution', machine(ours))],
  'tasks.succeed': () => [on('states:SendTaskSuccess', machine(ours))],
  'tasks.fail': () => [on('states:SendTaskFailure', machine(ours))],
};

/** The function as it would be bundled alone: what it cannot reach is not in it. */
function bundleOf(name: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [`lambdas/${name}.ts`],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  });
  return outputFiles.map(({ text }) => text).join('');
}

describe('allowed', () => {
  test('every call that the workflow has ports for has a row here', () => {
    const ports = createAwsPorts({} as never, {} as never);
    const calls = Object.entries(ports).flatMap(([port, methods]) =>
      Object.keys(methods).map((method) => `${port}.${method}`),
    );
    expect(Object.keys(portCalls).toSorted()).toEqual(calls.toSorted());
  });

  test.each(functionNames)('%s may do what its bundle calls, and of all else nothing', (name) => {
    const bundle = bundleOf(name);
    const called = (call: string) => bundle.includes(`deps.${call}(`);
    const shared = (call: string, request: IamRequest) =>
      Object.entries(portCalls).some(
        ([other, requests]) =>
          other !== call && called(other) && requests().some(({ action }) => action === request.action),
      );
    for (const [call, requests] of Object.entries(portCalls)) {
      for (const request of requests()) {
        // Two calls may need the same action: `runAction` and `fence` are told apart by their documents.
        if (!called(call) && request.action !== 'ssm:SendCommand' && shared(call, request)) continue;
        expect(ask(roleOf(name), request), call).toBe(called(call) ? 'allowed' : 'not-allowed');
      }
    }
    const scans = bundle.includes('client.scan(');
    expect(ask(roleOf(name), items(roles, 'Scan', null, '/index/clusters')) === 'allowed').toBe(scans);
  });

  const classes = ['', '#nodes', '#proxies', '#operations', '#events'];
  test.each(workflowNames)(
    '%s reads every class of items of every cluster, and writes those of the workflow',
    (name) => {
      for (const kind of classes)
        expect(ask(roleOf(name), items(roles, 'Query', [`cluster#orders${kind}`]))).toBe('allowed');
      for (const kind of ['', '#operations', '#events']) {
        for (const call of ['PutItem', 'UpdateItem'])
          expect(ask(roleOf(name), items(roles, call, [`cluster#orders${kind}`])), kind).toBe('allowed');
      }
    },
  );

  test('a database host reads its cluster, and writes lease, record, its report, its actions and events', () => {
    for (const kind of classes)
      expect(ask(database, items(roles, 'Query', [`cluster#main${kind}`])), kind).toBe('allowed');
    const writes = [
      ['UpdateItem', ''],
      ['PutItem', '#nodes'],
      ['UpdateItem', '#operations'],
      ['PutItem', '#events'],
    ] as const;
    for (const [call, kind] of writes)
      expect(ask(database, items(roles, call, [`cluster#main${kind}`])), kind).toBe('allowed');
  });

  test('hosts ask for certificates, each in the partition of its role, and read what they are given', () => {
    for (const [role, kind] of [
      [database, 'database'],
      [proxy, 'proxy'],
    ] as const) {
      expect(ask(role, items(roles, 'PutItem', [`cluster#main#${kind}-requests`])), kind).toBe('allowed');
      expect(ask(role, items(roles, 'Query', ['cluster#main#certificates'])), kind).toBe('allowed');
    }
  });

  test('who signs certificates reads what it signs by, writes them, and keeps the authorities', () => {
    for (const kind of ['', '#nodes', '#proxies', '#database-requests', '#proxy-requests', '#certificates'])
      expect(ask(certify, items(roles, 'Query', [`cluster#main${kind}`])), kind).toBe('allowed');
    for (const kind of ['certificates', 'events'])
      expect(ask(certify, items(roles, 'PutItem', [`cluster#main#${kind}`])), kind).toBe('allowed');
    for (const call of ['CreateSecret', 'GetSecretValue', 'PutSecretValue'])
      expect(ask(certify, on(`secretsmanager:${call}`, authoritySecret('main'))), call).toBe('allowed');
  });

  test('a proxy host reads its cluster, and writes its report, its actions and events', () => {
    for (const kind of classes)
      expect(ask(proxy, items(roles, 'Query', [`cluster#main${kind}`])), kind).toBe('allowed');
    const writes = [
      ['PutItem', '#proxies'],
      ['UpdateItem', '#operations'],
      ['PutItem', '#events'],
    ] as const;
    for (const [call, kind] of writes)
      expect(ask(proxy, items(roles, call, [`cluster#main${kind}`])), kind).toBe('allowed');
  });

  test('hosts answer tasks, database hosts start operations, and the SSM agent finds its commands', () => {
    for (const role of anyHost) {
      expect(ask(role, on('states:SendTaskSuccess', machine(ours)))).toBe('allowed');
      expect(ask(role, on('states:SendTaskFailure', machine(ours)))).toBe('allowed');
      expect(ask(role, on('ec2messages:GetMessages', '*'))).toBe('allowed');
      expect(ask(role, on('ssm:UpdateInstanceInformation', host))).toBe('allowed');
      expect(ask(role, on('ssm:GetParameter', `arn:aws:ssm:${place}:parameter/leasehold/main/extra`))).toBe(
        'allowed',
      );
    }
    expect(ask(database, on('states:StartExecution', machine(ours)))).toBe('allowed');
  });

  test('a rotation sees the cluster, writes its secrets into the record, tells of it, and handles its secrets', () => {
    for (const kind of ['', '#nodes', '#proxies'])
      expect(ask(rotation, items(roles, 'Query', [`cluster#orders${kind}`])), kind).toBe('allowed');
    const attributes = { 'dynamodb:Attributes': ['pk', 'sk', 'version', 'operation', 'secrets'] };
    expect(ask(rotation, items(roles, 'UpdateItem', ['cluster#orders'], '', attributes))).toBe('allowed');
    expect(ask(rotation, items(roles, 'PutItem', ['cluster#orders#events']))).toBe('allowed');
    for (const call of ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'UpdateSecretVersionStage'])
      expect(ask(rotation, secret(call, { rotatedBy: 'Leasehold-rotate' })), call).toBe('allowed');
  });

  test('the state machine calls each of its steps', () => {
    for (const name of workflowNames.filter((one) => one !== 'sentinel'))
      expect(
        ask(
          'StateMachineRole',
          on('lambda:InvokeFunction', `arn:aws:lambda:${place}:function:Leasehold-${name}`),
        ),
      ).toBe('allowed');
  });

  test('every role of the stack is one that is attacked here', () => {
    const attacked = [...anyHost, ...anyFunction, rotation, 'StateMachineRole'];
    expect(roles.names.filter((name) => !attacked.some((part) => name.includes(part)))).toEqual([]);
  });
});
