/**
 * What counts as a failed primary, on a whole cluster whose hosts have small disks of their own (which needs root): a postmaster that is
 * stopped, a data disk that is full, one that is frozen. Clients write all the time, and nothing that was acknowledged is lost.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import { compareLsn, type Lsn, parseLsn } from '../../core/model/lsn.ts';
import { faultNamed } from '../../local/faults/all-faults.ts';
import { fillVolume, volumeOf } from '../../local/faults/disk.ts';
import { nothingToUndo } from '../../local/faults/fault.ts';
import { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { eventsOf, operate } from './support/operations.ts';

const wholeMs = 90_000;
const volumeMb = 2048;

let sandbox: ClusterSandbox;
let subject = '';
/** Of the fault that a test did to the subject's disk. */
let undo = nothingToUndo;

beforeAll(async () => {
  sandbox = await openClusterSandbox(threeNodes({ volumeMb }));
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
  subject = await sandbox.cluster.primary();
});
afterEach(mend);
afterAll(async () => {
  await sandbox?.close();
});

/** Takes the fault back, once: a test does so itself where it goes on, and what a failed one left is taken back after it. */
async function mend(): Promise<void> {
  const pending = undo;
  undo = nothingToUndo;
  await pending();
}

interface Scene {
  readonly writer: ContinuousWriter;
  /** What this node wrote down since the scene began. */
  news(): Promise<readonly ClusterEvent[]>;
  /** Ends the clients and finds every acknowledged write on the primary. */
  end(): Promise<void>;
}

async function begin(table: string): Promise<Scene> {
  const { cluster } = sandbox;
  const known = new Set((await eventsOf(cluster)).map(({ id }) => id));
  const writer = new ContinuousWriter({ dsn: cluster.endpoints().dsn.endpoint, table, clients: 4 });
  await writer.start();
  await eventually('writes', () => writer.count() > 100);
  return {
    writer,
    news: async () => (await eventsOf(cluster)).filter(({ id, who }) => who === subject && !known.has(id)),
    end: async () => {
      await writer.stop();
      const primary = await cluster.primary();
      expect(await lostWrites(cluster.dsn(primary), table, writer.acknowledged())).toEqual([]);
    },
  };
}

const find = (events: readonly ClusterEvent[], kind: ClusterEvent['kind']) =>
  events.find((event) => event.kind === kind);

async function anotherPrimary(): Promise<string> {
  return await eventually(
    'another primary',
    async () => {
      const now = await sandbox.cluster.primary().catch(() => subject);
      return now === subject ? null : now;
    },
    60_000,
  );
}

/** Both standbys have flushed the last record that this primary has written. */
async function hasAllLog(cluster: ClusterHandle, primary: string): Promise<boolean> {
  const [row] = await cluster.query<{ complete: number }>(
    primary,
    'select count(*)::int complete from pg_stat_replication where flush_lsn >= pg_current_wal_insert_lsn()',
  );
  return row?.complete === cluster.wanted.nodes.length - 1;
}

/** Its agent has seen that much log written: what it knows of a crash is what it saw last, up to a heartbeat earlier. */
async function hasReported(cluster: ClusterHandle, node: string, written: Lsn | null): Promise<boolean> {
  const nodes = await cluster.store().readNodes();
  const lsn = nodes.kind === 'ok' ? nodes.value.find((report) => report.node === node)?.lsn : null;
  return written !== null && lsn != null && compareLsn(lsn, written) >= 0;
}

