/**
 * `leasehold-agent configure` as the installer runs it: a process of its own, against a metadata service that speaks IMDSv2 and a Secrets
 * Manager on loopback, with the SDK's own chain for its credentials.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { type InstanceMetadata, startInstanceMetadata } from '../support/instance-metadata.ts';
import { type SecretsManager, startSecretsManager } from '../support/secrets-manager.ts';

const agent = join(dirname(fileURLToPath(import.meta.url)), '../../agent/main.ts');
let folder: string;
let metadata: InstanceMetadata;
let secrets: SecretsManager;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-configure-'));
  metadata = await startInstanceMetadata({
    'meta-data/instance-id': 'i-0123456789abcdef0',
    'meta-data/local-ipv4': '127.0.0.1',
    'meta-data/placement/region': 'eu-west-1',
    'meta-data/placement/availability-zone': 'eu-west-1a',
  });
  secrets = await startSecretsManager({
    superuser: '{"username":"postgres","password":"p1"}',
    replication: '{"username":"replicator","password":"p2"}',
    cluster: 'p3',
  });
});
afterAll(async () => {
  await metadata.close();
  await secrets.close();
  rmSync(folder, { recursive: true, force: true });
});

async function configure(
  change: Readonly<Record<string, string>> = {},
): Promise<{ code: number; output: string }> {
  const found = await findInstallation();
  if (found.kind !== 'installation') throw new Error('no PostgreSQL');
  const parameters: Record<string, string> = {
    ...{ role: 'database', cluster: 'main', node: 'node-1', region: 'eu-west-1', tableName: 'Clusters' },
    stateMachineArn: 'arn:aws:states:eu-west-1:123456789012:stateMachine:Leasehold-failover',
    ...{
      'secrets.superuser': 'superuser',
      'secrets.replication': 'replication',
      'secrets.cluster': 'cluster',
    },
    ...{ 'ports.postgres': '5432', 'ports.rest': '8008', 'ports.wake': '8009' },
    'postgres.major': `${found.major}`,
    ...change,
  };
  const lines = Object.entries(parameters).map(
    ([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`,
  );
  writeFileSync(join(folder, 'parameters'), lines.join('\n'));
  const places = [
    '--parameters',
    join(folder, 'parameters'),
    '--folder',
    '/var/lib/leasehold',
    '--user',
    'nobody',
  ];
  const words = [agent, 'configure', '--config', join(folder, 'host.json'), ...places];
  const env = {
    PATH: process.env['PATH'],
    AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
  };
  return await new Promise((resolve) => {
    execFile(process.execPath, words, { env, timeout: 50_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}

test('the configuration has who and where this host is, and its secrets, for its owner alone', async () => {
  const { code, output } = await configure();
  expect(output).toContain('host.json: database node-1 of main');
  expect(code).toBe(0);
  expect(JSON.parse(readFileSync(join(folder, 'host.json'), 'utf8'))).toMatchObject({
    instanceId: 'i-0123456789abcdef0',
    host: '127.0.0.1',
    secrets: { superuser: { name: 'postgres', password: 'p1' }, cluster: 'p3' },
  });
  expect(statSync(join(folder, 'host.json')).mode & 0o777).toBe(0o600);
  expect(metadata.asked).toContain('api/token');
});

test('a secret that is not there is named, and the configuration stays as it was', async () => {
  await configure();
  const before = readFileSync(join(folder, 'host.json'), 'utf8');
  const { code, output } = await configure({ node: 'node-2', 'secrets.cluster': 'gone' });
  expect(code).toBe(1);
  expect(output).toContain("secrets.cluster: gone could not be read: denied: Secrets Manager can't find");
  expect(output).not.toContain('p1');
  expect(readFileSync(join(folder, 'host.json'), 'utf8')).toBe(before);
});
