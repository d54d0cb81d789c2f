/**
 * The agent is killed at every step of a bootstrap, a clone and a rebuild, with real PostgreSQL; the next one finds in its journal
 * what was begun, and ends it or takes it back (H6). Nothing is made twice that was complete, and nothing stays behind.
 */
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  journalled,
  logged,
  type Moment,
  moment,
  programRuns,
  programsOf,
  type WatchedHost,
} from '../../bench/interruptions/moments.ts';
import { AgentsSandbox, type SandboxAgent } from './support/agents-sandbox.ts';

let sandbox: AgentsSandbox;

beforeAll(async () => {
  sandbox = await AgentsSandbox.open({ ttlMs: 5_000 });
});
afterAll(async () => {
  await sandbox?.close();
});

const hostOf = ({ config }: SandboxAgent): WatchedHost => ({
  folder: config.folder,
  logFile: join(config.folder, 'log', 'agent.log'),
});

const momentMs = 30_000;

/** Kills the agent at that moment, and looks that the moment came. */
async function killAt(agent: SandboxAgent, what: string, when: Moment): Promise<void> {
  const seen = moment(hostOf(agent), when, momentMs);
  agent.start();
  expect(await seen, what).toBe(true);
  await agent.kill();
}

const beside = ({ config }: SandboxAgent) =>
  readdirSync(join(config.folder, 'data')).filter((name) => name.startsWith('pgdata.'));
const openEntries = ({ config }: SandboxAgent) => {
  const path = join(config.folder, 'state', 'journal.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { open: unknown[] }).open : [];
};

async function outcomesOf(agent: SandboxAgent): Promise<string[]> {
  const events = await sandbox.store.listEvents(200);
  if (events.kind !== 'ok') throw new Error(events.kind);
  return events.value
    .filter(({ who, kind }) => who === agent.node && kind.startsWith('action_'))
    .map(({ kind, rule }) => `${kind} ${rule}`)
    .toReversed();
}

const copiesMade = (agent: SandboxAgent) =>
  agent
    .log()
    .split('\n')
    .filter((line) => line.includes('program ended') && line.includes('pg_basebackup')).length;

describe('an agent that is killed', () => {
  it('at each step of the bootstrap ends in one primary, of one system, with nothing left beside its data', async () => {
    const agent = await sandbox.addAgent('node1');
    await killAt(agent, 'initdb is at work', programRuns('initdb'));
    await killAt(agent, 'its claim is taken over', logged('"message":"bootstrap_taken_over"'));
    await killAt(agent, 'the cluster is initialised', logged('"message":"cluster_initialised"'));
    await killAt(agent, 'the first lease is taken', logged('"message":"lease_acquired"'));
    await killAt(agent, 'PostgreSQL is started', programRuns('postgres'));
    agent.start();
    expect(await sandbox.untilRedundant(0)).toBe('node1');
    await sandbox.until('the primary open', async () => {
      const nodes = await sandbox.store.readNodes();
      return nodes.kind === 'ok' && nodes.value.some((one) => one.node === 'node1' && one.role === 'primary');
    });
    // Of the second one perhaps nothing had begun but the claim.
    expect([...new Set(await outcomesOf(agent))]).toEqual(['action_rolled_back bootstrap-cut']);
    expect(beside(agent).filter((name) => name.includes('initialising'))).toEqual([]);
    expect(openEntries(agent)).toEqual([]);
    const { record, lease } = await sandbox.head();
    expect(record.bootstrap?.node).toBe('node1');
    expect(lease).toMatchObject({ holder: 'node1', epoch: 1, state: 'held' });
  });

  it('while it clones the primary: the half copy goes, with the program that made it; the next one is made whole', async () => {
    const agent = await sandbox.addAgent('node2');
    await killAt(agent, 'a copy is being made', programRuns('pg_basebackup'));
    await killAt(agent, 'the copy is whole', journalled('clone', 'copied'));
    const copies = copiesMade(agent);
    agent.start();
    await sandbox.untilRedundant(1);
    // The first was cut. The second was whole, or in its place already, when its agent died: it was not made again.
    const outcomes = await outcomesOf(agent);
    expect(outcomes[0]).toBe('action_rolled_back copy-cut');
    expect(outcomes.slice(1)).toEqual([expect.stringMatching(/^action_resumed copy-(complete|in-place)$/)]);
    expect(copiesMade(agent)).toBe(copies);
    expect(beside(agent).filter((name) => /rebuilding|kept/.test(name))).toEqual([]);
    expect(programsOf(agent.config.folder, 'pg_basebackup')).toEqual([]);
    expect(openEntries(agent)).toEqual([]);
  });

  it('while it rebuilds, also between the two renames: the former directory is kept, and the copy takes its place', async () => {
    const agent = sandbox.agents.find(({ node }) => node === 'node2');
    if (agent === undefined) throw new Error('node2 has joined above');
    const data = join(agent.config.folder, 'data', 'pgdata');
    // As a rewind that was cut leaves it.
    await agent.kill();
    writeFileSync(`${data}.quarantine`, 'rewinding to node1\n');
    await killAt(agent, 'a copy is being made', programRuns('pg_basebackup'));
    expect(existsSync(join(data, 'PG_VERSION'))).toBe(true);
    await killAt(agent, 'the copy is whole', journalled('rebuild', 'copied'));
    const copy = beside(agent).find((name) => name.includes('.rebuilding-'));
    if (copy !== undefined && existsSync(data)) renameSync(data, `${data}.kept-${copy.slice(-8)}`);
    agent.start();
    await sandbox.untilRedundant(1);
    expect((await outcomesOf(agent)).slice(2)).toEqual([
      'action_rolled_back copy-cut',
      expect.stringMatching(/^action_resumed copy-(complete|in-place)$/),
    ]);
    expect(existsSync(`${data}.quarantine`)).toBe(false);
    expect(beside(agent).filter((name) => name.includes('.kept-'))).toHaveLength(1);
    expect(beside(agent).filter((name) => name.includes('.rebuilding-'))).toEqual([]);
    const nodes = await sandbox.store.readNodes();
    expect(nodes.kind === 'ok' && nodes.value.find((one) => one.node === 'node2')).toMatchObject({
      streaming: true,
      epoch: 1,
    });
  });
});
