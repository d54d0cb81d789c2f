/** Names that are said to be in force are in force in every process of a real server (S1): the checkpointer's flag, and each walsender's own reading. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sleepMs } from '../../adapters/clock.ts';
import { sendSignal } from '../../adapters/process.ts';
import type { SynchronousRule } from '../../core/model/lease.ts';
import type { Lsn } from '../../core/model/lsn.ts';
import { barrierPassed } from '../../core/synchronous/barrier.ts';
import { ruleText } from '../../core/synchronous/synchronous-rule.ts';
import { PostgresSandbox, type SandboxNode } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

const absent = 'ANY 1 ("nobody-yet")';
const any = (...names: string[]): SynchronousRule => ({ method: 'any', k: 1, names });

/** Acknowledged within 150 ms, or left waiting; one that waits is cancelled, with PostgreSQL's warning. */
async function commits(client: pg.Client, primary: SandboxNode, row: number): Promise<boolean> {
  const commit = client.query('insert into t values ($1)', [row]).then(() => true);
  const done = await Promise.race([commit, sleepMs(150).then(() => false)]);
  if (!done) {
    await sandbox.value(
      primary,
      "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
    );
    await commit;
  }
  return done;
}

async function senders(primary: SandboxNode) {
  const look = await primary.postgres.lookAtSenders();
  if (look.kind !== 'senders') throw new Error(JSON.stringify(look));
  return look.senders;
}

test('from the moment it says so commits wait, and no longer once nobody is named', async () => {
  const primary = await sandbox.primary('node-1');
  const client = await sandbox.client(primary);
  await client.query('create table t (i int)');
  for (let round = 0; round < 5; round += 1) {
    expect(await primary.postgres.putNamesInForce(absent, 60_000)).toEqual({ kind: 'in-force' });
    expect(await commits(client, primary, round)).toBe(false);
    expect(await primary.postgres.putNamesInForce('', 60_000)).toEqual({ kind: 'in-force' });
    expect(await commits(client, primary, round)).toBe(true);
  }
});

test('it is not said before the checkpointer has read it, however long that takes', async () => {
  const primary = await sandbox.primary('node-1');
  const checkpointer = Number(
    await sandbox.value(primary, "select pid from pg_stat_activity where backend_type = 'checkpointer'"),
  );
  sendSignal(checkpointer, 'SIGSTOP');
  expect(await primary.postgres.putNamesInForce(absent, 700)).toMatchObject({ kind: 'unreachable' });
  let continued = false;
  const put = primary.postgres.putNamesInForce(absent, 60_000).then((result) => ({ result, continued }));
  await sleepMs(1_200);
  continued = true;
  sendSignal(checkpointer, 'SIGCONT');
  expect(await put).toEqual({ result: { kind: 'in-force' }, continued: true });
  await primary.postgres.putNamesInForce('', 60_000);
});

test('a walsender that has not read the new names holds up the barrier', async () => {
  const primary = await sandbox.primary('node-1');
  for (const name of ['node-2', 'node-3']) {
    const standby = await sandbox.standby(name, primary);
    await sandbox.caughtUp(standby, primary);
  }
  const [former, next] = [any('node-2'), any('node-3')];
  expect(await primary.postgres.putNamesInForce(ruleText(former), 60_000)).toEqual({ kind: 'in-force' });
  const walsender = Number(
    await sandbox.value(primary, "select pid from pg_stat_replication where application_name = 'node-2'"),
  );
  sendSignal(walsender, 'SIGSTOP');
  expect(await primary.postgres.putNamesInForce(ruleText(next), 60_000)).toEqual({ kind: 'in-force' });
  const barrierLsn = await primary.postgres.writeBarrier();
  if (typeof barrierLsn !== 'bigint') return expect.fail(JSON.stringify(barrierLsn));
  const passed = async (lsn: Lsn) =>
    barrierPassed({ former, next, senders: await senders(primary), barrierLsn: lsn });
  await sleepMs(500);
  const behind = await senders(primary);
  expect(behind.find(({ name }) => name === 'node-3')?.flushLsn).toBeGreaterThanOrEqual(barrierLsn);
  expect(await passed(barrierLsn)).toBe(false);
  sendSignal(walsender, 'SIGCONT');
  for (let look = 0; look < 200 && !(await passed(barrierLsn)); look += 1) await sleepMs(10);
  expect(await passed(barrierLsn)).toBe(true);
});
