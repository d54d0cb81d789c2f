/** What clients see when the agent of the primary dies: nothing if it is back in time, else PostgreSQL is down before the deadline. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uptimeMs } from '../../adapters/clock.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import { serverPids } from './support/agents-sandbox.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { dataDirectoryOf } from './support/operations.ts';

const ttlMs = 4_000;
const file = threeNodes({ lease: { ttlMs, heartbeatMs: 500 } });
const wholeMs = 60_000;

let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox(file);
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
});
afterAll(async () => {
  await sandbox?.close();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the agent of the primary', () => {
  it('killed and restarted in time: clients notice nothing, the epoch stays', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const before = await cluster.store().readHead();
    const agentPid = cluster.endpoints().nodes[primary]?.agentPid;
    const writer = new ContinuousWriter({
      dsn: cluster.endpoints().dsn.endpoint,
      table: 'agent_restarted',
      clients: 4,
    });
    await writer.start();
    await pause(500);
    await cluster.killAgent(primary);
    await eventually('the lease in new hands of the same node', async () => {
      const now = await cluster.store().readHead();
      if (now.kind !== 'ok' || before.kind !== 'ok') return false;
      return (
        now.value.lease?.holder === primary && now.value.lease.incarnation !== before.value.lease?.incarnation
      );
    });
    await pause(2 * ttlMs);
    await writer.stop();
    expect(writer.figures().errors).toBe(0);
    expect(await lostWrites(cluster.dsn(primary), 'agent_restarted', writer.acknowledged())).toEqual([]);
    const after = await cluster.store().readHead();
    expect(after).toMatchObject({ value: { lease: { holder: primary, state: 'held' } } });
    if (before.kind === 'ok' && after.kind === 'ok') {
      expect(after.value.lease?.epoch).toBe(before.value.lease?.epoch);
    }
    expect(cluster.endpoints().nodes[primary]?.agentPid).not.toBe(agentPid);
  });

  it('killed for good: PostgreSQL is down before the deadline, and another node takes over', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const directory = await dataDirectoryOf(cluster, primary);
    expect(serverPids(directory).length).toBeGreaterThan(0);
    await cluster.holdAgent(primary);
    // No renewal can have been sent after this moment: the deadline is at most one ttl away.
    const killedAtMs = uptimeMs();
    let downAtMs = 0;
    await eventually('PostgreSQL is down', () => {
      if (serverPids(directory).length > 0) return false;
      downAtMs = uptimeMs();
      return true;
    });
    expect(downAtMs - killedAtMs).toBeLessThan(ttlMs);
    const successor = await eventually(
      'another primary',
      async () => {
        const now = await cluster.primary().catch(() => primary);
        return now === primary ? null : now;
      },
      60_000,
    );
    expect(serverPids(directory)).toEqual([]);
    await cluster.startAgent(primary);
    await cluster.untilWhole(wholeMs);
    expect(await cluster.primary()).toBe(successor);
  });
});
