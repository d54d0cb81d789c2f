/**
 * The first boot of an instance: the rendered user data really runs, against a metadata service and a bucket on loopback, in folders of the
 * test's own. What the values of its parameters are can change nothing but the parameters.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostUserDataProps, hostUserData } from '../../infra/host-user-data.ts';
import { type InstanceMetadata, startInstanceMetadata } from '../support/instance-metadata.ts';
import { type SignedBucket, startSignedBucket } from '../support/signed-bucket.ts';

let folder: string;
let metadata: InstanceMetadata;
let bucket: SignedBucket;
let props: HostUserDataProps;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-boot-'));
  metadata = await startInstanceMetadata({});
  bucket = await startSignedBucket('eu-west-1');
  const archive = await artifact('0.1.0-abc', 'exit 0');
  bucket.objects.set('/artifacts.of.mine/agent one/x64.tar.gz', archive.bytes);
  props = {
    role: 'database',
    cluster: 'main',
    node: 'node-1',
    region: 'eu-west-1',
    tableName: 'Leasehold-Clusters',
    stateMachineArn: 'arn:aws:states:eu-west-1:123456789012:stateMachine:Leasehold-failover',
    secrets: { superuser: 'super', replication: 'replication', cluster: 'cluster' },
    artifact: { bucket: 'artifacts.of.mine', key: 'agent one/x64.tar.gz', sha256: archive.sha256 },
    ports: {
      postgres: 5432,
      rest: 8008,
      wake: 8009,
      endpoint: 5432,
      pgbouncer: 6432,
      primary: 5433,
      replicas: 5434,
    },
    postgres: { major: 17, settings: { work_mem: '8MB' }, dataVolumeId: 'vol-0123456789abcdef0' },
  };
});
afterEach(async () => {
  await metadata.close();
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An artifact whose installer notes that it ran, and then does `then`. */
async function artifact(version: string, then: string): Promise<{ bytes: Buffer; sha256: string }> {
  const sources = join(folder, 'sources');
  mkdirSync(sources, { recursive: true });
  writeFileSync(join(sources, 'VERSION'), `${version}\n`);
  const installer = `#!/bin/bash\necho "$0 $*" >>"$LEASEHOLD_ETC/installed"\n${then}\n`;
  writeFileSync(join(sources, 'install.sh'), installer, { mode: 0o755 });
  const archive = join(folder, 'artifact.tar.gz');
  await run('tar', ['-czf', archive, '-C', sources, 'VERSION', 'install.sh']);
  const bytes = readFileSync(archive);
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function run(file: string, words: readonly string[]): Promise<{ code: number; output: string }> {
  const env = {
    PATH: process.env['PATH'],
    TMPDIR: folder,
    LEASEHOLD_OPT: join(folder, 'opt'),
    LEASEHOLD_ETC: join(folder, 'etc'),
    LEASEHOLD_BOOT_PAUSE_S: '0.05',
    AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
    AWS_ENDPOINT_URL_S3: bucket.url,
  };
  return new Promise((resolve) => {
    execFile(file, [...words], { env, cwd: folder, timeout: 30_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? 1);
      resolve({ code, output: `${stdout}${stderr}` });
    });
  });
}

async function boot(given: HostUserDataProps = props): Promise<{ code: number; output: string }> {
  const script = join(folder, 'user-data');
  writeFileSync(script, hostUserData(given), { mode: 0o755 });
  return await run(script, []);
}

const installed = () => {
  const path = join(folder, 'etc', 'installed');
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
};

function parameters(): Record<string, string> {
  const lines = readFileSync(join(folder, 'etc', 'parameters'), 'utf8')
    .trimEnd()
    .split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(' ');
      return [name, Buffer.from(value, 'base64').toString()];
    }),
  );
}

