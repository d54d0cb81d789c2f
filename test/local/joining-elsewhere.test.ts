/**
 * Hosts that join a control plane elsewhere, up to the moment before they boot: the cluster is recorded in that control plane's table, and
 * every host is configured for it and for none of its own.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clusterFolder } from '../../cli/cluster/cluster-folder.ts';
import { readEndpoints } from '../../cli/cluster/endpoints.ts';
import { storeOf } from '../../cli/cluster/runtime-process.ts';
import { parseClusterFile } from '../../core/wire/parse-cluster-file.ts';
import { createEmbeddedCluster } from '../../local/runtime/embedded-cluster.ts';
import { type ControlPlane, embeddedControlPlane } from '../support/embedded-control-plane.ts';

const project = mkdtempSync(join(tmpdir(), 'leasehold-joining-'));
let controlPlane: ControlPlane;
beforeAll(async () => {
  // Otherwise PostgreSQL's user could not enter it, and the hosts would be elsewhere.
  chmodSync(project, 0o755);
  controlPlane = await embeddedControlPlane();
});
afterAll(async () => {
  await controlPlane?.close();
  rmSync(project, { recursive: true, force: true });
});

const file = (change: object = {}) =>
  parseClusterFile({ cluster: 'joined', nodes: [{ id: 'node1' }], proxies: [], ...change });

/** A report that breaks the start off when it has come to `detail`. */
const upTo = (detail: string) => ({
  set(change: { readonly detail?: string }) {
    if (change.detail === detail) throw new Error(`come to: ${detail}`);
  },
});

test('they are recorded there, configured for it, and have nobody who plays Run Command', async () => {
  const { address } = controlPlane;
  const folder = clusterFolder(project, 'joined');
  mkdirSync(folder.path, { recursive: true, mode: 0o755 });
  const cluster = createEmbeddedCluster(folder, file(), upTo('booting the hosts'), 'none', address);
  await expect(cluster.up(new AbortController().signal)).rejects.toThrow('come to: booting the hosts');
  const endpoints = readEndpoints(folder);
  expect(endpoints).toMatchObject({
    awsEndpointUrl: address.awsEndpointUrl,
    accessKeyId: address.accessKeyId,
    tableName: address.tableName,
    stateMachineArn: address.stateMachineArn,
    documents: address.documents,
    nodes: { node1: { agentPid: null, ssmPid: null } },
  });
  if (endpoints === null) throw new Error('no endpoints');
  const head = await storeOf(endpoints).readHead();
  expect(head).toMatchObject({ kind: 'ok', value: { record: { cluster: 'joined' } } });
  const host = cluster.hosts.get('node1');
  expect(host?.worker).toBeNull();
  const config = JSON.parse(readFileSync(join(host?.folder ?? '', 'config.json'), 'utf8')) as object;
  expect(config).toMatchObject({ tableName: address.tableName, stateMachineArn: address.stateMachineArn });
  expect(host?.agent.program.env).toMatchObject({
    AWS_ENDPOINT_URL: address.awsEndpointUrl,
    AWS_ACCESS_KEY_ID: address.accessKeyId,
  });
  await cluster.down();
  expect(readEndpoints(folder)).toBeNull();
});

test('hosts with a network of their own are refused, because nothing leads from there to it', async () => {
  const folder = clusterFolder(project, 'joined');
  const report = { set: () => undefined };
  const cluster = createEmbeddedCluster(
    folder,
    file({ hosts: 'netns' }),
    report,
    'none',
    controlPlane.address,
  );
  await expect(cluster.up(new AbortController().signal)).rejects.toThrow(
    'netns cannot join a control plane elsewhere',
  );
  await cluster.down();
});
