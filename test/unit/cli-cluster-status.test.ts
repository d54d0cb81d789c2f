/** What `leasehold status` makes of record, lease and reports. */
import { describe, expect, it } from 'vitest';
import { clusterStatus, renderStatus } from '../../cli/cluster-status.ts';
import { asynchronous } from '../../core/model/lease.ts';
import { sampleLease, sampleNodeReport, sampleRecord } from '../support/samples.ts';

const held = { ...sampleLease, state: 'held' as const };
const head = { record: sampleRecord, lease: held, msLeft: 1500 };
const standby = { ...sampleNodeReport, node: 'node2' };
const primary = {
  ...sampleNodeReport,
  node: 'node1',
  role: 'primary' as const,
  streaming: false,
  upstream: null,
  lagBytes: null,
};

describe('the status of a cluster', () => {
  it('has the keys that others rely on, in JSON that rounds nothing', () => {
    const status = JSON.parse(JSON.stringify(clusterStatus(head, [primary, standby])));
    expect(status).toEqual({
      cluster: 'main',
      failoverState: 'waiting_for_catchup',
      epoch: 3,
      lease: { holder: 'node1', state: 'held', msLeft: 1500 },
      synchronous: sampleLease.sync,
      nodes: [
        {
          id: 'node1',
          role: 'primary',
          state: 'running',
          timeline: 3,
          lsn: '0/3000100',
          lagBytes: null,
          sync: null,
        },
        {
          id: 'node2',
          role: 'standby',
          state: 'streaming',
          timeline: 3,
          lsn: '0/3000100',
          lagBytes: 160,
          sync: 'sync',
        },
      ],
    });
  });

  it('says by which rule commits are acknowledged, and to which it is being changed', () => {
    const shown = (sync: typeof held.sync) =>
      renderStatus(clusterStatus({ ...head, lease: { ...held, sync } }, [])).split('\n')[2];
    expect(shown(held.sync)).toBe(
      'synchronous: on, FIRST 1 of node2, node3, changing to ANY 2 of node2, node3',
    );
    expect(shown({ ...asynchronous, mode: 'on' })).toBe('synchronous: on, the primary alone');
    expect(shown(asynchronous)).toBe('synchronous: off');
  });

  it('names a member that has never reported', () => {
    const [first] = clusterStatus(head, [standby]).nodes;
    expect(first).toEqual({
      id: 'node1',
      role: 'none',
      state: 'absent',
      timeline: null,
      lsn: null,
      lagBytes: null,
      sync: null,
    });
  });

  it('calls a standby asynchronous when nobody waits for it', () => {
    const off = { ...held, sync: { ...asynchronous, mode: 'off' as const, k: 0, names: ['node2'] } };
    const without = { ...held, sync: { ...asynchronous, mode: 'on' as const, k: 1, names: ['node3'] } };
    for (const lease of [off, without]) {
      const status = clusterStatus({ ...head, lease }, [standby]);
      expect(status.nodes.find(({ id }) => id === 'node2')?.sync).toBe('async');
    }
  });

  it('says what a node is doing before it says what its PostgreSQL is', () => {
    const cloning = {
      ...standby,
      activity: 'cloning' as const,
      postgres: 'absent' as const,
      streaming: false,
    };
    const stopped = { ...standby, postgres: 'stopped' as const, streaming: false };
    const states = [cloning, stopped].map((report) => clusterStatus(head, [report]).nodes.at(-1)?.state);
    expect(states).toEqual(['cloning', 'stopped']);
  });

  it('has epoch 0 and no holder before the first lease', () => {
    const status = clusterStatus({ record: { ...sampleRecord, members: [] }, lease: null, msLeft: 0 }, []);
    expect(status.epoch).toBe(0);
    expect(status.lease).toEqual({ holder: null, state: 'absent', msLeft: 0 });
  });

  it('shows a lease that is not held by its state, not by a time', () => {
    const text = renderStatus(clusterStatus({ ...head, lease: sampleLease, msLeft: 0 }, [primary]));
    expect(text).toContain('lease: node1, released');
    expect(text).not.toContain('ms left');
  });
});
