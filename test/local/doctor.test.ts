/**
 * `leasehold-agent doctor` as a person runs it: a process of its own on a host's folder, with the cluster's table, a peer and a guard that are
 * really there. Each trouble is made, told, and mended.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { startTestTable, type TestTable } from '../support/dynamo-table.ts';
import { sampleNodeReport, sampleRecord } from '../support/samples.ts';

const checkout = join(dirname(fileURLToPath(import.meta.url)), '../..');
let folder: string;
let table: TestTable;
let peer: Server;
let guard: ChildProcess | null = null;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-doctor-'));
  chmodSync(folder, 0o755);
  for (const name of ['run', 'log', 'data/pgdata']) mkdirSync(join(folder, name), { recursive: true });
  chmodSync(join(folder, 'data/pgdata'), 0o700);
  table = await startTestTable();
  peer = createServer((_request, response) => response.end('{}'));
  await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  guard?.kill('SIGKILL');
  peer.close();
  await table.close();
  rmSync(folder, { recursive: true, force: true });
});

async function writeConfig(change: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const found = await findInstallation();
  if (found.kind !== 'installation') throw new Error('no PostgreSQL');
  const secret = { name: 'someone', password: 'p' };
  const config = {
    ...{ role: 'database', cluster: 'main', node: 'node9', instanceId: 'i-1', region: 'us-east-1' },
    ...{ tableName: table.tableName, folder, host: '127.0.0.1', restPort: 0, wakePort: 0, runAs: null },
    stateMachineArn: 'arn:aws:states:us-east-1:123456789012:stateMachine:Leasehold-failover',
    ...{ actions: 'both', secrets: { superuser: secret, replication: secret, cluster: 'c' } },
    ...{ tags: { nofailover: false, failoverPriority: 0 }, watchdog: null },
    postgres: { binDir: found.binDir, port: 1, listen: '127.0.0.1', settings: {} },
    ...change,
  };
  writeFileSync(join(folder, 'host.json'), JSON.stringify(config), { mode: 0o600 });
}

interface Told {
  readonly code: number;
  readonly states: Readonly<Record<string, string>>;
  readonly found: Readonly<Record<string, string>>;
}

async function doctor(): Promise<Told> {
  const words = [join(checkout, 'agent/main.ts'), 'doctor', '--json', '--config', join(folder, 'host.json')];
  const env = {
    PATH: process.env['PATH'],
    AWS_ENDPOINT_URL: table.config.endpoint,
    ...{ AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
  };
  const [code, text] = await new Promise<[number, string]>((resolve) => {
    execFile(process.execPath, words, { env, timeout: 50_000 }, (error, stdout) =>
      resolve([error === null ? 0 : Number(error.code ?? 1), stdout]),
    );
  });
  const list = JSON.parse(text) as { id: string; state: string; found: string }[];
  return {
    code,
    states: Object.fromEntries(list.map(({ id, state }) => [id, state])),
    found: Object.fromEntries(list.map(({ id, found }) => [id, found])),
  };
}

/** The cluster has its record, and one other node, which answers. */
async function writeCluster(restPort: number): Promise<void> {
  const client = createDynamoClient(table.config);
  const store = createClusterStore({ client, tableName: table.tableName, cluster: 'main' });
  await store.createRecord({ ...sampleRecord, cluster: 'main' });
  await store.putNodeReport({
    ...sampleNodeReport,
    addresses: { ...sampleNodeReport.addresses, host: '127.0.0.1', restPort },
  });
  client.destroy();
}

async function startGuard(): Promise<void> {
  const fifo = join(folder, 'run/guard.fifo');
  await new Promise((resolve) => execFile('mkfifo', [fifo], resolve));
  guard = spawn('bash', [join(checkout, 'agent/guard.sh'), fifo, join(folder, 'data/pgdata'), '/bin/none']);
  while (!existsSync(`${fifo}.pid`)) await new Promise((resolve) => setTimeout(resolve, 10));
}

test('on a host that is well no check fails, and the exit code is 0', async () => {
  await writeConfig();
  await writeCluster((peer.address() as AddressInfo).port);
  await startGuard();
  // The agent, as far as its file tells: a process that lives.
  writeFileSync(join(folder, 'run/agent.json'), JSON.stringify({ pid: process.pid, restPort: 0 }));
  const { code, states, found } = await doctor();
  expect(Object.entries(states).filter(([, state]) => state === 'failed')).toEqual([]);
  expect(states).toMatchObject({
    configuration: 'ok',
    agent: 'ok',
    guard: 'ok',
    dynamodb: 'ok',
    peers: 'ok',
    time: 'ok',
  });
  expect(found['programs']).toMatch(/^PostgreSQL \d/);
  expect(code).toBe(0);
});

test('what is wrong is told by its own check, and the exit code is 1', async () => {
  await writeConfig({ postgres: { binDir: folder, port: 1, listen: '127.0.0.1', settings: {} } });
  chmodSync(join(folder, 'host.json'), 0o640);
  chmodSync(join(folder, 'data/pgdata'), 0o755);
  if (process.getuid?.() === 0) chownSync(folder, 0, 0);
  await writeCluster(1);
  const { code, states } = await doctor();
  expect(states).toMatchObject({
    ...{ configuration: 'failed', folder: 'failed', programs: 'failed', agent: 'failed', guard: 'failed' },
    ...{ dynamodb: 'ok', peers: 'failed', secrets: 'skipped', watchdog: 'skipped' },
  });
  expect(code).toBe(1);
});

test('a table that is not there, and ports in use while no agent runs, are told', async () => {
  const { port } = peer.address() as AddressInfo;
  await writeConfig({ tableName: 'another', restPort: port });
  const { states, found } = await doctor();
  expect(states).toMatchObject({ dynamodb: 'failed', ports: 'warning' });
  expect(found['ports']).toContain(`rest ${port}`);
});
