/** `leasehold up` and `down` as a person uses them, and what they promise when something is killed or broken off in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sleepMs } from '../../adapters/clock.ts';
import { isProcessAlive, listPids, processTitle, sendSignal } from '../../adapters/process.ts';
import { clusterFolder, readRuntimeFile } from '../../cli/cluster/cluster-folder.ts';
import { type Endpoints, readEndpoints } from '../../cli/cluster/endpoints.ts';
import { hostProcesses } from '../../local/runtime/process-family.ts';
import { eventually, threeNodes } from './support/cluster-sandbox.ts';

const cli = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'cli', 'main.ts');
let project = '';

interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** As a shell tells of a program that a signal ended, which one does that has not read its own code yet. */
const codeOfSignal = (signal: NodeJS.Signals | null) =>
  signal === null ? null : 128 + constants.signals[signal];

function leasehold(...args: string[]): { child: ChildProcess; finished: Promise<Finished> } {
  const child = spawn(process.execPath, [cli, ...args, '--folder', project], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const finished = new Promise<Finished>((resolve) =>
    child.once('close', (code, signal) => resolve({ code: code ?? codeOfSignal(signal), output })),
  );
  return { child, finished };
}

const run = (...args: string[]) => leasehold(...args).finished;
const file = () => join(project, 'cluster.json');
const folder = () => clusterFolder(project, 'main');

function makeProject(): void {
  project = mkdtempSync(join(tmpdir(), 'leasehold-up-'));
  // Otherwise PostgreSQL's user could not enter it, and data would go elsewhere.
  chmodSync(project, 0o755);
  writeFileSync(file(), JSON.stringify(threeNodes()));
}

async function removeProject(): Promise<void> {
  if (existsSync(folder().path)) await run('down', '--remove-data');
  rmSync(project, { recursive: true, force: true });
}

function endpoints(): Endpoints {
  const found = readEndpoints(folder());
  if (found === null) throw new Error('there is no endpoints.json');
  return found;
}

/** Every living process that the cluster has, its runtime included. */
function processes(): number[] {
  const runtime = listPids().filter((pid) => processTitle(pid).includes(`--folder ${project}`));
  const state = existsSync(folder().state) ? JSON.parse(readFileSync(folder().state, 'utf8')) : null;
  const hosts = state === null ? [] : Object.keys(state.hosts).map((id) => join(state.hostsFolder, id));
  return [...runtime, ...hosts.flatMap((host) => hostProcesses(host))];
}

async function query<Row extends object>(dsn: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: dsn, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('leasehold up', () => {
  beforeAll(async () => {
    makeProject();
    const up = await run('up', file());
    expect(up, up.output).toMatchObject({ code: 0 });
  });

  afterAll(removeProject);

  it('returns when every node streams, and endpoints.json, which its owner alone may read, says where all is', async () => {
    const found = endpoints();
    expect(Object.keys(found).sort()).toEqual(
      [
        'accessKeyId',
        'awsEndpointUrl',
        'cluster',
        'documents',
        'dsn',
        'nodes',
        'region',
        'secretAccessKey',
        'stateMachineArn',
        'tableName',
      ].sort(),
    );
    expect(Object.keys(found.dsn).sort()).toEqual(['endpoint', 'nodes', 'pgbouncer', 'primary', 'replicas']);
    expect(Object.keys(found.nodes).sort()).toEqual(['node1', 'node2', 'node3']);
    expect(statSync(folder().endpoints).mode & 0o777).toBe(0o600);
    for (const { agentPid, guardPid, ssmPid, postmasterPid } of Object.values(found.nodes)) {
      for (const pid of [agentPid, guardPid, ssmPid, postmasterPid])
        expect(isProcessAlive(pid ?? 0)).toBe(true);
    }
    const roles = await Promise.all(
      Object.values(found.dsn.nodes).map((dsn) =>
        query<{ standby: boolean }>(dsn, 'select pg_is_in_recovery() standby'),
      ),
    );
    expect(roles.filter(([row]) => row?.standby === false)).toHaveLength(1);
    for (const dsn of [found.dsn.endpoint, found.dsn.pgbouncer, found.dsn.primary]) {
      expect(await query(dsn, 'select pg_is_in_recovery() standby')).toEqual([{ standby: false }]);
    }
    expect(await query(found.dsn.replicas, 'select pg_is_in_recovery() standby')).toEqual([
      { standby: true },
    ]);
  });

  it('says that a running cluster runs, and leaves it alone', async () => {
    const before = readRuntimeFile(folder())?.pid;
    const again = await run('up', file());
    expect(again.code).toBe(0);
    expect(again.output).toContain('running already');
    expect(readRuntimeFile(folder())?.pid).toBe(before);
  });

  it('shows a new pid in endpoints.json soon after an agent was killed and started again', async () => {
    const pid = endpoints().nodes['node2']?.agentPid ?? 0;
    sendSignal(pid, 'SIGKILL');
    await eventually('another agent', () => {
      const now = endpoints().nodes['node2']?.agentPid ?? null;
      return now !== null && now !== pid;
    });
  });

  it('brings the same cluster back with its data after everything was killed', async () => {
    const before = endpoints();
    await query(before.dsn.endpoint, 'create table kept (id int)');
    await query(before.dsn.endpoint, 'insert into kept values (1), (2)');
    const [{ id: system } = { id: '' }] = await query<{ id: string }>(
      before.dsn.endpoint,
      'select system_identifier::text as id from pg_control_system()',
    );
    // Several rounds: what is alive when the runtime dies may still start something.
    for (let round = 0; round < 3; round += 1) for (const pid of processes()) sendSignal(pid, 'SIGKILL');
    await eventually('that nothing runs', () => processes().length === 0);
    const up = await run('up', file());
    expect(up, up.output).toMatchObject({ code: 0 });
    const after = endpoints();
    expect(after.dsn).toEqual(before.dsn);
    expect(await query(after.dsn.endpoint, 'select count(*)::int as count from kept')).toEqual([
      { count: 2 },
    ]);
    expect(
      await query(after.dsn.endpoint, 'select system_identifier::text as id from pg_control_system()'),
    ).toEqual([{ id: system }]);
  });

  it('finds the hosts that a killed runtime left running', async () => {
    const runtime = readRuntimeFile(folder());
    sendSignal(runtime?.pid ?? 0, 'SIGKILL');
    await eventually('its end', () => !isProcessAlive(runtime?.pid ?? 0));
    expect(processes().length).toBeGreaterThan(0);
    const up = await run('up', file());
    expect(up, up.output).toMatchObject({ code: 0 });
    expect(await query(endpoints().dsn.endpoint, 'select count(*)::int as count from kept')).toEqual([
      { count: 2 },
    ]);
  });

  it('goes down with `down`, keeps its data, and leaves no process', async () => {
    const down = await run('down');
    expect(down, down.output).toMatchObject({ code: 0 });
    expect(processes()).toEqual([]);
    expect(existsSync(folder().endpoints)).toBe(false);
    expect(existsSync(folder().state)).toBe(true);
    const status = await run('status');
    expect(status).toMatchObject({ code: 1 });
    expect(status.output).toContain('leasehold up');
  });

  it('ends with `down` also what a killed runtime left running, and with --remove-data its files', async () => {
    expect((await run('up', file())).code).toBe(0);
    sendSignal(readRuntimeFile(folder())?.pid ?? 0, 'SIGKILL');
    const down = await run('down', '--remove-data');
    expect(down, down.output).toMatchObject({ code: 0 });
    expect(processes()).toEqual([]);
    expect(existsSync(folder().path)).toBe(false);
  });
});

describe('leasehold up, broken off', () => {
  afterEach(removeProject);

  it.each([
    ['SIGINT', 130, 300],
    ['SIGTERM', 143, 1_500],
    ['SIGINT', 130, 3_000],
  ] as const)(
    'by %s ends with %i and leaves nothing running (after %i ms)',
    async (signal, code, afterMs) => {
      makeProject();
      const { child, finished } = leasehold('up', file());
      await sleepMs(afterMs);
      child.kill(signal);
      expect((await finished).code).toBe(code);
      expect(processes()).toEqual([]);
      expect(existsSync(folder().endpoints)).toBe(false);
    },
  );

  it('in the middle of a bootstrap can be repeated', async () => {
    makeProject();
    const { child, finished } = leasehold('up', file());
    await eventually('a data directory in the making', () =>
      ['node1', 'node2', 'node3'].some((id) => existsSync(join(folder().hosts, id, 'data'))),
    ).catch(() => undefined);
    child.kill('SIGINT');
    await finished;
    const up = await run('up', file());
    expect(up, up.output).toMatchObject({ code: 0 });
  });
});

describe('leasehold up, where the user that PostgreSQL runs as cannot reach the project', () => {
  afterEach(removeProject);

  it('puts data elsewhere, names the folder, and removes it when it goes down', async (context) => {
    if (process.getuid?.() !== 0) context.skip('needs root, who alone runs PostgreSQL as another user');
    makeProject();
    chmodSync(project, 0o700);
    writeFileSync(file(), JSON.stringify(threeNodes({ nodes: [{ id: 'node1' }] })));
    const up = await run('up', file());
    expect(up, up.output).toMatchObject({ code: 0 });
    const { hostsFolder } = JSON.parse(readFileSync(folder().state, 'utf8')) as { hostsFolder: string };
    expect(hostsFolder.startsWith(`${tmpdir()}/`)).toBe(true);
    expect(up.output).toContain(hostsFolder);
    const down = await run('down');
    expect(down, down.output).toMatchObject({ code: 0 });
    expect([existsSync(hostsFolder), existsSync(folder().path)]).toEqual([false, false]);
  });
});

describe('leasehold up, refused', () => {
  afterEach(removeProject);

  it.each([
    ['{"cluster":"main","nodes":[]}', 'nodes'],
    ['{"cluster":"main","nodes":[{"id":"a","prot":1}]}', 'prot'],
    ['{"cluster":"build","nodes":[{"id":"a"}]}', 'build'],
    ['{', 'cluster.json'],
  ])('names what is wrong with %s', async (content, named) => {
    makeProject();
    writeFileSync(file(), content);
    const up = await run('up', file());
    expect(up.code).toBe(1);
    expect(up.output).toContain(named);
    expect(up.output).not.toContain('    at ');
  });

  it('names a port that the cluster file gives and somebody else has', async () => {
    const { createServer } = await import('node:net');
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    try {
      makeProject();
      writeFileSync(file(), JSON.stringify(threeNodes({ nodes: [{ id: 'node1', port }] })));
      const up = await run('up', file());
      expect(up.code).toBe(1);
      expect(up.output).toContain(`port ${port}`);
      expect(processes()).toEqual([]);
    } finally {
      server.close();
    }
  });
});
