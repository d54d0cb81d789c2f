/**
 * A bounded chaos run on one seed, and proof that the same observation would have found what must never be: a row that is taken
 * away, and a standby that is promoted while its agent is stopped.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runChaos } from '../../bench/chaos/run-chaos.ts';
import { Observation } from '../../bench/history/observation.ts';
import { appendTable } from '../../bench/measure/open-loop-clients.ts';
import { openTemporaryCluster, type TemporaryCluster } from '../../bench/temporary-cluster.ts';
import { faultNamed, singleFaults } from '../../local/faults/all-faults.ts';

const seed = 11;
const mode = 'strict';
const never = new AbortController().signal;

let temporary: TemporaryCluster;

beforeAll(async () => {
  temporary = await openTemporaryCluster({ mode, lease: { ttlMs: 3_000, heartbeatMs: 500 }, signal: never });
});
afterAll(async () => {
  await temporary?.close(process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined);
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a cluster under faults drawn at random', () => {
  it('loses nothing that it must not, never has two primaries, and is whole again each time', async () => {
    const lines: string[] = [];
    const report = await runChaos({
      cluster: temporary.cluster,
      mode,
      seed,
      faults: singleFaults.filter(({ needs }) => needs === 'any'),
      double: false,
      forMs: 35_000,
      maxEpisodes: 8,
      signal: never,
      say: (line) => lines.push(line),
    });
    expect(report.violations, lines.join('\n')).toEqual([]);
    expect(report.acknowledged).toBeGreaterThan(100);
    expect(report.episodes.length).toBeGreaterThan(2);
  });

  it('is observed so that a row that was taken away, and a second primary, are found', async () => {
    const { cluster } = temporary;
    await cluster.untilWhole(60_000);
    const observation = new Observation({ cluster, mode, clients: 2, everyMs: 20 });
    await cluster.query(await cluster.primary(), `drop table ${appendTable}`);
    await observation.start();
    try {
      await pause(500);
      expect(await observation.judge()).toMatchObject({ lost: 0, violations: [] });
      await cluster.query(
        await cluster.primary(),
        `delete from ${appendTable} where position = (select min(position) from ${appendTable})`,
      );
      const robbed = await observation.judge();
      expect(robbed.lost).toBe(1);
      expect(robbed.violations.map(({ rule }) => rule)).toEqual(['acknowledged-write-lost']);
      // Its agent would end it within one round, which no probe need have met.
      const standby = await cluster.standby();
      const undo = await faultNamed('standby-agent-stopped').apply(cluster, standby);
      await cluster.query(standby, 'select pg_promote()');
      await pause(1_500);
      await undo();
      const doubled = await observation.judge();
      expect(doubled.violations.map(({ rule }) => rule)).toContain('two-nodes-accept-writes');
    } finally {
      await observation.stop();
    }
  });
});
