/**
 * What is given up is on disk, with its report, before a rewind or a rebuild begins (H7); and a repetition after an interruption
 * finds the same folder and tells the same event. With a data directory of plain files, and a pg_waldump that is a script.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { HostContext } from '../../agent/database/host-context.ts';
import { dropOldReports, keptReports, recordLostWrites } from '../../agent/database/lost-writes.ts';
import { rebuildFrom, rewindTo } from '../../agent/database/standby-work.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import { lsnOf } from '../../core/model/lsn.ts';

const commit =
  'rmgr: Transaction len (rec/tot):     34/    34, tx:        725, lsn: 0/05000068, prev 0/05000028, desc: COMMIT 2026-11-24 23:01:27.011585 UTC';
const fork = lsnOf(0x5000060n);
const end = lsnOf(0x5000a60n);
const upstream = { node: 'node2', host: '127.0.0.1', port: 5432, epoch: 4 };

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

type WalEnd = Awaited<ReturnType<HostContext['server']['node']['walEnd']>>;

function bench(
  options: { walEnd?: WalEnd; waldump?: string; keepFails?: boolean; quarantined?: boolean } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-lost-'));
  folders.push(folder);
  const binDir = join(folder, 'bin');
  mkdirSync(binDir);
  writeFileSync(join(binDir, 'pg_waldump'), `#!/bin/sh\n${options.waldump ?? `echo '${commit}'`}\n`);
  chmodSync(join(binDir, 'pg_waldump'), 0o755);
  const events: ClusterEvent[] = [];
  const steps: string[] = [];
  const reports = () => {
    const place = join(folder, 'lost-writes');
    return existsSync(place)
      ? readdirSync(place).filter((name) => existsSync(join(place, name, 'report.json')))
      : [];
  };
  const step = (name: string) => void steps.push(`${name}, ${reports().length} reports`);
  const node = {
    host: { dataDir: join(folder, 'pgdata') },
    walEnd: async () =>
      options.walEnd ?? { kind: 'wal-end', timeline: 2, lastRecordLsn: lsnOf(0x5000a00n), endLsn: end },
    controlFile: async () => ({ kind: 'control-data', checkpointTimeline: 2 }),
    keepDiscardedWal: async ({ into }: { into: string }) => {
      if (options.keepFails) throw new Error('ENOSPC: no space left on device');
      writeFileSync(join(into, '000000020000000000000005'), 'log');
      return { kind: 'kept', files: ['000000020000000000000005'], missing: [] };
    },
    isQuarantined: async () => options.quarantined ?? false,
    stopFast: async () => step('stop'),
    killAll: async () => ({ remaining: [] }),
    rewind: async () => {
      step('rewind');
      return { kind: 'failed', step: 'pg_rewind', touched: true, output: 'enough for this test' };
    },
    baseBackup: async () => {
      step('rebuild');
      return { kind: 'failed', output: 'enough for this test' };
    },
  };
  const context = {
    certificates: { trusted: () => null, isMissing: () => false },
    config: { node: 'node1', folder, postgres: { binDir }, secrets: { superuser: {} } },
    disk: { facts: () => ({ dataEpoch: 3 }) },
    keeper: { view: () => ({ watch: { lease: { epoch: 4 } } }) },
    store: {
      putEvent: async (event: ClusterEvent) => {
        events.push(event);
        return { kind: 'ok' };
      },
    },
    server: { node, nowFollows: () => undefined, rewindFailed: () => undefined },
    journal: { begin: async () => ({}), note: async () => undefined, close: async () => undefined },
    emit: () => undefined,
    log: () => undefined,
  } as unknown as HostContext;
  return { context, folder, events, steps, reports };
}

describe('before anything is overwritten', () => {
  it('a rebuild finds the report written', async () => {
    const { context, steps } = bench();
    await rebuildFrom(context, upstream, fork);
    expect(steps).toEqual(['stop, 0 reports', 'rebuild, 1 reports']);
  });

  it('a rebuild of what an interrupted rewind left writes none: its log is no longer this node alone', async () => {
    const { context, steps } = bench({ quarantined: true });
    await rebuildFrom(context, upstream, fork);
    expect(steps).toEqual(['stop, 0 reports', 'rebuild, 0 reports']);
  });

  it('a log that cannot be kept ends it', async () => {
    const { context, steps } = bench({ keepFails: true });
    await expect(rebuildFrom(context, upstream, fork)).rejects.toThrow('no space left');
    expect(steps).toEqual(['stop, 0 reports']);
  });

  it('a rewind without a checkpoint on its source does not even stop', async () => {
    const { context, steps } = bench();
    expect((await rewindTo(context, { ...upstream, port: 1 }, fork)).kind).toBe('failed');
    expect(steps).toEqual([]);
  });
});

describe('the report', () => {
  it('has the range, the transactions and the kept files, and the event has its facts', async () => {
    const { context, folder, events, reports } = bench();
    await recordLostWrites(context, 'rewind', fork);
    const [name = ''] = reports();
    expect(name).toBe('epoch-3-timeline-2-from-0-5000060-to-0-5000A60');
    const report = JSON.parse(readFileSync(join(folder, 'lost-writes', name, 'report.json'), 'utf8'));
    expect(report).toMatchObject({
      cause: 'rewind',
      epoch: 3,
      returnsTo: 4,
      fromLsn: '0/5000060',
      toLsn: '0/5000A60',
      files: ['000000020000000000000005'],
      summary: { committed: 1, commits: [{ xid: 725 }] },
      notSummarised: null,
    });
    expect(events).toMatchObject([
      { kind: 'wal_discarded', who: 'node1', epoch: 4, details: { transactions: 1 } },
    ]);
  });

  it('repeated is one folder and one event', async () => {
    const { context, events, reports } = bench();
    await recordLostWrites(context, 'rewind', fork);
    await recordLostWrites(context, 'rewind', fork);
    expect(reports().length).toBe(1);
    expect(events.length).toBe(2);
    expect(new Set(events.map(({ id }) => id)).size).toBe(1);
    expect(new Set(events.map(({ time }) => time)).size).toBe(1);
  });

  it('is none where nothing is given up', async () => {
    const walEnd: WalEnd = { kind: 'wal-end', timeline: 2, lastRecordLsn: lsnOf(0x5000028n), endLsn: fork };
    const { context, events, reports } = bench({ walEnd });
    await recordLostWrites(context, 'rewind', fork);
    expect(reports()).toEqual([]);
    expect(events).toEqual([]);
  });

  it('says what could not be read, and does not call it nothing', async () => {
    const broken = bench({ waldump: "echo 'pg_waldump: error: could not find a valid record' >&2; exit 1" });
    await recordLostWrites(broken.context, 'rewind', fork);
    expect(broken.events[0]?.details).toMatchObject({ transactions: null });
    expect(broken.events[0]?.message).toContain('could not find a valid record');
    const partly = bench({ waldump: `echo '${commit}'; echo 'pg_waldump: error: broken' >&2; exit 1` });
    await recordLostWrites(partly.context, 'rewind', fork);
    expect(partly.events[0]?.message).toContain('at least 1 committed transaction ');
    const endless = bench({ walEnd: { kind: 'unknown', reason: 'pg_waldump: no WAL' } });
    await recordLostWrites(endless.context, 'rebuild', fork);
    expect(endless.events[0]?.details).toMatchObject({
      to_lsn: null,
      not_summarised: expect.stringContaining('no WAL'),
    });
    const stranger = bench();
    await recordLostWrites(stranger.context, 'rebuild', null);
    expect(stranger.events[0]?.details).toMatchObject({ from_lsn: null, transactions: null });
  });

  it('goes when there are too many newer ones, and not before', async () => {
    const { context, folder, reports } = bench();
    const place = join(folder, 'lost-writes');
    for (let at = 0; at < keptReports + 2; at += 1) {
      const name = join(place, `epoch-${at}`);
      mkdirSync(name, { recursive: true });
      const writtenAt = new Date(Date.UTC(2026, 0, 1 + at)).toISOString();
      writeFileSync(join(name, 'report.json'), JSON.stringify({ eventId: `e${at}`, writtenAt }));
    }
    await dropOldReports(context);
    expect(reports().length).toBe(keptReports);
    expect(reports()).not.toContain('epoch-0');
    expect(reports()).not.toContain('epoch-1');
    await dropOldReports(context);
    expect(reports().length).toBe(keptReports);
  });
});
