/**
 * One program is killed at one step of a real operation while clients write and probes try every node: the cluster is whole
 * again each time, no two nodes accepted writes, a switchover lost nothing, nothing is left behind (H6, O3). A choice of what
 * `npm run interruptions` tries in full.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Observation } from '../../bench/history/observation.ts';
import { type CaseReport, runCase } from '../../bench/interruptions/run-case.ts';
import { caseOf, type OperationName, type Victim } from '../../bench/interruptions/scene.ts';
import { openTemporaryCluster, type TemporaryCluster } from '../../bench/temporary-cluster.ts';
import { Operator } from '../../local/faults/operator.ts';

const never = new AbortController().signal;
let temporary: TemporaryCluster;
let observation: Observation;
let operator: Operator;

beforeAll(async () => {
  // Longer than the default: what is tested is what happens, on a machine that may be busy.
  temporary = await openTemporaryCluster({
    mode: 'off',
    lease: { ttlMs: 4_000, heartbeatMs: 500 },
    signal: never,
  });
  const { cluster } = temporary;
  observation = new Observation({ cluster, mode: 'off', clients: 2, everyMs: 20 });
  operator = new Operator(cluster);
  await observation.start();
});
afterAll(async () => {
  await observation?.stop();
  operator?.close();
  await temporary?.close(false);
});

async function epochNow(): Promise<number> {
  const head = await temporary.cluster.store().readHead();
  if (head.kind !== 'ok' || head.value.lease === null) throw new Error('the lease cannot be read');
  return head.value.lease.epoch;
}

async function interrupted(operation: OperationName, step: string, victim: Victim): Promise<CaseReport> {
  return await runCase(caseOf(operation, step, victim), {
    cluster: temporary.cluster,
    observation,
    operator,
    signal: never,
    wholeTimeoutMs: 60_000,
    restartRuntime: () => Promise.reject(new Error('the runtime is not killed here: see up.test.ts')),
  });
}

describe('a switchover', () => {
  it.each([
    ['await-catchup', 'functions'],
    ['a standby goes over', 'other agent'],
    ['the target is armed', 'target agent'],
    ['stop-and-release', 'from agent'],
    ['stop-and-release', 'from postmaster'],
    ['the lease is taken', 'target agent'],
  ] as const)('at "%s", %s killed, comes to rest', async (step, victim) => {
    const report = await interrupted('switchover', step, victim);
    expect(report, JSON.stringify(report.outcome)).toMatchObject({ struck: 'yes', violations: [] });
    expect(report.wholeAfterMs).not.toBeNull();
  });

  it.each(['PostgreSQL is told to promote', 'the target is promoted'])(
    'at "%s", target agent killed, ends in the epoch that it began: the primary is not given up again (H8)',
    async (step) => {
      await temporary.cluster.untilWhole(60_000, never);
      const before = await epochNow();
      const report = await interrupted('switchover', step, 'target agent');
      expect(report, JSON.stringify(report.outcome)).toMatchObject({ struck: 'yes', violations: [] });
      expect(await epochNow(), JSON.stringify(report.outcome)).toBe(before + 1);
      expect(report.outcome.filter((line) => line.includes('lease_released'))).toHaveLength(1);
      expect(report.outcome.join()).not.toMatch(/promotion_failed|lease_sealed/);
    },
  );
});

describe('a failover', () => {
  it('whose new primary loses its agent just then comes to rest', async () => {
    const report = await interrupted('failover', 'the lease is taken', 'target agent');
    expect(report, JSON.stringify(report.outcome)).toMatchObject({ struck: 'yes', violations: [] });
  });
});

describe('a rewind', () => {
  it('whose agent is killed in the middle ends in quarantine, and in a rebuild', async () => {
    const report = await interrupted('rewind', 'pg_rewind runs', 'comer agent');
    expect(report, JSON.stringify(report.outcome)).toMatchObject({ struck: 'yes', violations: [] });
    expect(report.outcome.join()).toMatch(/action_(rolled_back|resumed)/);
  });
});
