/** When a cluster counts as whole: every single lack is named, and nothing is missing only when nothing is. */
import { describe, expect, it } from 'vitest';
import { type ClusterSight, missingByReports } from '../../cli/cluster/redundancy.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../support/samples.ts';

const wanted = { nodes: ['node1', 'node2'], proxies: ['proxy1'] };
const lease = { ...sampleLease, state: 'held' as const, holder: 'node1', epoch: 3 };
const primary = { ...sampleNodeReport, node: 'node1', role: 'primary' as const, epoch: 3, streaming: false };
const standby = { ...sampleNodeReport, node: 'node2', epoch: 3 };
const proxy = { ...sampleProxyReport, epoch: 3, routesTo: 'node1', paused: false };
const record = { ...sampleRecord, failoverState: 'stable' as const, operation: null };
const whole: ClusterSight = { record, lease, nodes: [primary, standby], proxies: [proxy] };

describe('a cluster', () => {
  it('is whole when primary, standbys and proxies agree on the epoch and no operation runs', () => {
    expect(missingByReports(whole, wanted)).toEqual([]);
  });

  const lacks: [string, Partial<ClusterSight>, RegExp][] = [
    ['no record', { record: null }, /no record/],
    [
      'no lease and no bootstrap',
      { lease: null, record: { ...record, bootstrap: null } },
      /begun the bootstrap/,
    ],
    ['no lease', { lease: null }, /node1 makes the first data directory/],
    ['an operation under way', { record: sampleRecord }, /switchover is under way \(waiting_for_catchup\)/],
    ['a state that is not stable', { record: { ...record, failoverState: 'initiated' } }, /under way/],
    ['a lease that is not held', { lease: { ...lease, state: 'sealed' } }, /lease is sealed/],
    ['a primary that has not reported', { nodes: [standby] }, /node1 has not reported/],
    ['a primary of an older epoch', { nodes: [{ ...primary, epoch: 2 }, standby] }, /node1 holds the lease/],
    [
      'a primary whose PostgreSQL starts up',
      { nodes: [{ ...primary, postgres: 'starting_up' }, standby] },
      /node1 is primary and its PostgreSQL is starting_up/,
    ],
    ['a standby that has not reported', { nodes: [primary] }, /node2 has not reported/],
    [
      'a standby that is cloning',
      { nodes: [primary, { ...standby, activity: 'cloning' }] },
      /node2 is cloning/,
    ],
    [
      'a node that was refused, with the reason',
      { nodes: [primary, { ...standby, activity: 'refused', detail: 'another system identifier' }] },
      /node2 is refused: another system identifier/,
    ],
    ['a second primary', { nodes: [primary, { ...standby, role: 'primary' }] }, /node2 is no standby yet/],
    [
      'a standby that does not stream',
      { nodes: [primary, { ...standby, streaming: false }] },
      /does not stream/,
    ],
    ['a standby of an older epoch', { nodes: [primary, { ...standby, epoch: 2 }] }, /does not stream/],
    ['a proxy that has not reported', { proxies: [] }, /proxy1 has not reported/],
    ['a proxy that is paused', { proxies: [{ ...proxy, paused: true }] }, /holds its clients back/],
    ['a proxy of an older epoch', { proxies: [{ ...proxy, epoch: 2 }] }, /does not route to node1/],
    [
      'a proxy that routes elsewhere',
      { proxies: [{ ...proxy, routesTo: 'node2' }] },
      /does not route to node1/,
    ],
  ];

  it.each(lacks)('is not whole with %s', (_name, change, said) => {
    const missing = missingByReports({ ...whole, ...change }, wanted);
    expect(missing).toHaveLength(1);
    expect(missing[0]).toMatch(said);
  });
});
