/** What is said of discarded log: in the event, and by `leasehold lost-writes`, which has the event alone. */
import { describe, expect, it } from 'vitest';
import { lostWritesOf, renderLostWrites } from '../../cli/lost-writes-report.ts';
import { boundedDetails, type ClusterEvent } from '../../core/model/cluster-event.ts';
import { type LostWrites, lostWritesDetails, lostWritesMessage } from '../../core/model/lost-writes.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { eventToItem, parseEvent } from '../../core/wire/parse-event.ts';

const folder = '/srv/node1/lost-writes/epoch-3-timeline-2-from-0-5000060-to-0-5000A60';
const look = `/usr/lib/postgresql/15/bin/pg_waldump --path=${folder} --timeline=2 --start=0/5000060 --end=0/5000A60`;
const lost: LostWrites = {
  node: 'node1',
  cause: 'rewind',
  epoch: 3,
  returnsTo: 4,
  timeline: 2,
  fromLsn: lsnOf(0x5000060n),
  toLsn: lsnOf(0x5000a60n),
  folder,
  files: ['000000020000000000000005'],
  missing: [],
  summary: {
    records: 12,
    bytes: 2_400,
    managers: { Heap: { records: 10, bytes: 2_000 }, Transaction: { records: 2, bytes: 400 } },
    committed: 2,
    aborted: 0,
    commits: [
      { xid: 740, time: '2026-11-24 23:01:27 UTC', lsn: '0/5000100' },
      { xid: 741, time: '2026-11-24 23:01:28 UTC', lsn: '0/5000200' },
    ],
    lastCommit: '2026-11-24 23:01:28 UTC',
    relations: ['1663/5/16384'],
    moreRelations: false,
  },
  notSummarised: null,
  look,
};

function eventOf(change: Partial<LostWrites> = {}): ClusterEvent {
  const one = { ...lost, ...change };
  const event: ClusterEvent = {
    id: '01JDFF0000000000000000000A',
    kind: 'wal_discarded',
    time: '2026-11-24T23:05:00.000Z',
    who: 'node1',
    rule: '',
    epoch: 4,
    operation: null,
    message: lostWritesMessage(one),
    details: boundedDetails(lostWritesDetails(one)),
  };
  return parseEvent(eventToItem(event));
}

describe('discarded log', () => {
  it('is told with its range, its transactions and where it is kept', () => {
    expect(lostWritesMessage(lost)).toBe(
      `0/5000060 to 0/5000A60: 2 committed transactions; 1 files kept in ${folder}`,
    );
    expect(lostWritesDetails(lost)).toMatchObject({
      from_lsn: '0/5000060',
      to_lsn: '0/5000A60',
      bytes: 0xa00,
      transactions: 2,
      first_commit: '2026-11-24 23:01:27 UTC',
      last_commit: '2026-11-24 23:01:28 UTC',
      look,
    });
  });

  it('of which little or nothing is known is not called empty', () => {
    const unread = { summary: null, notSummarised: 'where its log ends is not known: no WAL', toLsn: null };
    expect(lostWritesMessage({ ...lost, ...unread })).toContain('what was committed is not known');
    expect(lostWritesDetails({ ...lost, ...unread })).toMatchObject({
      transactions: null,
      to_lsn: null,
      bytes: null,
    });
    expect(lostWritesMessage({ ...lost, notSummarised: 'read in part only: I/O error' })).toContain(
      'at least 2',
    );
    expect(lostWritesMessage({ ...lost, fromLsn: null })).toContain('an unknown fork');
  });

  it('is one event among others, in the table and out of it', () => {
    const other: ClusterEvent = { ...eventOf(), kind: 'node_rewound' };
    const [entry, ...more] = lostWritesOf([other, eventOf(), other]);
    expect(more).toEqual([]);
    expect(entry).toMatchObject({ node: 'node1', epoch: 4, transactions: 2, folder });
  });

  it('is shown with the command that shows all of it', () => {
    const text = renderLostWrites(lostWritesOf([eventOf()]));
    expect(text).toContain('node1, rewind, back to epoch 4');
    expect(text).toContain('0/5000060 to 0/5000A60 on timeline 2, epoch 3, 2560 bytes');
    expect(text).toContain('2 committed, 2026-11-24 23:01:27 UTC to 2026-11-24 23:01:28 UTC');
    expect(text).toContain(look);
    const none = eventOf({ summary: null, notSummarised: 'the log is gone' });
    expect(renderLostWrites(lostWritesOf([none]))).toContain('not known: the log is gone');
  });

  it('of an older agent is shown as it told it, and none at all is said to be none', () => {
    const { details: _, ...old } = eventOf();
    expect(renderLostWrites(lostWritesOf([old]))).toContain(lostWritesMessage(lost));
    expect(renderLostWrites([])).toContain('Nothing was lost');
  });
});

describe('the facts of an event', () => {
  it('are few and short, and what is left out is said', () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`fact${at}`, 'x'.repeat(5_000)]));
    const bounded = boundedDetails(many);
    expect(bounded['left_out']).toBe(8);
    expect(`${bounded['fact0']}`.length).toBe(1_000);
    expect(JSON.stringify(bounded).length).toBeLessThan(40_000);
  });

  it('are refused from the table when they are more than plain facts', () => {
    const item = { ...eventToItem(eventOf()), details: { nested: { no: 1 } } };
    expect(() => parseEvent(item)).toThrow('event.details.nested');
  });
});
