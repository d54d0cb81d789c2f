/**
 * The CDK command line, as an operator runs it: synthesises the app and the examples offline, with neither account nor region nor
 * telemetry.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { type JsonObject, readTemplate } from './synthesised.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'leasehold-cdk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Nothing can be reached, and nobody is logged in. */
const offline = {
  PATH: process.env['PATH'],
  HOME: folder,
  HTTPS_PROXY: 'http://127.0.0.1:9',
  HTTP_PROXY: 'http://127.0.0.1:9',
  AWS_EC2_METADATA_DISABLED: 'true',
  CDK_DISABLE_CLI_TELEMETRY: 'true',
  // test/infra/nag.test.ts validates.
  CDK_VALIDATION: 'false',
};

const synth = (...args: string[]) =>
  run(process.execPath, ['node_modules/aws-cdk/bin/cdk', 'synth', '--quiet', '--output', folder, ...args], {
    cwd: root,
    env: offline,
    timeout: 110_000,
  });

test('cdk synth works offline, and makes profiles for the clusters it is told of', async () => {
  await synth('-c', 'clusters=main,orders-eu');
  const text = readFileSync(join(folder, 'Leasehold.template.json'), 'utf8');
  const template = readTemplate(JSON.parse(text) as JsonObject);
  expect(Object.keys(template.outputs)).toEqual(
    expect.arrayContaining(['MainDatabaseInstanceProfile', 'OrdersEuProxyInstanceProfile']),
  );
  expect(template.ofType('AWS::IAM::InstanceProfile')).toHaveLength(4);
});

test('a name that is none is refused', async () => {
  await expect(synth('-c', 'clusters=main,Ord ers')).rejects.toThrow(/no name of a cluster/);
});

test.each([
  ['whole-cluster', 'Leasehold', 'AWS::EC2::Instance', 5],
  ['existing-vpc', 'Orders', 'AWS::EC2::Instance', 5],
  ['existing-hosts', 'Leasehold', 'AWS::IAM::InstanceProfile', 4],
  ['three-regions', 'Leasehold', 'AWS::DynamoDB::GlobalTable', 1],
])('the example %s is synthesised as its comment says', async (example, stackName, type, count) => {
  const agent = join(folder, 'agent.tar.gz');
  writeFileSync(agent, 'of no interest here');
  const app = `node_modules/.bin/node examples/${example}/app.ts`;
  await synth('--app', app, '-c', `agent=${agent}`);
  const text = readFileSync(join(folder, `${stackName}.template.json`), 'utf8');
  expect(readTemplate(JSON.parse(text) as JsonObject).ofType(type)).toHaveLength(count);
});
