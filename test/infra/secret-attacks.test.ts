/** Least privilege around the rotation of secrets, as attacks: what attacks.test.ts is for hosts and the steps of operations. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evaluateIam, type IamRequest } from '../support/iam-evaluate.ts';
import {
  anyFunction,
  anyHost,
  command,
  host,
  items,
  machine,
  on,
  ours,
  place,
  rotation,
  secret,
} from './iam-requests.ts';
import { type Roles, synthesiseRoles } from './iam-roles.ts';

let roles: Roles;
beforeAll(async () => {
  roles = await synthesiseRoles();
});
afterAll(() => roles.remove());

type Attack = readonly [sentence: string, by: readonly string[], request: () => IamRequest];

/** By whoever has taken over the function that rotates secrets, or would like to do its work. */
const attacksOnSecrets: readonly Attack[] = [
  ['reads a secret that it does not rotate', [rotation], () => secret('GetSecretValue')],
  [
    'reads a secret that another function rotates',
    [rotation],
    () => secret('GetSecretValue', { rotatedBy: 'payroll-rotation' }),
  ],
  ['writes a secret that it does not rotate', [rotation], () => secret('PutSecretValue')],
  ...(['DeleteSecret', 'RotateSecret', 'PutResourcePolicy', 'TagResource', 'UpdateSecret'] as const).map(
    (call): Attack => [
      `calls ${call}, by which it could make a secret its own`,
      [rotation],
      () => secret(call, { rotatedBy: 'Leasehold-rotate' }),
    ],
  ),
  [
    'a host, or a step of an operation, writes a secret or moves its labels',
    [...anyHost, ...anyFunction],
    () => secret('UpdateSecretVersionStage', { rotatedBy: 'Leasehold-rotate' }),
  ],
  [
    'a step of an operation reads a secret',
    anyFunction,
    () => secret('GetSecretValue', { rotatedBy: 'Leasehold-rotate' }),
  ],
  [
    'writes a lease: its holder',
    [rotation],
    () => items(roles, 'UpdateItem', ['cluster#main'], '', { 'dynamodb:Attributes': ['pk', 'sk', 'holder'] }),
  ],
  [
    'writes a record: its members, beside the secrets',
    [rotation],
    () =>
      items(roles, 'UpdateItem', ['cluster#main'], '', {
        'dynamodb:Attributes': ['pk', 'sk', 'version', 'secrets', 'members'],
      }),
  ],
  ['writes without naming attributes', [rotation], () => items(roles, 'UpdateItem', ['cluster#main'])],
  [
    "writes secrets into a node's report",
    [rotation],
    () =>
      items(roles, 'UpdateItem', ['cluster#main#nodes'], '', {
        'dynamodb:Attributes': ['pk', 'sk', 'secrets'],
      }),
  ],
  ['puts a whole record', [rotation], () => items(roles, 'PutItem', ['cluster#main'])],
  ['puts a report', [rotation], () => items(roles, 'PutItem', ['cluster#main#nodes'])],
  ['orders an action', [rotation], () => items(roles, 'PutItem', ['cluster#main#operations'])],
  ['queries without a partition key', [rotation], () => items(roles, 'Query', null)],
  ['scans the table', [rotation], () => items(roles, 'Scan', null)],
  ['starts an operation', [rotation], () => on('states:StartExecution', machine(ours))],
  ['commands a host', [rotation], () => command(roles.document('RunAction'), host)],
  [
    'decrypts by a key without Secrets Manager',
    [rotation],
    () => on('kms:Decrypt', `arn:aws:kms:${place}:key/k1`),
  ],
];

test.each(attacksOnSecrets)('refused: %s', (_sentence, by, request) => {
  for (const role of by) expect(evaluateIam(roles.of(role), request()), role).not.toBe('allowed');
});