describe('a primary that fails without dying', () => {
  it('whose postmaster is stopped takes writes again, in place, and says why', async () => {
    const { cluster } = sandbox;
    const scene = await begin('postmaster_stopped');
    const postmaster = cluster.endpoints().nodes[subject]?.postmasterPid ?? 0;
    expect(sendSignal(postmaster, 'SIGSTOP')).toBe('sent');
    await eventually(
      'a restart',
      async () => find(await scene.news(), 'postgres_restarted_in_place') ?? null,
      30_000,
    );
    const count = scene.writer.count();
    await eventually('writes again', () => scene.writer.count() > count + 100);
    await scene.end();
    const events = await scene.news();
    expect(find(events, 'postgres_hung')).toMatchObject({
      rule: 'postmaster-hung',
      details: { postmaster: 'stopped' },
    });
    expect(find(events, 'recovery_decided')).toMatchObject({
      rule: 'crash-in-place',
      details: {
        in_place_ms: expect.any(Number),
        hand_over_ms: expect.any(Number),
        successors: expect.stringContaining('node'),
      },
    });
    expect(await cluster.primary()).toBe(subject);
  });

  it('whose data disk is full hands over while it can still stop cleanly, and is not chosen until there is space', async () => {
    const { cluster } = sandbox;
    const scene = await begin('disk_full');
    undo = fillVolume(volumeOf(cluster, subject), 8 * 1024 ** 2);
    const successor = await anotherPrimary();
    const count = scene.writer.count();
    await eventually('writes again', () => scene.writer.count() > count + 100);
    await scene.end();
    const events = await scene.news();
    expect(find(events, 'disk_trouble')).toMatchObject({ details: { condition: 'full' } });
    expect(find(events, 'hand_over_requested')).toMatchObject({ rule: 'disk-sick' });
    expect(find(events, 'lease_released')?.message).toContain(`to ${successor} at`);
    await eventually('the end of the operation', async () => {
      const head = await cluster.store().readHead();
      return head.kind === 'ok' && head.value.record?.operation === null;
    });
    const refused = await operate(cluster, { kind: 'switchover', target: subject });
    expect(refused).toMatchObject({ status: 'FAILED', error: 'TargetNotEligible' });
    expect(refused.cause).toContain('disk-full');
    await mend();
    await eventually('its disk well again', async () => find(await scene.news(), 'disk_recovered') ?? null);
  });

  it('whose data disk is frozen is killed and gives way', async () => {
    const { cluster } = sandbox;
    const scene = await begin('disk_frozen');
    undo = await faultNamed('primary-disk-frozen').apply(cluster, subject);
    await anotherPrimary();
    const count = scene.writer.count();
    await eventually('writes again', () => scene.writer.count() > count + 100, 60_000);
    await mend();
    await cluster.untilWhole(wholeMs);
    await scene.end();
    const events = await scene.news();
    expect(find(events, 'disk_trouble')).toMatchObject({ details: { condition: 'frozen' } });
    expect(find(events, 'recovery_decided')).toMatchObject({ rule: 'disk-frozen' });
  });

  it('whose recovery would take long is handed over to a standby that is proven to have the end of its log', async () => {
    const { cluster } = sandbox;
    // So much log since the last checkpoint that replaying it is expected to take longer than a hand-over and its proof.
    await cluster.query(subject, 'drop table if exists ballast, kept');
    await cluster.query(subject, 'checkpoint');
    // No autovacuum: it would go on writing log, and a crash in the middle of that leaves no standby with the end of it.
    await cluster.query(
      subject,
      'create table ballast with (autovacuum_enabled = off) as select repeat(md5(i::text), 30) from generate_series(1, 330000) i',
    );
    await cluster.query(subject, 'create table kept as select generate_series(1, 100) id');
    await eventually('every standby to have all of the log', async () => hasAllLog(cluster, subject), 60_000);
    const [now] = await cluster.query<{ lsn: string }>(subject, 'select pg_current_wal_lsn()::text lsn');
    const written = parseLsn(now?.lsn ?? '');
    await eventually('its agent to have seen it', async () => hasReported(cluster, subject, written), 30_000);
    const known = new Set((await eventsOf(cluster)).map(({ id }) => id));
    const postmaster = cluster.endpoints().nodes[subject]?.postmasterPid ?? 0;
    expect(sendSignal(postmaster, 'SIGKILL')).toBe('sent');
    const decided = await eventually('a decision', async () => {
      const news = (await eventsOf(cluster)).filter(({ id, who }) => who === subject && !known.has(id));
      return find(news, 'recovery_decided') ?? null;
    });
    expect(decided).toMatchObject({ rule: 'crash-hand-over-if-proven' });
    expect(decided?.details?.['wal_to_replay_bytes']).toBeGreaterThan(290 * 1000 ** 2);
    expect(decided?.details?.['in_place_ms']).toBeGreaterThan(Number(decided?.details?.['hand_over_ms']));
    // What it decided last stands in the message where no hand-over came of it.
    const successor = await anotherPrimary();
    await cluster.untilWhole(wholeMs);
    const events = (await eventsOf(cluster)).filter(({ id, who }) => who === subject && !known.has(id));
    expect(find(events, 'lease_released')?.message).toContain("the log's last record is at");
    // Nothing of the old primary's log was beyond the fork: it came back as it was.
    expect(events.map(({ kind }) => kind)).not.toContain('wal_discarded');
    expect(await cluster.query(successor, 'select from kept')).toHaveLength(100);
    await cluster.query(successor, 'drop table ballast');
  });

  it('whose data disk has turned read-only hands over though it is down, and is whole again after a repair', async () => {
    const { cluster } = sandbox;
    const scene = await begin('disk_read_only');
    undo = await faultNamed('primary-disk-read-only').apply(cluster, subject);
    await anotherPrimary();
    const count = scene.writer.count();
    await eventually('writes again', () => scene.writer.count() > count + 100, 60_000);
    await mend();
    // A failover has it stopped, if nobody could prove that it is down: then EC2 starts it.
    const operator = new Operator(cluster);
    try {
      await operator.startStopped();
    } finally {
      operator.close();
    }
    await cluster.untilWhole(wholeMs);
    await scene.end();
    expect(find(await scene.news(), 'disk_trouble')).toMatchObject({ details: { condition: 'read-only' } });
  });
});
