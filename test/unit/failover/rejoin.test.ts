/**
 * How a node comes back, row by row: every row of the table is reached, and only by what it names.
 */
import { expect, test } from 'vitest';
import {
  type DataDirectory,
  decideRejoin,
  type RejoinView,
  rejoinRules,
} from '../../../core/failover/rejoin.ts';
import type { EpochRecord } from '../../../core/model/cluster-record.ts';
import { parseLsn } from '../../../core/model/lsn.ts';
import { systemIdentifierOf } from '../../../core/model/system-identifier.ts';
import type { TimelineHistory } from '../../../core/model/timeline.ts';

const lsn = (text: string) => parseLsn(text) ?? expect.fail(`not an LSN: ${text}`);
const fork = lsn('0/5000000');
const first: TimelineHistory = { timeline: 1, ancestors: [] };
const second: TimelineHistory = { timeline: 2, ancestors: [{ timeline: 1, switchLsn: fork, reason: '' }] };
const epochs: readonly EpochRecord[] = [
  { epoch: 1, node: 'a', timeline: 1, forkLsn: null, history: [] },
  { epoch: 2, node: 'b', timeline: 2, forkLsn: fork, history: second.ancestors },
];

const oldPrimary: DataDirectory = {
  systemIdentifier: systemIdentifierOf(7n),
  state: 'shut-down',
  history: first,
  checkpointLsn: lsn('0/4FFFF88'),
  walEnd: null,
  receivedLsn: null,
  replayedLsn: null,
  epoch: 1,
  interrupted: null,
  rewindable: true,
  rewindFailed: false,
};
const crashed: DataDirectory = { ...oldPrimary, state: 'in-production', checkpointLsn: lsn('0/4000000') };
const standby: DataDirectory = { ...crashed, state: 'shut-down-in-recovery' };

const view = (data: Partial<DataDirectory> | null, over: Partial<RejoinView> = {}): RejoinView => ({
  node: 'a',
  data: data === null ? null : { ...oldPrimary, ...data },
  systemIdentifier: systemIdentifierOf(7n),
  epochs,
  lease: { holder: 'b', epoch: 2, state: 'held' },
  ...over,
});

const sibling: TimelineHistory = { timeline: 7, ancestors: [{ timeline: 6, switchLsn: fork, reason: '' }] };
const held = { holder: 'b', epoch: 2, state: 'held' } as const;

const cases: readonly [string, string, RejoinView][] = [
  ['holds-the-lease', 'wait', view({}, { lease: { ...held, holder: 'a' } })],
  ['no-data', 'rebuild', view(null)],
  ['other-system-identifier', 'wait', view({ systemIdentifier: systemIdentifierOf(8n) })],
  ['lease-not-held', 'wait', view({}, { lease: { ...held, state: 'sealed' } })],
  ['epoch-ahead', 'wait', view({ epoch: 3 })],
  ['epoch-not-recorded', 'wait', view({}, { lease: { ...held, epoch: 3 } })],
  ['interrupted-copy', 'rebuild', view({ interrupted: 'copy' })],
  ['interrupted-rewind', 'rebuild', view({ interrupted: 'rewind' })],
  ['epoch-unknown', 'rebuild', view({ epoch: null })],
  ['same-timeline-other-epoch', 'rebuild', view({ epoch: 1, history: second })],
  ['current-epoch', 'start-as-is', view({ ...standby, epoch: 2, history: second })],
  ['nothing-in-common', 'rebuild', view({ history: sibling })],
  ['clean-before-fork', 'start-as-is', view({})],
  ['past-the-fork', 'rewind', view({ ...crashed, walEnd: lsn('0/5000001') })],
  ['end-unknown', 'need-wal-end', view(crashed)],
  ['ends-before-fork', 'start-as-is', view({ ...crashed, walEnd: fork })],
];

test.each(cases)('%s leads to %s', (rule, kind, given) => {
  expect(decideRejoin(given)).toMatchObject({ rule, kind });
});

