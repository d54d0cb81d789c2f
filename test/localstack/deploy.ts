/**
 * Deploys the stack to an endpoint that speaks CloudFormation, with the CDK command line that is deployed with to AWS too: it takes the
 * endpoint from AWS_ENDPOINT_URL. Credentials are dummies and nothing of the caller's AWS configuration is passed on, so that
 * no mistake here can reach an account.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stackName } from '../../infra/names.ts';
import type { ControlPlaneElsewhere } from '../../local/runtime/control-plane-elsewhere.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
export const region = 'us-east-1';
export const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
const accountId = '000000000000';
const timeoutMs = 8 * 60_000;
const mostOutputBytes = 16 * 1024 * 1024;

/** What the CDK command line is started with: names of buckets become host names, which loopback's name cannot carry. */
export function cdkEnvironment(
  awsEndpointUrl: string,
  path: string | undefined,
  home: string,
): Record<string, string> {
  const { protocol, hostname, port } = new URL(awsEndpointUrl);
  const loopback = ['localhost', '127.0.0.1'].includes(hostname);
  const host = `${loopback ? 'localhost.localstack.cloud' : hostname}${port === '' ? '' : `:${port}`}`;
  return {
    PATH: path ?? '/usr/bin:/bin',
    HOME: home,
    AWS_ENDPOINT_URL: `${protocol}//${host}`,
    AWS_ENDPOINT_URL_S3: `${protocol}//s3.${host}`,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_REGION: region,
    AWS_EC2_METADATA_DISABLED: 'true',
    CDK_DEFAULT_ACCOUNT: accountId,
    CDK_DEFAULT_REGION: region,
    CDK_DISABLE_CLI_TELEMETRY: 'true',
  };
}

/** Bootstraps and deploys; where the control plane is then. Throws with what the command line printed. */
export async function deployTo(awsEndpointUrl: string): Promise<ControlPlaneElsewhere> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-deploy-'));
  const outputsFile = join(folder, 'outputs.json');
  const env = cdkEnvironment(awsEndpointUrl, process.env['PATH'], folder);
  const cdk = (...words: string[]) =>
    run(process.execPath, [join(root, 'node_modules', 'aws-cdk', 'bin', 'cdk'), ...words], {
      cwd: root,
      env,
      timeout: timeoutMs,
      maxBuffer: mostOutputBytes,
    });
  try {
    const output = ['--output', join(folder, 'assembly')];
    await cdk('bootstrap', `aws://${accountId}/${region}`, ...output);
    await cdk('deploy', stackName, '--require-approval', 'never', '--outputs-file', outputsFile, ...output);
    return readOutputs(awsEndpointUrl, readFileSync(outputsFile, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `text`: what `cdk deploy --outputs-file` wrote. Throws naming the output that is missing. */
export function readOutputs(awsEndpointUrl: string, text: string): ControlPlaneElsewhere {
  const outputs = (JSON.parse(text) as Record<string, Record<string, unknown>>)[stackName] ?? {};
  const output = (name: string): string => {
    const value = outputs[name];
    if (typeof value !== 'string' || value === '')
      throw new Error(`the stack ${stackName} at ${awsEndpointUrl} has no output ${name}`);
    return value;
  };
  return {
    awsEndpointUrl,
    region,
    ...credentials,
    tableName: output('TableName'),
    stateMachineArn: output('StateMachineArn'),
    documents: { runAction: output('RunActionDocument'), fence: output('FenceDocument') },
  };
}
