/**
 * What the trials of a host have in common: the real artifact, the rendered user data, and what the host finds of AWS (a metadata service, a
 * bucket that verifies signatures, a Secrets Manager and a DynamoDB), all on loopback.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type ClusterStore, createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { newRecord } from '../../adapters/workflow/record-cluster.ts';
import { defaultSpec } from '../../core/model/cluster-record.ts';
import { hostUserData } from '../../infra/host-user-data.ts';
import { type Architecture, nodeRuntime } from '../../local/artifact/node-runtime.ts';
import { writeArtifact } from '../../local/artifact/write-artifact.ts';
import { checkout } from '../../local/runtime/build-artifacts.ts';
import { startTestTable } from '../support/dynamo-table.ts';
import { startInstanceMetadata } from '../support/instance-metadata.ts';
import { startSecretsManager } from '../support/secrets-manager.ts';
import { startSignedBucket } from '../support/signed-bucket.ts';

const region = 'eu-west-1';
const tableName = 'Leasehold-Clusters';
const volumeBytes = 512 * 1024 * 1024;
/** Where a trial has the links by which a volume is found. */
const byId = 'root/by-id';

export const say = (line: string) => void process.stdout.write(`--- ${line}\n`);
export const system = (...[file = '', ...words]: string[]) =>
  execFileSync(file, words, { encoding: 'utf8' }).trim();

/** The artifact of this checkout for this machine. */
export async function buildArtifact(folder: string): Promise<{ path: string; sha256: string }> {
  const architecture = process.arch as Architecture;
  const nodeProgram = await nodeRuntime(checkout, architecture, join(checkout, '.build', 'node'));
  const artifact = await writeArtifact({ checkout, nodeProgram, architecture }, folder);
  say(`${basename(artifact.path)}: ${artifact.bytes} bytes`);
  return artifact;
}

export function userData(sha256: string, role: 'database' | 'proxy' = 'database'): string {
  const initScript = 'echo first primary';
  const postgres = { major: 15, settings: { work_mem: '8MB' }, dataVolumeId: 'vol-0abc', initScript };
  return hostUserData({
    role,
    ...{ cluster: 'main', node: role === 'proxy' ? 'proxy-1' : 'node-1', region, tableName },
    stateMachineArn: `arn:aws:states:${region}:123456789012:stateMachine:Leasehold-failover`,
    secrets: { superuser: 'superuser', replication: 'replication', cluster: 'cluster' },
    artifact: { bucket: 'artifacts', key: 'agent.tar.gz', sha256 },
    ports: {
      ...{ postgres: 25432, rest: 28008, wake: 28009, endpoint: 25000, pgbouncer: 26432 },
      ...{ primary: 25001, replicas: 25002 },
    },
    ...(role === 'proxy' ? { poolSize: 20 } : { postgres }),
  });
}

/** What the host's programs find of AWS, as their environment. */
export async function startServices(
  objects: Readonly<Record<string, Buffer>>,
  undo: (() => unknown)[],
): Promise<{ environment: string[]; store: ClusterStore }> {
  const metadata = await startInstanceMetadata({
    'meta-data/instance-id': 'i-0123456789abcdef0',
    'meta-data/local-ipv4': '127.0.0.1',
    'meta-data/placement/region': region,
    'meta-data/placement/availability-zone': `${region}a`,
  });
  const bucket = await startSignedBucket(region);
  for (const [key, bytes] of Object.entries(objects)) bucket.objects.set(`/artifacts/${key}`, bytes);
  const secrets = await startSecretsManager({
    superuser: '{"username":"postgres","password":"trial-1"}',
    replication: '{"username":"replicator","password":"trial-2"}',
    cluster: 'trial-3',
  });
  const table = await startTestTable(tableName);
  const client = createDynamoClient(table.config);
  const store = createClusterStore({ client, tableName, cluster: 'main' });
  await store.createRecord(newRecord({ cluster: 'main', spec: defaultSpec, proxies: [] }));
  undo.push(
    metadata.close,
    bucket.close,
    secrets.close,
    () => table.close(),
    () => client.destroy(),
  );
  const environment = [
    `AWS_EC2_METADATA_SERVICE_ENDPOINT=${metadata.url}`,
    `AWS_ENDPOINT_URL_S3=${bucket.url}`,
    `AWS_ENDPOINT_URL_SECRETS_MANAGER=${secrets.url}`,
    `AWS_ENDPOINT_URL=${table.config.endpoint}`,
    `LEASEHOLD_BY_ID=/${byId}`,
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ];
  return { environment, store };
}

/** An empty volume, as a loop device, with its link in the root. */
export function attachVolume(root: string, work: string, undo: (() => unknown)[]): string {
  const image = join(work, 'volume');
  writeFileSync(image, '');
  truncateSync(image, volumeBytes);
  const device = system('losetup', '--find', '--show', image);
  undo.push(() => system('losetup', '--detach', device));
  undo.push(() => run(['umount', join(root, 'var/lib/leasehold')]));
  rmSync(join(root, byId), { recursive: true, force: true });
  mkdirSync(join(root, byId), { recursive: true });
  symlinkSync(device, join(root, byId, 'nvme-Amazon_Elastic_Block_Store_vol0abc'));
  return device;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Its output is this one's; not synchronous, because the services above must answer meanwhile. */
export function run([file = '', ...words]: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, words, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** In the order opposite to that in which it was done; what cannot be undone is told, and the rest is. */
export async function undoAll(undo: readonly (() => unknown)[]): Promise<void> {
  for (const one of undo.toReversed()) {
    try {
      await one();
    } catch (error) {
      say(`left over: ${String(error)}`);
    }
  }
}
