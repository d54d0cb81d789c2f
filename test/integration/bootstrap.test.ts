/** Twenty races for the first data directory, five with the winner killed inside initdb: exactly one ever becomes the cluster's. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type ExpectStatic, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import { AgentsSandbox, type SandboxAgent } from './support/agents-sandbox.ts';

const rounds = 20;
/** In these rounds the winner is killed while its initdb runs. */
const killedRounds = new Set([3, 7, 11, 15, 19]);

const dataDirectory = (agent: SandboxAgent): string => join(agent.config.folder, 'data', 'pgdata');

/** The winner's temporary folder shows that its initdb is at work. */
async function killWinnerInsideInitdb(cluster: AgentsSandbox): Promise<string> {
  let winner: SandboxAgent | undefined;
  await cluster.until('an initdb at work', () => {
    winner = cluster.agents.find((agent) =>
      readdirSync(join(agent.config.folder, 'data')).some(
        (name) =>
          name.startsWith('pgdata.initialising-') &&
          existsSync(join(agent.config.folder, 'data', name, 'data', 'PG_VERSION')),
      ),
    );
    return winner !== undefined && !existsSync(dataDirectory(winner));
  });
  if (winner === undefined) throw new Error('no winner');
  await winner.kill('SIGKILL');
  for (const pid of cluster.processes(winner)) sendSignal(pid, 'SIGKILL');
  return winner.node;
}

/** Three nodes at once on one table; true to `expect` when exactly one of them has made the cluster. */
async function race(cluster: AgentsSandbox, round: number, expect: ExpectStatic): Promise<void> {
  for (const node of ['node1', 'node2', 'node3']) await cluster.addAgent(node);
  for (const agent of cluster.agents) agent.start();
  const killed = killedRounds.has(round) ? await killWinnerInsideInitdb(cluster) : null;
  await cluster.until('the first epoch', async () => (await cluster.head()).record.epochs.length === 1);

  const { record, lease } = await cluster.head();
  const kinds = await cluster.eventKinds();
  expect(lease).toMatchObject({ state: 'held', epoch: 1 });
  expect(lease?.holder).not.toBe(killed);
  expect(kinds.filter((kind) => kind === 'cluster_initialised')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'bootstrap_taken_over')).toHaveLength(killed === null ? 0 : 1);
  expect(record.bootstrap?.node).toBe(lease?.holder);
  // Whoever else has data by now cloned it; an initdb of another's would show as another claim.
  const claims = kinds.filter((kind) => kind.startsWith('bootstrap_'));
  expect(claims).toHaveLength(killed === null ? 1 : 2);
}

/** Few of them at a time, for those whose winner is killed mostly wait for its claim to be old enough. */
describe.each([0, 1, 2, 3, 4])('bootstrap, races %i of five', (group) => {
  it.concurrent.for(Array.from({ length: rounds / 5 }, (_, at) => group * (rounds / 5) + at))(
    'race %i: exactly one node runs initdb to its end',
    async (round, { expect }) => {
      const cluster = await AgentsSandbox.open();
      try {
        await race(cluster, round, expect);
      } finally {
        await cluster.close();
      }
    },
  );
});
