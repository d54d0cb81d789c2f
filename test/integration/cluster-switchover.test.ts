/** Switchovers of a whole cluster while clients write: done, aborted, given back, refused. No client may see an error. */
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import {
  dataDirectoryOf,
  eventsOf,
  eventsSince,
  operate,
  stepFunctionsOf,
  succeeded,
} from './support/operations.ts';

/** Longer than the default: what is tested is what happens, on a machine that may be busy. */
const file = threeNodes({ lease: { ttlMs: 5_000, heartbeatMs: 500 }, limits: { catchUpTimeoutMs: 10_000 } });
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

/** Clients write through the endpoint while `work` runs; every failed statement or connection counts. */
async function whileClientsWrite(table: string, work: () => Promise<void>) {
  const { cluster } = sandbox;
  const writer = new ContinuousWriter({ dsn: cluster.endpoints().dsn.endpoint, table, clients: 4 });
  await writer.start();
  try {
    await work();
  } finally {
    await writer.stop();
  }
  const { errors, acked } = writer.figures();
  const lost = await lostWrites(cluster.dsn(await cluster.primary()), table, writer.acknowledged());
  return { errors, acked, lost };
}

describe('a switchover', () => {
  it('to a named target and back, five times in a row: no error, nothing lost, no rewind', async () => {
    const { cluster } = sandbox;
    const [home, away] = [await cluster.primary(), await cluster.standby()];
    const before = await eventsOf(cluster);
    const written = await whileClientsWrite('five_times', async () => {
      for (let round = 0; round < 5; round += 1) {
        for (const target of [away, home]) {
          expect(await operate(cluster, { kind: 'switchover', target })).toEqual(succeeded);
          expect(await cluster.primary()).toBe(target);
          await cluster.untilWhole(wholeMs);
        }
      }
    });
    expect(written).toMatchObject({ errors: 0, lost: [] });
    expect(written.acked).toBeGreaterThan(100);
    const after = await eventsSince(cluster, before);
    expect(after.filter((event) => /node_rewound|node_rebuilt|wal_discarded/.test(event))).toEqual([]);
    expect(after.filter((event) => event.endsWith('operation_succeeded'))).toHaveLength(10);
  });

  it('is aborted when its target cannot catch up, and clients notice nothing', async () => {
    const { cluster } = sandbox;
    const [primary, target] = [await cluster.primary(), await cluster.standby()];
    await cluster.query(target, 'select pg_wal_replay_pause()');
    const written = await whileClientsWrite('not_caught_up', async () => {
      const ended = await operate(cluster, { kind: 'switchover', target });
      expect(ended.status).toBe('FAILED');
    });
    await cluster.query(target, 'select pg_wal_replay_resume()');
    expect(written).toMatchObject({ errors: 0, lost: [] });
    expect(await cluster.primary()).toBe(primary);
    const head = await cluster.store().readHead();
    expect(head).toMatchObject({ value: { record: { failoverState: 'stable', operation: null } } });
  });

  it('is aborted at once when its target dies while it catches up', async () => {
    const { cluster } = sandbox;
    const [primary, target] = [await cluster.primary(), await cluster.standby()];
    await cluster.query(target, 'select pg_wal_replay_pause()');
    const asked = operate(cluster, { kind: 'switchover', target });
    const waits = async () => {
      const head = await cluster.store().readHead();
      const id = head.kind === 'ok' ? head.value.record?.operation?.id : undefined;
      const operation = id === undefined ? null : await cluster.store().readOperation(id);
      if (operation?.kind !== 'ok') return false;
      return operation.value.actions.some((one) => one.verb === 'await-catchup' && one.claimedBy !== null);
    };
    await eventually('the target to be waited for', waits);
    const lock = readFileSync(join(await dataDirectoryOf(cluster, target), 'postmaster.pid'), 'utf8');
    process.kill(Number.parseInt(lock, 10), 'SIGKILL');
    const ended = await asked;
    expect(ended.status).toBe('FAILED');
    expect(JSON.stringify(ended)).toContain('PostgreSQL is down on this node');
    expect(await cluster.primary()).toBe(primary);
  });

  it('gives the lease back when the promotion really fails', async () => {
    const { cluster } = sandbox;
    const [primary, target] = [await cluster.primary(), await cluster.standby()];
    const before = await eventsOf(cluster);
    // A promotion begins with the new timeline's history file: where it cannot be made, PostgreSQL gives up and ends.
    const log = join(await dataDirectoryOf(cluster, target), 'pg_wal');
    chmodSync(log, 0o500);
    let written: Awaited<ReturnType<typeof whileClientsWrite>>;
    try {
      written = await whileClientsWrite('gives_back', async () => {
        await operate(cluster, { kind: 'switchover', target });
        expect(await cluster.primary()).toBe(primary);
      });
    } finally {
      chmodSync(log, 0o700);
    }
    expect(written).toMatchObject({ lost: [] });
    expect(await eventsSince(cluster, before)).toContain(`${target} promotion_failed`);
    await cluster.untilWhole(wholeMs);
  });

  it('is refused while another one runs', async () => {
    const { cluster } = sandbox;
    const sfn = stepFunctionsOf(cluster);
    const { stateMachineArn } = cluster.endpoints();
    const input = JSON.stringify({ cluster: 'main' });
    const first = await sfn.startExecution({ stateMachineArn, input });
    await eventually('the claim', async () => {
      const head = await cluster.store().readHead();
      return head.kind === 'ok' && head.value.record?.operation != null;
    });
    const second = await operate(cluster, { kind: 'switchover' });
    expect(second).toMatchObject({ status: 'FAILED', error: 'OperationInProgress' });
    await expect
      .poll(async () => (await sfn.describeExecution({ executionArn: first.executionArn })).status, {
        timeout: 60_000,
      })
      .toBe('SUCCEEDED');
    sfn.destroy();
  });

  it('is refused with the field named when its input is wrong', async () => {
    const { cluster } = sandbox;
    expect(await operate(cluster, { kind: 'sideways' })).toMatchObject({
      status: 'FAILED',
      error: 'InvalidInput',
    });
    expect((await operate(cluster, { kind: 'sideways' })).cause).toContain('kind');
    expect(await operate(cluster, { target: 'node9' })).toMatchObject({
      status: 'FAILED',
      error: 'UnknownTarget',
    });
  });
});
