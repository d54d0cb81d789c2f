/**
 * Least privilege as attacks: each row is what somebody who has taken over a host or a function would try, put to the statements of the
 * synthesised template. What the roles need is in `needed-calls.test.ts`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluateIam, type IamRequest } from '../support/iam-evaluate.ts';
import {
  anyFunction,
  anyHost,
  authoritySecret,
  certify,
  command,
  database,
  ec2,
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
  stranger,
  workflow,
} from './iam-requests.ts';
import { type Roles, synthesiseRoles } from './iam-roles.ts';

let roles: Roles;
beforeAll(async () => {
  roles = await synthesiseRoles();
});
afterAll(() => roles.remove());

const ask = (role: string, request: IamRequest) => evaluateIam(roles.of(role), request);

const emptyTag = { 'ec2:ResourceTag/leasehold:cluster': '', 'ssm:resourceTag/leasehold:cluster': '' };

type Attack = readonly [sentence: string, by: readonly string[], request: () => IamRequest];

const attacksOnItems: readonly Attack[] = [
  ["writes another cluster's lease", anyHost, () => items(roles, 'UpdateItem', ['cluster#orders'])],
  ['puts a lease into another cluster', anyHost, () => items(roles, 'PutItem', ['cluster#orders'])],
  ['reads another cluster', anyHost, () => items(roles, 'Query', ['cluster#orders'])],
  [
    "reads another cluster's task tokens",
    anyHost,
    () => items(roles, 'Query', ['cluster#orders#operations']),
  ],
  [
    'reaches a cluster whose name begins like its own',
    anyHost,
    () => items(roles, 'Query', ['cluster#main2']),
  ],
  ['uses a wildcard as its partition key', anyHost, () => items(roles, 'UpdateItem', ['cluster#*'])],
  [
    'writes its own item and a foreign one at once',
    anyHost,
    () => items(roles, 'PutItem', ['cluster#main#events', 'cluster#orders']),
  ],
  [
    "a database host writes a proxy's report",
    [database],
    () => items(roles, 'PutItem', ['cluster#main#proxies']),
  ],
  ['a proxy writes the lease or the record', [proxy], () => items(roles, 'UpdateItem', ['cluster#main'])],
  ["a proxy writes a node's report", [proxy], () => items(roles, 'PutItem', ['cluster#main#nodes'])],
  ["a function writes a node's report", anyFunction, () => items(roles, 'PutItem', ['cluster#main#nodes'])],
  [
    "a function writes a proxy's report",
    anyFunction,
    () => items(roles, 'UpdateItem', ['cluster#main#proxies']),
  ],
  ['a function writes an item that is no cluster', anyFunction, () => items(roles, 'PutItem', ['secrets'])],
  [
    'queries without a partition key, so that all none of them match',
    [...anyHost, ...anyFunction],
    () => items(roles, 'Query', null),
  ],
  [
    'writes with an empty list of partition keys',
    [...anyHost, ...anyFunction],
    () => items(roles, 'UpdateItem', []),
  ],
  ['scans the table', [...anyHost, ...anyFunction], () => items(roles, 'Scan', null)],
  [
    'queries the index of clusters',
    [...anyHost, ...anyFunction],
    () => items(roles, 'Query', ['cluster#main'], '/index/clusters'),
  ],
  ['scans the index of clusters', anyHost, () => items(roles, 'Scan', null, '/index/clusters')],
  ['reads an item with GetItem', anyHost, () => items(roles, 'GetItem', ['cluster#main'])],
  ['deletes the lease', [...anyHost, ...anyFunction], () => items(roles, 'DeleteItem', ['cluster#main'])],
  ['writes a batch', [...anyHost, ...anyFunction], () => items(roles, 'BatchWriteItem', ['cluster#main'])],
  [
    'reads a batch across clusters',
    [...anyHost, ...anyFunction],
    () => items(roles, 'BatchGetItem', ['cluster#main', 'cluster#orders']),
  ],
  [
    'writes a foreign item within a transaction',
    anyHost,
    () =>
      items(roles, 'UpdateItem', ['cluster#orders'], '', {
        'dynamodb:EnclosingOperation': 'TransactWriteItems',
      }),
  ],
  [
    'checks a foreign item within a transaction',
    anyHost,
    () => items(roles, 'ConditionCheckItem', ['cluster#orders']),
  ],
  ['updates by PartiQL', [...anyHost, ...anyFunction], () => items(roles, 'PartiQLUpdate', ['cluster#main'])],
  ['inserts by PartiQL', [...anyHost, ...anyFunction], () => items(roles, 'PartiQLInsert', ['cluster#main'])],
  ['selects by PartiQL', [...anyHost, ...anyFunction], () => items(roles, 'PartiQLSelect', null)],
  [
    'exports or restores the table',
    [...anyHost, ...anyFunction],
    () => items(roles, 'ExportTableToPointInTime', null),
  ],
  [
    'turns off the protection of the table',
    [...anyHost, ...anyFunction],
    () => items(roles, 'UpdateTable', null),
  ],
  [
    'uses another table',
    [...anyHost, ...anyFunction],
    () => items(roles, 'Query', ['cluster#main'], `arn:aws:dynamodb:${place}:table/Other`),
  ],
];

const attacksOnCertificates: readonly Attack[] = [
  [
    "a host reads the authority's private key",
    anyHost,
    () => on('secretsmanager:GetSecretValue', authoritySecret('main')),
  ],
  [
    "a host reads the authority's private key through Parameter Store",
    anyHost,
    () =>
      on(
        'ssm:GetParameter',
        `arn:aws:ssm:${place}:parameter/aws/reference/secretsmanager/Leasehold-authority/main`,
      ),
  ],
  [
    "a function of the workflow reads the authority's private key",
    workflow,
    () => on('secretsmanager:GetSecretValue', authoritySecret('main')),
  ],
  [
    'a host or a function of the workflow replaces the authority',
    [...anyHost, ...workflow],
    () => on('secretsmanager:PutSecretValue', authoritySecret('main')),
  ],
  [
    'who signs reads a secret that is no authority',
    [certify],
    () => on('secretsmanager:GetSecretValue', `arn:aws:secretsmanager:${place}:secret:payroll-abc123`),
  ],
  [
    'who signs deletes an authority',
    [certify],
    () => on('secretsmanager:DeleteSecret', authoritySecret('main')),
  ],
  [
    "a proxy asks for a database's certificate",
    [proxy],
    () => items(roles, 'PutItem', ['cluster#main#database-requests']),
  ],
  [
    "a database host asks for a proxy's certificate",
    [database],
    () => items(roles, 'PutItem', ['cluster#main#proxy-requests']),
  ],
  [
    'a host writes itself a certificate, or another its authorities',
    anyHost,
    () => items(roles, 'PutItem', ['cluster#main#certificates']),
  ],
  ['a host changes a certificate', anyHost, () => items(roles, 'UpdateItem', ['cluster#main#certificates'])],
  [
    'a database host asks for a certificate of another cluster',
    [database],
    () => items(roles, 'PutItem', ['cluster#orders#database-requests']),
  ],
  [
    'a proxy asks for a certificate of another cluster',
    [proxy],
    () => items(roles, 'PutItem', ['cluster#orders#proxy-requests']),
  ],
  [
    'a function of the workflow writes a certificate',
    workflow,
    () => items(roles, 'PutItem', ['cluster#main#certificates']),
  ],
  [
    "a function asks in a host's name",
    anyFunction,
    () => items(roles, 'PutItem', ['cluster#main#database-requests']),
  ],
  [
    'who signs writes a lease, a record or a report',
    [certify],
    () => items(roles, 'PutItem', ['cluster#main']),
  ],
  ['who signs reads task tokens', [certify], () => items(roles, 'Query', ['cluster#main#operations'])],
  ['who signs starts an operation', [certify], () => on('states:StartExecution', machine(ours))],
];

const attacksOnHosts: readonly Attack[] = [
  ['a host starts an instance', anyHost, () => on('ec2:StartInstances', host)],
  ['a host stops an instance', anyHost, () => on('ec2:StopInstances', host)],
  ['a host sends a command', anyHost, () => command(roles.document('RunAction'), host)],
  ['a host sends a command by a document of AWS', anyHost, () => command('AWS-RunShellScript', host)],
  ['a host assumes a role', anyHost, () => on('sts:AssumeRole', `arn:aws:iam::000000000000:role/admin`)],
  ['a host passes a role', anyHost, () => on('iam:PassRole', `arn:aws:iam::000000000000:role/admin`)],
  [
    'a host calls a function of the workflow',
    anyHost,
    () => on('lambda:InvokeFunction', `arn:aws:lambda:${place}:function:Leasehold-demote`),
  ],
  [
    'a host reads a secret',
    anyHost,
    () => on('secretsmanager:GetSecretValue', `arn:aws:secretsmanager:${place}:secret:payroll-abc123`),
  ],
  [
    'a host reads a parameter of somebody else',
    anyHost,
    () => on('ssm:GetParameter', `arn:aws:ssm:${place}:parameter/payroll/key`),
  ],
  [
    "a host reads another cluster's parameters",
    anyHost,
    () => on('ssm:GetParameters', `arn:aws:ssm:${place}:parameter/leasehold/orders/password`),
  ],
  [
    'a host lists the parameters above its own',
    anyHost,
    () => on('ssm:GetParametersByPath', `arn:aws:ssm:${place}:parameter/leasehold`),
  ],
  [
    'a function commands an instance without the tag',
    anyFunction,
    () => command(roles.document('RunAction'), stranger),
  ],
  ['a function runs a shell script', anyFunction, () => command('AWS-RunShellScript', host)],
  ['a function stops an instance without the tag', anyFunction, () => on('ec2:StopInstances', stranger)],
  [
    'a function stops an instance whose tag is empty',
    anyFunction,
    () => on('ec2:StopInstances', ec2('instance/i-2', emptyTag)),
  ],
  [
    'a function commands an instance whose tag is empty',
    anyFunction,
    () => command(roles.document('RunAction'), ec2('instance/i-2', emptyTag)),
  ],
  [
    'a function isolates an instance whose tag is empty',
    anyFunction,
    () => groups(ec2('instance/i-2', emptyTag)),
  ],
  [
    'a function stops one with the tag and one without at once',
    anyFunction,
    () => on('ec2:StopInstances', host, stranger),
  ],
  ['a function starts an instance', anyFunction, () => on('ec2:StartInstances', host)],
  ['a function terminates an instance', anyFunction, () => on('ec2:TerminateInstances', host)],
  ['a function changes the groups of an instance without the tag', anyFunction, () => groups(stranger)],
  [
    'a function gives a host a group without the tag',
    anyFunction,
    () => on('ec2:ModifyInstanceAttribute', host, ec2('security-group/sg-9')),
  ],
  ['a function changes the user data', anyFunction, () => groups(host, { 'ec2:Attribute': 'userData' })],
  [
    'a function changes the user data, where EC2 says only what is set',
    anyFunction,
    () => groups(host, { 'ec2:Attribute/UserData': 'x' }),
  ],
  [
    'a function changes the user data, as if they were groups',
    anyFunction,
    () => groups(host, { 'ec2:Attribute': 'groupSet', 'ec2:Attribute/UserData': 'x' }),
  ],
  [
    'a function changes the type of an instance',
    anyFunction,
    () => groups(host, { 'ec2:Attribute': 'instanceType' }),
  ],
  [
    'a function lifts the protection against termination',
    anyFunction,
    () => groups(host, { 'ec2:Attribute': 'disableApiTermination' }),
  ],
  [
    'a function gives an instance another profile',
    anyFunction,
    () => on('ec2:ReplaceIamInstanceProfileAssociation', host),
  ],
  ['a function tags a foreign instance as its own', anyFunction, () => on('ec2:CreateTags', stranger)],
];

const attacksOnOperations: readonly Attack[] = [
  [
    'completes a task of another state machine',
    [...anyHost, ...anyFunction],
    () => on('states:SendTaskSuccess', machine('payroll')),
  ],
  [
    'fails a task of another state machine',
    [...anyHost, ...anyFunction],
    () => on('states:SendTaskFailure', machine('payroll')),
  ],
  [
    'starts another state machine',
    [...anyHost, ...anyFunction],
    () => on('states:StartExecution', machine('payroll')),
  ],
  ['a proxy starts an operation', [proxy], () => on('states:StartExecution', machine(ours))],
  ['stops an operation', [...anyHost, ...anyFunction], () => on('states:StopExecution', execution(ours))],
  [
    "reads another state machine's executions",
    [...anyHost, ...anyFunction],
    () => on('states:DescribeExecution', execution('payroll')),
  ],
  [
    'a host reads the input and history of operations',
    anyHost,
    () => on('states:GetExecutionHistory', execution(ours)),
  ],
  [
    'changes the state machine',
    [...anyHost, ...anyFunction],
    () => on('states:UpdateStateMachine', machine(ours)),
  ],
  [
    "changes a function's code",
    [...anyHost, ...anyFunction],
    () => on('lambda:UpdateFunctionCode', `arn:aws:lambda:${place}:function:Leasehold-demote`),
  ],
  [
    'the state machine calls a function that is not its own',
    ['StateMachineRole'],
    () => on('lambda:InvokeFunction', `arn:aws:lambda:${place}:function:payroll`),
  ],
  [
    'the state machine calls the sentinel',
    ['StateMachineRole'],
    () => on('lambda:InvokeFunction', `arn:aws:lambda:${place}:function:Leasehold-sentinel`),
  ],
];

describe('refused', () => {
  const all = [...[attacksOnItems, attacksOnCertificates, attacksOnHosts, attacksOnOperations]];
  for (const attacks of all) {
    test.each(attacks)('%s', (_sentence, by, request) => {
      for (const role of by) expect(ask(role, request()), role).not.toBe('allowed');
    });
  }
});

describe('what IAM cannot tell apart, and something else has to', () => {
  test('a database host may start an operation of another cluster: the state machine is one for all', () => {
    expect(ask(database, on('states:StartExecution', machine(ours)))).toBe('allowed');
  });

  test("a host may answer another cluster's task if it had the token, which it cannot read", () => {
    expect(ask(database, on('states:SendTaskSuccess', machine(ours)))).toBe('allowed');
    expect(ask(database, items(roles, 'Query', ['cluster#orders#operations']))).toBe('not-allowed');
  });

  test('where EC2 does not say which attribute is meant, the tags alone decide', () => {
    expect(ask(roleOf('finish'), on('ec2:ModifyInstanceAttribute', host))).toBe('allowed');
  });
});
