/** `leasehold init` against a control plane that no host has joined: a cluster is recorded once, changed when its file is, and nothing else of it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClusterStore, createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { type ControlPlane, embeddedControlPlane } from '../support/embedded-control-plane.ts';

const run = promisify(execFile);
const main = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'leasehold-init-'));
let controlPlane: ControlPlane;
let store: ClusterStore;
let client: ReturnType<typeof createDynamoClient>;

beforeAll(async () => {
  controlPlane = await embeddedControlPlane();
  const { awsEndpointUrl: endpoint, region, accessKeyId, secretAccessKey, tableName } = controlPlane.address;
  client = createDynamoClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  store = createClusterStore({ client, tableName, cluster: 'orders' });
});
afterAll(async () => {
  client?.destroy();
  await controlPlane?.close();
  rmSync(folder, { recursive: true, force: true });
});

const good = {
  cluster: 'orders',
  nodes: [{ id: 'node-1' }],
  proxies: [{ id: 'proxy-1' }, { id: 'proxy-2' }],
};

/** As on AWS: where the table is comes from the environment. */
async function init(file: object, ...options: string[]): Promise<{ code: number; text: string }> {
  const { awsEndpointUrl, region, accessKeyId, secretAccessKey, tableName } = controlPlane.address;
  const path = join(folder, 'cluster.json');
  writeFileSync(path, JSON.stringify(file));
  const env = {
    PATH: process.env['PATH'],
    AWS_ENDPOINT_URL: awsEndpointUrl,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    LEASEHOLD_TABLE: tableName,
  };
  try {
    const { stdout } = await run(process.execPath, [main, 'init', path, ...options], {
      env,
      timeout: 30_000,
    });
    return { code: 0, text: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, text: stderr };
  }
}

const recorded = async () => {
  const head = await store.readHead();
  if (head.kind !== 'ok') throw new Error(head.message);
  return head.value.record;
};

test('a cluster is recorded as its file says, and waits for its first host', async () => {
  expect(await init(good)).toEqual({ code: 0, text: 'orders is recorded: its hosts can begin\n' });
  expect(await recorded()).toMatchObject({
    cluster: 'orders',
    version: 1,
    members: [],
    proxies: ['proxy-1', 'proxy-2'],
    failoverState: 'stable',
    systemIdentifier: null,
  });
});

test('the same file again changes nothing, and another one only what it says', async () => {
  const before = await recorded();
  expect((await init(good)).text).toContain('like that already');
  expect(await recorded()).toEqual(before);
  const changed = { ...good, lease: { ttlMs: 9_000, heartbeatMs: 1_000 }, proxies: [{ id: 'proxy-1' }] };
  expect((await init(changed)).text).toContain('recorded anew');
  const after = await recorded();
  expect(after).toMatchObject({ uid: before?.uid, version: 2, proxies: ['proxy-1'] });
  expect(after?.spec).not.toEqual(before?.spec);
});

test('what is wrong is said, and nothing is recorded', async () => {
  const before = await recorded();
  expect(await init({ ...good, nodes: [{ id: 'NODE' }] })).toMatchObject({
    code: 1,
    text: expect.stringContaining('NODE'),
  });
  expect(await init(good, '--cluster', 'main')).toMatchObject({
    code: 1,
    text: expect.stringContaining('the file is of orders'),
  });
  expect(await init(good, '--table', 'Absent')).toMatchObject({
    code: 1,
    text: expect.stringContaining('could not be recorded'),
  });
  expect(await recorded()).toEqual(before);
});

test('data that exists is named by its node and its system, both', async () => {
  const adopt = (...options: string[]) => init({ ...good, cluster: 'orders' }, ...options);
  expect((await adopt('--adopt', 'node-1')).text).toContain('--adopt and --system-identifier go together');
  const wrong = await adopt('--adopt', 'node-9', '--system-identifier', '7551234567890123456');
  expect(wrong.text).toContain('--adopt was "node-9"; it takes a node of the file: node-1');
  const number = await adopt('--adopt', 'node-1', '--system-identifier', 'latest');
  expect(number.text).toContain('--system-identifier was "latest"');
  expect((await recorded())?.bootstrap).toBeNull();
  const told = await adopt('--adopt', 'node-1', '--system-identifier', '7551234567890123456');
  expect(told.code).toBe(0);
  expect((await recorded())?.bootstrap).toMatchObject({ node: 'node-1', adopts: 7_551_234_567_890_123_456n });
});
