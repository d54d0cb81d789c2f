/** Who may join a cluster and who is refused, slots before they are needed, and an agent that restarts. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import { AgentsSandbox, serverPids } from './support/agents-sandbox.ts';

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

describe('joining', () => {
  it('refuses a node whose data has another system identifier, and says both', async () => {
    const cluster = await clusterOf('node1');
    const stranger = await cluster.addAgent('node2');
    const { config } = stranger;
    const made = await new PostgresNode({
      nodeName: 'node2',
      binDir: config.postgres.binDir,
      dataDir: join(config.folder, 'data', 'pgdata'),
      port: config.postgres.port,
      listenAddresses: '127.0.0.1',
      socketDir: join(config.folder, 'data', 's'),
      runAs: config.runAs,
      superuser: config.secrets.superuser,
      replication: config.secrets.replication,
      logFile: join(config.folder, 'log', 'made.log'),
    }).initialise();
    if (made.kind !== 'initialised') throw new Error(made.kind);
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
