/** Who may join a cluster and who is refused, a machine that takes another one's place, slots before they are needed, and an agent that restarts. */
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { ok } from '../../adapters/aws/store-answer.ts';
import { runSingleUser } from '../../adapters/postgres/initialise.ts';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import { sendSignal } from '../../adapters/process.ts';
import { forgetHost } from '../../adapters/workflow/forget-host.ts';
import { ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import { DiskState } from '../../agent/disk-state.ts';
import { AgentsSandbox, type SandboxAgent, serverPids } from './support/agents-sandbox.ts';

let sandbox: AgentsSandbox | null = null;

afterEach(async () => {
  await sandbox?.close();
  sandbox = null;
});

async function clusterOf(...nodes: string[]): Promise<AgentsSandbox> {
  sandbox = await AgentsSandbox.open({ maxNodes: 2 });
  for (const node of nodes) (await sandbox.addAgent(node)).start();
  await sandbox.untilRedundant(nodes.length - 1);
  return sandbox;
}

/** A data directory of its own on this agent's host, stopped. */
async function makeData({ config }: SandboxAgent) {
  const postgres = new PostgresNode({
    nodeName: config.node,
    binDir: config.postgres.binDir,
    dataDir: join(config.folder, 'data', 'pgdata'),
    port: config.postgres.port,
    listenAddresses: '127.0.0.1',
    socketDir: join(config.folder, 'data', 's'),
    runAs: config.runAs,
    superuser: config.secrets.superuser,
    replication: config.secrets.replication,
    logFile: join(config.folder, 'log', 'made.log'),
  });
  const made = await postgres.initialise();
  if (made.kind !== 'initialised') throw new Error(made.kind);
  return { host: postgres.host, systemIdentifier: made.systemIdentifier };
}

async function tablesOn({ config }: SandboxAgent): Promise<string[]> {
  const { name: user, password } = config.secrets.superuser;
  const client = new Client({
    host: '127.0.0.1',
    port: config.postgres.port,
    user,
    password,
    database: 'postgres',
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "select tablename as name from pg_tables where tablename ~ '^t[0-9]$' order by 1",
    );
    return rows.map(({ name }) => name);
  } finally {
    await client.end();
  }
}

describe('joining', () => {
  it('refuses a node whose data has another system identifier, and says both', async () => {
    const cluster = await clusterOf('node1');
    const stranger = await cluster.addAgent('node2');
    const { config } = stranger;
    const made = await makeData(stranger);
    stranger.start();
    await cluster.until('the refusal', async () => (await cluster.eventKinds()).includes('join_refused'));

    const events = await cluster.store.listEvents(50);
    const refusal =
      events.kind === 'ok' ? events.value.find((event) => event.kind === 'join_refused') : undefined;
    const { record } = await cluster.head();
    expect(refusal?.message).toContain(String(made.systemIdentifier));
    expect(refusal?.message).toContain(String(record.systemIdentifier));
    expect(refusal?.rule).toBe('foreign-data');
    expect(serverPids(join(config.folder, 'data', 'pgdata'))).toEqual([]);
    const nodes = await cluster.store.readNodes();
    expect(nodes.kind === 'ok' && nodes.value.find((node) => node.node === 'node2')?.activity).toBe(
      'refused',
    );
  });

  it('adopts the data that was named, on the node that was named, and no other of the same system', async () => {
    sandbox = await AgentsSandbox.open();
    const cluster = sandbox;
    const [named, second] = [await cluster.addAgent('node1'), await cluster.addAgent('node2')];
    const directory = (agent: SandboxAgent) => join(agent.config.folder, 'data', 'pgdata');
    const { host, systemIdentifier } = await makeData(named);
    execFileSync('cp', ['-a', directory(named), directory(second)]);
    // The copy that is not named is ahead.
    for (const [agent, tables] of [
      [named, 1],
      [second, 5],
    ] as const)
      for (let at = 0; at < tables; at += 1) {
        const own = { ...host, dataDir: directory(agent) };
        expect(
          await runSingleUser(own, own.dataDir, [`create table t${at} as select 1 as i`], 60_000),
        ).toBeNull();
      }
    // The volume was part of another cluster.
    const former = new DiskState(join(named.config.folder, 'state'));
    former.enterEpoch(7);
    former.bar(6);
    const file = { cluster: 'main', spec: (await cluster.head()).record.spec, proxies: [] };
    expect(await ensureClusterRecord(cluster.store, file, { node: 'node1', systemIdentifier })).toBe(
      'changed',
    );
    second.start();
    await cluster.until('the refusal', async () => (await cluster.eventKinds()).includes('join_refused'));
    named.start();
    await cluster.until('the first epoch', async () => (await cluster.head()).record.epochs.length === 1);

    const { record, lease } = await cluster.head();
    expect(record).toMatchObject({ systemIdentifier, members: ['node1'] });
    expect(lease).toMatchObject({ holder: 'node1', epoch: 1, state: 'held' });
    expect(await cluster.eventKinds()).toEqual(
      expect.arrayContaining(['data_adopted', 'cluster_initialised']),
    );
    expect(await tablesOn(named)).toEqual(['t0']);
    const nodes = await cluster.store.readNodes();
    expect(nodes.kind === 'ok' && nodes.value.find(({ node }) => node === 'node2')).toMatchObject({
      activity: 'refused',
    });
    expect(serverPids(directory(second))).toEqual([]);

    renameSync(directory(second), `${directory(second)}.away`);
    await cluster.untilRedundant(1);
    expect(await tablesOn(second)).toEqual(['t0']);
  });

  it('refuses a node beyond the maximum', async () => {
    const cluster = await clusterOf('node1', 'node2');
    (await cluster.addAgent('node3')).start();
    await cluster.until('the refusal', async () => (await cluster.eventKinds()).includes('join_refused'));
    const { record } = await cluster.head();
    expect(record.members.toSorted()).toEqual(['node1', 'node2']);
  });

  it('gives every member a slot on every other before it needs one', async () => {
    const cluster = await clusterOf('node1', 'node2');
    await cluster.until('slots on both', async () => {
      const nodes = await cluster.store.readNodes();
      if (nodes.kind !== 'ok') return false;
      const slots = Object.fromEntries(nodes.value.map((node) => [node.node, node.slots]));
      return slots.node1?.join() === 'leasehold_node2' && slots.node2?.join() === 'leasehold_node1';
    });
  });

  it('lets another machine take the name of a node whose machine is gone, once that is forgotten', async () => {
    const cluster = await clusterOf('node1', 'node2');
    const { lease } = await cluster.head();
    const old = cluster.agents.find((one) => one.node !== lease?.holder);
    if (old === undefined) throw new Error('no standby');
    await old.kill('SIGKILL');
    for (const pid of [...cluster.processes(old), ...serverPids(join(old.config.folder, 'data', 'pgdata'))])
      sendSignal(pid, 'SIGKILL');
    // The volume came along.
    const successor = await cluster.addAgent(old.node);
    const config = { ...successor.config, instanceId: 'i-successor' };
    writeFileSync(join(config.folder, 'config.json'), JSON.stringify(config), { mode: 0o600 });
    successor.start();
    await cluster.until('the refusal', async () => (await cluster.eventKinds()).includes('join_refused'));

    let nowMs = 0;
    const forget = (host: string) =>
      forgetHost(
        {
          ...{ who: 'test', say: () => undefined, log: () => undefined, now: () => nowMs },
          hosts: { instanceState: async () => ok('terminated') },
          region: 'eu-central-1',
          sleep: async (ms) => {
            nowMs += ms;
          },
          time: () => new Date().toISOString(),
          newId: () => `01FORGOTTEN${nowMs}`,
        },
        cluster.store,
        { host, althoughSynchronous: false, althoughUnknown: false },
      );
    expect(await forget(lease?.holder ?? '')).toMatchObject({ kind: 'refused', rule: 'last-primary' });
    expect(await forget(old.node)).toEqual({ kind: 'done', instanceId: old.config.instanceId });
    await cluster.until('the successor to stream', async () => {
      const nodes = await cluster.store.readNodes();
      if (nodes.kind !== 'ok') return false;
      return nodes.value.some((one) => one.instanceId === 'i-successor' && one.streaming);
    });
    expect(await cluster.eventKinds()).toContain('host_forgotten');
  });

  it('lets a restarted agent adopt its lease and its running postmaster', async () => {
    const cluster = await clusterOf('node1', 'node2');
    const { lease } = await cluster.head();
    const agent = cluster.agents.find((one) => one.node === lease?.holder);
    if (agent === undefined) throw new Error('no holder');
    const directory = join(agent.config.folder, 'data', 'pgdata');
    const before = serverPids(directory);
    await agent.kill('SIGKILL');
    agent.start();
    await cluster.until('the adoption', async () => (await cluster.eventKinds()).includes('lease_adopted'));
    const after = await cluster.head();
    expect(after.lease).toMatchObject({ holder: agent.node, epoch: 1, state: 'held' });
    expect(after.lease?.incarnation).not.toBe(lease?.incarnation);
    expect(serverPids(directory)).toEqual(expect.arrayContaining(before.slice(0, 1)));
  });
});