test('the artifact is fetched with the role of the instance, verified, unpacked, and its installer is run', async () => {
  const { code, output } = await boot();
  expect(output).toContain('0.1.0-abc is unpacked');
  expect(code).toBe(0);
  expect(bucket.statuses).toEqual([200]);
  const opt = join(folder, 'opt');
  expect(installed()).toEqual([
    `${join(opt, '0.1.0-abc', 'install.sh')} ${join(folder, 'etc', 'parameters')}`,
  ]);
  expect(readdirSync(opt)).toEqual(['0.1.0-abc']);
  expect(parameters()).toMatchObject({
    role: 'database',
    'secrets.superuser': 'super',
    'ports.rest': '8008',
    'postgres.major': '17',
    'postgres.settings.work_mem': '8MB',
  });
  expect(statSync(join(folder, 'etc', 'parameters')).mode & 0o777).toBe(0o600);
});

test('a second boot fetches nothing again and runs the installer again', async () => {
  await boot();
  expect((await boot()).code).toBe(0);
  expect(bucket.statuses).toEqual([200]);
  expect(installed()).toHaveLength(2);
});

test('an artifact of another checksum is refused, and nothing of it is left', async () => {
  const sha256 = '0'.repeat(64);
  const { code, output } = await boot({ ...props, artifact: { ...props.artifact, sha256 } });
  expect(code).not.toBe(0);
  expect(output).toMatch(/leasehold: Failed: s3:.* has SHA-256 [0-9a-f]{64}; 0{64} was expected/);
  expect(installed()).toEqual([]);
  expect(readdirSync(join(folder, 'opt'))).toEqual([]);
});

test('an artifact that is not there is asked for again some times, then the boot fails and says why', async () => {
  bucket.objects.clear();
  const { code, output } = await boot();
  expect(code).not.toBe(0);
  expect(bucket.statuses).toEqual(Array.from({ length: 10 }, () => 404));
  expect(output).toMatch(/could not be fetched: HTTP Error 404/);
});

test('a failing installer fails the boot', async () => {
  const archive = await artifact('0.2.0', 'exit 7');
  bucket.objects.set('/artifacts.of.mine/agent one/x64.tar.gz', archive.bytes);
  const { code, output } = await boot({ ...props, artifact: { ...props.artifact, sha256: archive.sha256 } });
  expect(code).not.toBe(0);
  expect(output).toContain('failed with exit code 7');
});

test('no value of a parameter becomes shell code or another parameter', async () => {
  const hostile = [
    "'; touch HOSTILE; '",
    '$(touch HOSTILE)',
    '`touch HOSTILE`',
    '\nEND_OF_PARAMETERS\ntouch HOSTILE\n',
    '"\nrole cHJveHk=\n"',
    '\\"; touch HOSTILE #',
    '${HOME} && touch HOSTILE',
    '-e touch HOSTILE',
    'ein Wört',
  ];
  for (const evil of hostile) {
    const { code } = await boot({
      ...props,
      ...{ cluster: evil, node: evil, tableName: evil, stateMachineArn: evil },
      secrets: { superuser: evil, replication: evil, cluster: evil },
      postgres: { major: 17, settings: {}, dataVolumeId: evil, initScript: evil, replicaInitScript: evil },
    });
    expect(code, evil).toBe(0);
    expect(parameters()).toMatchObject({
      ...{ role: 'database', cluster: evil, node: evil, tableName: evil, stateMachineArn: evil },
      ...{ 'secrets.superuser': evil, 'postgres.dataVolumeId': evil, 'postgres.initScript': evil },
    });
    expect(readdirSync(folder, { recursive: true }).filter((name) => `${name}`.includes('HOSTILE'))).toEqual(
      [],
    );
  }
});

test('the bucket, the key and the checksum of an artifact become no code either', async () => {
  for (const evil of ["'; touch HOSTILE; '", '$(touch HOSTILE)', '../../x\nHost: y']) {
    const { code } = await boot({ ...props, artifact: { bucket: evil, key: evil, sha256: evil } });
    expect(code).not.toBe(0);
    expect(readdirSync(folder, { recursive: true }).filter((name) => `${name}`.includes('HOSTILE'))).toEqual(
      [],
    );
  }
});
