/** Who reads the lease at once at a wake-up, and who a little later, through each state of a hand-over. */
import { expect, test } from 'vitest';
import { standsBy } from '../../core/lease/stands-by.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import { sampleLease, sampleRecord } from '../support/samples.ts';

const [first] = sampleRecord.epochs;
if (first === undefined) throw new Error('the sample has epochs');
const recorded = (epoch: number): ClusterRecord => ({ ...sampleRecord, epochs: [{ ...first, epoch }] });
const nodes = ['node1', 'node2', 'node3'];
const calm: Lease = { ...sampleLease, epoch: 3, holder: 'node1', state: 'held', successor: null };
const by = (lease: Lease | null, record: ClusterRecord | null) =>
  nodes.filter((node) => standsBy(lease, record, node));

test.each<[string, Lease, number, readonly string[]]>([
  ['while nothing is under way', calm, 3, []],
  ['from the announcement', { ...calm, successor: 'node2' }, 3, ['node3']],
  ['once it is released', { ...calm, state: 'released', successor: 'node2' }, 3, ['node1', 'node3']],
  ['until the new epoch is recorded', { ...calm, epoch: 4, holder: 'node2' }, 3, ['node1', 'node3']],
  ['and no longer', { ...calm, epoch: 4, holder: 'node2' }, 4, []],
  ['when the lease was sealed and nobody is named', { ...calm, state: 'sealed' }, 3, []],
  ['when it was sealed, and one is', { ...calm, state: 'sealed', successor: 'node3' }, 3, ['node1', 'node2']],
  ['when it was released to nobody', { ...calm, state: 'released' }, 3, []],
])('%s', (_when, lease, epoch, others) => {
  expect(by(lease, recorded(epoch))).toEqual(others);
});

test('who knows too little stands by for nobody', () => {
  expect(by(null, recorded(3))).toEqual([]);
  expect(by({ ...calm, successor: 'node2' }, null)).toEqual([]);
});
