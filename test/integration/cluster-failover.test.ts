/** Failovers of a whole cluster, and every way back for the old primary: by pg_rewind, as it is, rebuilt. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import { lostWritesOf, renderLostWrites } from '../../cli/lost-writes-report.ts';
import type { LostWrites } from '../../core/model/lost-writes.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { dataDirectoryOf, eventsOf, eventsSince, operate, succeeded } from './support/operations.ts';

const file = threeNodes({ lease: { ttlMs: 4_000, heartbeatMs: 500 } });
const wholeMs = 90_000;

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

/** Writes that are acknowledged and never reach a standby: the walsenders are stopped first. Returns their transaction. */
async function diverge(primary: string, table: string): Promise<number> {
  const { cluster } = sandbox;
  await cluster.query(primary, `drop table if exists ${table}`);
  await cluster.query(primary, `create table ${table} (id int primary key)`);
  await eventually('the table on every standby', async () => {
    const standbys = cluster.wanted.nodes.filter((node) => node !== primary);
    const seen = await Promise.all(
      standbys.map((node) => cluster.query(node, `select to_regclass('${table}') as t`)),
    );
    return seen.every((rows) => (rows[0] as { t: string | null }).t !== null);
  });
  const senders = await cluster.query<{ pid: number }>(primary, 'select pid from pg_stat_replication');
  for (const { pid } of senders) sendSignal(pid, 'SIGSTOP');
  const rows = await cluster.query<{ xid: string }>(
    primary,
    `insert into ${table} select generate_series(1, 1000) returning pg_current_xact_id()::text as xid`,
  );
  return Number(rows[0]?.xid);
}

async function killAndAwaitSuccessor(primary: string): Promise<string> {
  const { cluster } = sandbox;
  await cluster.killHost(primary);
  return await eventually(
    'another primary',
    async () => {
      const now = await cluster.primary().catch(() => primary);
      const head = await cluster.store().readHead();
      const stable = head.kind === 'ok' && head.value.record?.failoverState === 'stable';
      return now === primary || !stable ? null : now;
    },
    60_000,
  );
}

describe('a failover', () => {
  it('brings a diverged old primary back by pg_rewind, and writes down what was lost', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const before = await eventsOf(cluster);
    const data = await dataDirectoryOf(cluster, primary);
    const xid = await diverge(primary, 'lost_by_rewind');
    const successor = await killAndAwaitSuccessor(primary);
    await cluster.bootHost(primary);
    await cluster.untilWhole(wholeMs);
    const events = await eventsSince(cluster, before);
    expect(events).toContain(`${primary} node_rewound`);
    expect(events).toContain(`${primary} wal_discarded`);
    for (const node of [primary, successor]) {
      expect(await cluster.query(node, 'select count(*)::int as n from lost_by_rewind')).toEqual([{ n: 0 }]);
    }
    const [lost] = lostWritesOf(await eventsOf(cluster)).slice(-1);
    expect(lost).toMatchObject({ node: primary, cause: 'rewind', not_summarised: null, missing: '' });
    expect(lost?.['transactions']).toBeGreaterThan(0);
    expect(renderLostWrites(lost === undefined ? [] : [lost])).toContain('committed');
    const reports = readdirSync(join(data, '..', '..', 'lost-writes'));
    const report = JSON.parse(readFileSync(join(`${lost?.['folder']}`, 'report.json'), 'utf8')) as LostWrites;
    expect(reports).toContain(basename(report.folder));
    expect(report.summary?.commits.map((commit) => commit.xid)).toContain(xid);
    // The command that the report gives shows that very commit, from the log that was kept.
    const [program = '', ...args] = report.look.split(' ');
    expect(execFileSync(program, args, { encoding: 'utf8' })).toMatch(
      new RegExp(`tx: +${xid}, .* desc: COMMIT `),
    );
  });

  it('brings an old primary back as it is when its log ends before the fork', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    await cluster.query(primary, 'checkpoint');
    const before = await eventsOf(cluster);
    await killAndAwaitSuccessor(primary);
    await cluster.bootHost(primary);
    await cluster.untilWhole(wholeMs);
    const events = await eventsSince(cluster, before);
    expect(events.filter((event) => /node_rewound|node_rebuilt|wal_discarded/.test(event))).toEqual([]);
  });

  it('rebuilds an old primary when a rewind cannot work, and keeps its former data directory', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const before = await eventsOf(cluster);
    const data = await dataDirectoryOf(cluster, primary);
    await diverge(primary, 'lost_by_rebuild');
    await killAndAwaitSuccessor(primary);
    // Without its log there is nothing that pg_rewind could follow back to the fork.
    const log = join(data, 'pg_wal');
    for (const name of readdirSync(log)) if (/^[0-9A-F]{24}/.test(name)) rmSync(join(log, name));
    await cluster.bootHost(primary);
    await cluster.untilWhole(wholeMs);
    expect(await eventsSince(cluster, before)).toContain(`${primary} node_rebuilt`);
    // What was in it cannot be read any more, and that is said before anything is overwritten.
    const [lost] = lostWritesOf(await eventsOf(cluster)).slice(-1);
    expect(lost).toMatchObject({ node: primary, transactions: null, to_lsn: null });
    expect(lost?.['not_summarised']).toContain('not known');
    const kept = readdirSync(join(data, '..')).filter((name) => name.includes('.kept-'));
    expect(kept.length).toBeGreaterThan(0);
  });

  it('asked for by an operator while the primary lives, hands over without a loss', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    expect(await operate(cluster, { kind: 'failover' })).toEqual(succeeded);
    expect(await cluster.primary()).not.toBe(primary);
  });
});
