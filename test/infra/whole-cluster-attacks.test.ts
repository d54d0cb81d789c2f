/**
 * The hosts that `PostgresCluster` makes have more than those that exist already: they read their cluster's secrets and the agent's artifact
 * when they boot. What somebody who has taken over one of them would try with that, put to the statements of the example's template.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evaluateIam, type IamRequest } from '../support/iam-evaluate.ts';
import { anyHost, command, host, items, machine, on, ours, place, roleOf } from './iam-requests.ts';
import { type Roles, rolesIn } from './iam-roles.ts';

// CDK reads it when it is loaded, hence the imports below.
process.env['CDK_VALIDATION'] ??= 'false';

let roles: Roles;
let secrets: readonly string[];
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-whole-roles-'));
  const bundles = join(folder, 'functions');
  mkdirSync(bundles);
  writeFileSync(join(bundles, 'begin.mjs'), 'export const handler = () => undefined;\n');
  writeFileSync(join(folder, 'agent.tar.gz'), 'an agent');
  const { App } = await import('aws-cdk-lib');
  const { agentArtifact } = await import('../../infra/agent-artifact.ts');
  const { wholeCluster } = await import('../../examples/whole-cluster/app.ts');
  const app = new App({ outdir: join(folder, 'assembly'), analyticsReporting: false });
  const { stackName } = wholeCluster(app, bundles, agentArtifact(join(folder, 'agent.tar.gz')));
  roles = rolesIn(app.synth().directory, stackName, folder);
  secrets = roles.stack
    .ofType('AWS::SecretsManager::Secret')
    .map(({ logicalId }) => String(roles.stack.ref(logicalId)));
});
afterAll(() => roles.remove());

const ask = (role: string, request: IamRequest) => evaluateIam(roles.of(role), request);
const secret = (name: string) => `arn:aws:secretsmanager:${place}:secret:${name}`;
/** The one object that a host may read, by its policy. */
const agentObject = () => {
  const reads = roles.of(anyHost[0] ?? '').filter(({ Action }) => [Action].flat().includes('s3:GetObject'));
  expect(reads).toHaveLength(1);
  return [reads[0]?.Resource ?? ''].flat()[0] ?? '';
};
const bucket = () => agentObject().slice(0, agentObject().indexOf('/'));

const attacks: readonly (readonly [sentence: string, request: () => IamRequest])[] = [
  ['reads a secret of somebody else', () => on('secretsmanager:GetSecretValue', secret('payroll-AbCdEf'))],
  [
    'reads a secret whose name begins like its own',
    () => on('secretsmanager:GetSecretValue', `${secrets[0]}-other`),
  ],
  ['reads every secret', () => on('secretsmanager:GetSecretValue', '*')],
  ['lists secrets', () => on('secretsmanager:ListSecrets', '*')],
  ['changes its own secret', () => on('secretsmanager:PutSecretValue', secrets[0] ?? '')],
  ['gives its own secret away', () => on('secretsmanager:PutResourcePolicy', secrets[0] ?? '')],
  ['deletes its own secret', () => on('secretsmanager:DeleteSecret', secrets[0] ?? '')],
  ['reads another object of the bucket', () => on('s3:GetObject', `${bucket()}/payroll.zip`)],
  ['replaces the agent that hosts install', () => on('s3:PutObject', agentObject())],
  ['lists the bucket', () => on('s3:ListBucket', bucket())],
  [
    'reads a parameter of somebody else',
    () => on('ssm:GetParameter', `arn:aws:ssm:${place}:parameter/payroll/key`),
  ],
  ["writes another cluster's lease", () => items(roles, 'UpdateItem', ['cluster#orders'])],
  ['queries without a partition key', () => items(roles, 'Query', null)],
  ['sends the document that upgrades agents', () => command(roles.document('Upgrade'), host)],
  [
    'detaches the data volume of another host',
    () => on('ec2:DetachVolume', `arn:aws:ec2:${place}:volume/vol-1`),
  ],
  ['makes a snapshot of a volume', () => on('ec2:CreateSnapshot', `arn:aws:ec2:${place}:volume/vol-1`)],
  ['takes itself out of the load balancer', () => on('elasticloadbalancing:DeregisterTargets', '*')],
];

test.each(attacks)('a host that %s is refused', (_sentence, request) => {
  for (const role of anyHost) expect(ask(role, request()), role).not.toBe('allowed');
});

test('no function of the workflow reads a secret, and none sends the document that upgrades agents', () => {
  for (const name of ['order', 'demote', 'abort', 'finish'] as const) {
    const role = roleOf(name);
    expect(ask(role, on('secretsmanager:GetSecretValue', secrets[0] ?? '')), name).not.toBe('allowed');
    expect(ask(role, command(roles.document('Upgrade'), host)), name).not.toBe('allowed');
  }
});

test('a host reads its three secrets and its agent, and keeps its lease or its report', () => {
  expect(secrets).toHaveLength(3);
  for (const role of anyHost) {
    for (const one of secrets)
      expect(ask(role, on('secretsmanager:GetSecretValue', one)), one).toBe('allowed');
    expect(ask(role, on('s3:GetObject', agentObject()))).toBe('allowed');
    expect(ask(role, on('states:SendTaskSuccess', machine(ours)))).toBe('allowed');
    expect(ask(role, items(roles, 'PutItem', ['cluster#main#events']))).toBe('allowed');
  }
});