test('every row but the last is reached; the last only guards against a log that is neither', () => {
  expect([...cases.map(([rule]) => rule), 'diverged']).toEqual(rejoinRules);
});

test('a clean stop exactly at the fork diverged: the checkpoint record itself lies past it', () => {
  expect(decideRejoin(view({ checkpointLsn: fork }))).toMatchObject({
    rule: 'past-the-fork',
    kind: 'rewind',
  });
});

test('what the control file already shows past the fork needs no look at the WAL', () => {
  expect(decideRejoin(view({ ...crashed, checkpointLsn: lsn('0/5000028') }))).toMatchObject({
    kind: 'rewind',
  });
});

test('a standby that received past the fork diverged although it replayed less', () => {
  const ahead = view({ ...standby, receivedLsn: lsn('0/5000060'), replayedLsn: lsn('0/4000100') });
  expect(decideRejoin(ahead)).toMatchObject({ rule: 'past-the-fork', kind: 'rewind' });
  const replayed = view({ ...standby, receivedLsn: lsn('0/4000100'), replayedLsn: lsn('0/5000060') });
  expect(decideRejoin(replayed)).toMatchObject({ rule: 'past-the-fork', kind: 'rewind' });
});

test('a standby whose receiver position was lost must look at its WAL: it may hold more than it replayed', () => {
  expect(decideRejoin(view({ ...standby, replayedLsn: lsn('0/4000100') }))).toMatchObject({
    kind: 'need-wal-end',
  });
});

test('without checksums or hints, or after a failed rewind, it is rebuilt', () => {
  const past = { ...crashed, walEnd: lsn('0/6000000') };
  expect(decideRejoin(view({ ...past, rewindable: false }))).toMatchObject({
    kind: 'rebuild',
    rule: 'past-the-fork',
  });
  expect(decideRejoin(view({ ...past, rewindFailed: true }))).toMatchObject({
    kind: 'rebuild',
    rule: 'past-the-fork',
  });
});

test('a restart of the primary on its own timeline makes nobody diverge', () => {
  const restarted: EpochRecord = {
    epoch: 3,
    node: 'b',
    timeline: 2,
    forkLsn: null,
    history: second.ancestors,
  };
  const after = { epochs: [...epochs, restarted], lease: { ...held, epoch: 3 } };
  expect(decideRejoin(view({ ...standby, epoch: 2, history: second }, after))).toMatchObject({
    kind: 'start-as-is',
    rule: 'current-epoch',
  });
  expect(decideRejoin(view({}, after))).toMatchObject({ kind: 'start-as-is', rule: 'clean-before-fork' });
});

test('a timeline whose promotion was never recorded and whose number was used again is rebuilt', () => {
  const used: EpochRecord = { epoch: 3, node: 'c', timeline: 2, forkLsn: fork, history: second.ancestors };
  const first1 = epochs.slice(0, 1);
  const unrecorded = view(
    { ...crashed, epoch: 2, history: second, walEnd: lsn('0/6000000') },
    { epochs: [...first1, used], lease: { holder: 'c', epoch: 3, state: 'held' } },
  );
  expect(decideRejoin(unrecorded)).toMatchObject({ rule: 'same-timeline-other-epoch', kind: 'rebuild' });
});

test('a number that was recorded twice, against the rule, is trusted for the later one alone', () => {
  const again: EpochRecord = { epoch: 3, node: 'c', timeline: 2, forkLsn: fork, history: second.ancestors };
  const twice = view(
    { ...crashed, epoch: 2, history: second, walEnd: lsn('0/6000000') },
    { epochs: [...epochs, again], lease: { holder: 'c', epoch: 3, state: 'held' } },
  );
  expect(decideRejoin(twice)).toMatchObject({ rule: 'same-timeline-other-epoch', kind: 'rebuild' });
});

test('the fork comes back with the decision', () => {
  expect(decideRejoin(view({})).forkLsn).toBe(fork);
});
