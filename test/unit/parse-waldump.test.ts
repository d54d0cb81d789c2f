/** What pg_waldump of PostgreSQL 15 prints (lines as it printed them, the long ones cut), read and gathered. */
import { describe, expect, it } from 'vitest';
import {
  mostCommits,
  mostRelations,
  parseWalRecord,
  WalSummaryBuilder,
} from '../../core/wire/parse-waldump.ts';

const printed = `
rmgr: Heap        len (rec/tot):     59/    59, tx:        725, lsn: 0/0151FF70, prev 0/0151FEF8, desc: INSERT+INIT off 1 flags 0x00, blkref #0: rel 1663/5/16384 blk 0
rmgr: Btree       len (rec/tot):     90/    90, tx:        725, lsn: 0/0151FFB0, prev 0/0151FF70, desc: NEWROOT lev 0, blkref #0: rel 1663/5/16387 blk 1, blkref #2: rel 1663/5/16387 blk 0
rmgr: Transaction len (rec/tot):     34/    34, tx:        725, lsn: 0/01520068, prev 0/01520028, desc: COMMIT 2026-11-24 23:01:27.011585 UTC
rmgr: Heap        len (rec/tot):     59/    59, tx:        726, lsn: 0/01520090, prev 0/01520068, desc: INSERT off 2 flags 0x00, blkref #0: rel 1663/5/16384 blk 0
rmgr: Transaction len (rec/tot):     46/    46, tx:        726, lsn: 0/01520190, prev 0/01520150, desc: COMMIT 2026-11-24 23:01:27.014160 UTC; subxacts: 727
rmgr: Transaction len (rec/tot):     34/    34, tx:        728, lsn: 0/01520240, prev 0/01520200, desc: ABORT 2026-11-24 23:01:27.014495 UTC
rmgr: Transaction len (rec/tot):    242/   242, tx:        729, lsn: 0/015202E8, prev 0/015202A8, desc: PREPARE gid gid: 2026-11-24 23:01:27.014532 UTC
rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/015203E0, prev 0/015202E8, desc: COMMIT_PREPARED 729: 2026-11-24 23:01:27.015204 UTC
rmgr: Transaction len (rec/tot):    242/   242, tx:        730, lsn: 0/01520490, prev 0/01520450, desc: PREPARE gid gid2: 2026-11-24 23:01:27.015627 UTC
rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/01520588, prev 0/01520490, desc: ABORT_PREPARED 730: 2026-11-24 23:01:27.015818 UTC
rmgr: Standby     len (rec/tot):     42/    42, tx:        731, lsn: 0/015205B8, prev 0/01520588, desc: LOCK xid 731 db 5 rel 16389 
rmgr: Storage     len (rec/tot):     42/    42, tx:        731, lsn: 0/015205E8, prev 0/015205B8, desc: CREATE base/5/16389
rmgr: Heap        len (rec/tot):     54/  2334, tx:        731, lsn: 0/01520618, prev 0/015205E8, desc: INSERT off 12 flags 0x00, blkref #0: rel 1663/5/1247 blk 14 FPW
rmgr: Transaction len (rec/tot):    469/   469, tx:        732, lsn: 0/01536160, prev 0/01536128, desc: COMMIT 2026-11-24 23:01:27.018959 UTC; rels: base/5/16389; dropped stats: 2/5/16389; inval msgs: catcache 80
rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/01536338, prev 0/01536160, desc: CHECKPOINT_SHUTDOWN redo 0/1536338; tli 1; prev tli 1; fpw true; xid 0:733; shutdown
pg_waldump: error: error in WAL record at 0/1536338: invalid record length at 0/15363B0: wanted 24, got 0
`;

function gather(text: string) {
  const builder = new WalSummaryBuilder();
  for (const line of text.split('\n')) builder.add(line);
  return builder.summary();
}

describe('a stretch of log', () => {
  it('is summed up in its transactions: plain ones, with subtransactions, prepared ones; what was not committed is not', () => {
    const { committed, aborted, commits, lastCommit } = gather(printed);
    expect(committed).toBe(4);
    expect(aborted).toBe(2);
    expect(commits).toEqual([
      { xid: 725, time: '2026-11-24 23:01:27.011585 UTC', lsn: '0/1520068' },
      { xid: 726, time: '2026-11-24 23:01:27.014160 UTC', lsn: '0/1520190' },
      { xid: 729, time: '2026-11-24 23:01:27.015204 UTC', lsn: '0/15203E0' },
      { xid: 732, time: '2026-11-24 23:01:27.018959 UTC', lsn: '0/1536160' },
    ]);
    expect(lastCommit).toBe('2026-11-24 23:01:27.018959 UTC');
  });

  it('is counted by resource manager, full-page images with it', () => {
    const { records, bytes, managers } = gather(printed);
    expect(records).toBe(15);
    expect(managers['Heap']).toEqual({ records: 3, bytes: 59 + 59 + 2_334 });
    expect(managers['Transaction']?.records).toBe(8);
    expect(bytes).toBe(Object.values(managers).reduce((sum, one) => sum + one.bytes, 0));
  });

  it('names the relations that were changed, each once', () => {
    expect(gather(printed).relations).toEqual(['1663/5/16384', '1663/5/16387', '1663/5/1247']);
  });

  it('keeps its lists short, and says so', () => {
    const commit = (xid: number) =>
      `rmgr: Transaction len (rec/tot):     34/    34, tx:  ${xid}, lsn: 0/01520068, prev 0/01520028, desc: COMMIT 2026-11-24 23:01:27.011585 UTC`;
    const change = (relation: number) =>
      `rmgr: Heap        len (rec/tot):     59/    59, tx: 7, lsn: 0/01520090, prev 0/01520068, desc: INSERT off 2, blkref #0: rel 1663/5/${relation} blk 0`;
    const lines = Array.from({ length: 2 * mostCommits }, (_, at) => [commit(at), change(at)]).flat();
    const summary = gather(lines.join('\n'));
    expect(summary.committed).toBe(2 * mostCommits);
    expect(summary.commits.length).toBe(mostCommits);
    expect(summary.relations.length).toBe(mostRelations);
    expect(summary.moreRelations).toBe(true);
  });

  it('may be empty', () => {
    expect(gather('')).toMatchObject({ records: 0, committed: 0, commits: [], lastCommit: null });
    expect(parseWalRecord('pg_waldump: error: could not open directory')).toBeNull();
  });
});
