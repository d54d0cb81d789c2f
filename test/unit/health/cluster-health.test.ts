/**
 * What two looks at a cluster say of its health: each figure moves when what it stands for happens, and says nothing where nothing is known.
 */
import { describe, expect, test } from 'vitest';
import { type ClusterLook, clusterHealth, lookToKeep } from '../../../core/health/cluster-health.ts';
import { troublesIn, worthSending } from '../../../core/health/cluster-metrics.ts';
import { defaultSpec } from '../../../core/model/cluster-record.ts';
import type { Lease } from '../../../core/model/lease.ts';
import type { NodeReport } from '../../../core/model/node-report.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

const minuteMs = 60_000;
const members = ['node1', 'node2', 'node3'];

const lease: Lease = { ...sampleLease, state: 'held', holder: 'node1', ttlMs: 5_000, seq: 100 };

function report(node: string, over: Partial<NodeReport> = {}): NodeReport {
  const primary = node === 'node1';
  return {
    ...sampleNodeReport,
    node,
    incarnation: `of-${node}`,
    seq: 10,
    role: primary ? 'primary' : 'standby',
    streaming: !primary,
    lagBytes: primary ? null : 0,
    ...over,
  };
}

const first: ClusterLook = {
  atMs: 1_000_000,
  record: {
    ...sampleRecord,
    members,
    proxies: ['proxy1'],
    operation: null,
    spec: { ...defaultSpec, heartbeatMs: 1_000 },
  },
  lease,
  nodes: members.map((node) => report(node)),
  proxies: [{ ...sampleProxyReport, paused: false }],
  operationSinceMs: null,
};

/** A minute later, everybody having written meanwhile. */
function later(over: Partial<ClusterLook> = {}): ClusterLook {
  return {
    ...first,
    atMs: first.atMs + minuteMs,
    lease: { ...lease, seq: lease.seq + 60 },
    nodes: members.map((node) => report(node, { seq: 16 })),
    proxies: [{ ...sampleProxyReport, paused: false, seq: sampleProxyReport.seq + 6 }],
    ...over,
  };
}

const reports = (change: Partial<Record<string, Partial<NodeReport>>>) =>
  members.map((node) => report(node, { seq: 16, ...change[node] }));

const well = {
  NoPrimary: 0,
  ReplicationLagBytes: 0,
  RenewalsMissedPercent: 0,
  HostsOut: 0,
  FailsafeActive: 0,
  SplitBrainSuspected: 0,
  DiskTrouble: 0,
  OperationRunningSeconds: null,
  Trouble: 0,
};

test('a cluster that is well has nothing but zeros', () => {
  expect(clusterHealth(first, later())).toEqual(well);
});

test('the first look knows no silence: what only a comparison can tell is left open', () => {
  expect(clusterHealth(null, first)).toEqual({
    ...well,
    RenewalsMissedPercent: null,
    SplitBrainSuspected: null,
  });
});

describe('no primary', () => {
  test.each(['sealed', 'released', 'fenced'] as const)('a lease that is %s', (state) => {
    expect(clusterHealth(null, { ...first, lease: { ...lease, state } }).NoPrimary).toBe(1);
  });

  test('a cluster without a lease', () => {
    expect(clusterHealth(null, { ...first, lease: null }).NoPrimary).toBe(1);
  });

  test('a lease that is held, and that nobody has renewed since the look before', () => {
    expect(clusterHealth(first, later({ lease })).NoPrimary).toBe(1);
    // One look alone cannot tell.
    expect(clusterHealth(null, later({ lease })).NoPrimary).toBe(0);
  });

  test('not while the lease may still be good, however still it stands', () => {
    const long = { ...lease, ttlMs: 40_000 };
    expect(clusterHealth({ ...first, lease: long }, later({ lease: long })).NoPrimary).toBe(0);
  });

  test('not where a peer has promised: the primary writes on in failsafe mode', () => {
    const figures = clusterHealth(first, later({ lease, nodes: reports({ node2: { failsafe: true } }) }));
    expect(figures).toMatchObject({ NoPrimary: 0, FailsafeActive: 1, RenewalsMissedPercent: 100 });
  });

  test('an old promise counts for nothing: who gave it has not written since', () => {
    const promised = (seq: number) => reports({ node2: { failsafe: true, seq } });
    const figures = clusterHealth({ ...first, nodes: promised(16) }, later({ lease, nodes: promised(16) }));
    expect(figures).toMatchObject({ NoPrimary: 1, FailsafeActive: 0 });
  });
});

describe('renewals', () => {
  test.each([
    [60, 0],
    [56, 0],
    [30, 50],
    [0, 100],
    [70, 0],
  ])('%i in a minute of 60 are %i percent missed', (done, missed) => {
    const now = later({ lease: { ...lease, seq: lease.seq + done } });
    expect(clusterHealth(first, now).RenewalsMissedPercent).toBe(missed);
  });

  test('of another epoch or another agent nothing is known', () => {
    for (const change of [{ epoch: 4 }, { incarnation: 'another' }, { state: 'sealed' as const }]) {
      const now = later({ lease: { ...lease, ...change } });
      expect(clusterHealth(first, now).RenewalsMissedPercent).toBeNull();
    }
  });
});

describe('hosts that are out', () => {
  test.each<[string, Partial<NodeReport>]>([
    ['is silent', { seq: 10 }],
    ['has no running PostgreSQL', { postgres: 'stopped', role: 'none' }],
    ['does not stream', { streaming: false }],
  ])('a standby that %s', (_what, change) => {
    expect(clusterHealth(first, later({ nodes: reports({ node3: change }) })).HostsOut).toBe(1);
  });

  test('a member that has never reported, seen at the first look', () => {
    expect(clusterHealth(null, { ...first, nodes: [report('node1'), report('node2')] }).HostsOut).toBe(1);
  });

  test('a proxy that is silent, and one that never reported', () => {
    expect(clusterHealth(first, later({ proxies: first.proxies })).HostsOut).toBe(1);
    expect(clusterHealth(first, later({ proxies: [] })).HostsOut).toBe(1);
  });

  test('an agent that was started anew is not silent, although its count begins again', () => {
    const nodes = reports({ node3: { incarnation: 'new', seq: 1 } });
    expect(clusterHealth(first, later({ nodes })).HostsOut).toBe(0);
  });

  test('reports that cannot be read say nothing', () => {
    const figures = clusterHealth(first, later({ nodes: null }));
    expect(figures).toMatchObject({
      NoPrimary: 0,
      HostsOut: null,
      DiskTrouble: null,
      ReplicationLagBytes: null,
    });
  });
});

test('the lag is that of the worst member, and of no one else', () => {
  const nodes = [
    ...reports({ node2: { lagBytes: 5 }, node3: { lagBytes: 7_000 } }),
    report('stranger', { lagBytes: 9_000_000 }),
  ];
  expect(clusterHealth(first, later({ nodes })).ReplicationLagBytes).toBe(7_000);
});

test.each<[string, Partial<NodeReport>, number]>([
  ['a full disk', { health: 'disk-full' }, 1],
  ['a frozen one', { health: 'disk-frozen' }, 1],
  ['one that is low on space', { diskLow: true }, 1],
  ['a hung PostgreSQL, which is no disk', { health: 'postgres-hung' }, 0],
])('disk trouble counts %s', (_what, change, count) => {
  expect(clusterHealth(first, later({ nodes: reports({ node2: change }) })).DiskTrouble).toBe(count);
});

describe('a split brain is suspected', () => {
  const primary = { role: 'primary', streaming: false } as const;
  const both = (seq: number) => reports({ node1: { seq }, node2: { ...primary, seq } });

  test('when two hosts were open primaries before a look and after it', () => {
    expect(clusterHealth({ ...first, nodes: both(10) }, later({ nodes: both(16) })).SplitBrainSuspected).toBe(
      1,
    );
  });

  test('not by the last word of a host that is gone, which a failover leaves behind', () => {
    const nodes = reports({ node1: { seq: 10 }, node2: { ...primary, seq: 16 } });
    expect(clusterHealth(first, later({ nodes })).SplitBrainSuspected).toBe(0);
    const again = reports({ node1: { seq: 10 }, node2: { ...primary, seq: 22 } });
    expect(
      clusterHealth(later({ nodes }), later({ nodes: again, atMs: 1_120_000 })).SplitBrainSuspected,
    ).toBe(0);
  });

  test('not by a failover between two looks, in which each was primary for a part of the time', () => {
    const nodes = reports({ node1: { seq: 13 }, node2: { ...primary, seq: 16 } });
    expect(clusterHealth(first, later({ nodes })).SplitBrainSuspected).toBe(0);
  });
});

test('an operation under way counts its seconds', () => {
  const now = later({ operationSinceMs: first.atMs });
  expect(clusterHealth(first, now).OperationRunningSeconds).toBe(60);
});

describe('two looks that are too close', () => {
  const soon = later({ atMs: first.atMs + 5_000, lease, nodes: first.nodes, proxies: first.proxies });

  test('show no silence: nobody had to write in between', () => {
    expect(clusterHealth(first, soon)).toMatchObject({
      NoPrimary: 0,
      HostsOut: 0,
      RenewalsMissedPercent: null,
    });
  });

  test('leave the older one to compare with, unless the clock was set back', () => {
    expect(lookToKeep(first, soon)).toBe(first);
    expect(lookToKeep(first, later())).not.toBe(first);
    const back = later({ atMs: first.atMs - 1 });
    expect(lookToKeep(first, back)).toBe(back);
    expect(lookToKeep(null, first)).toBe(first);
  });
});

test('sent is what alarms cannot do without, and what is not 0', () => {
  expect(worthSending(clusterHealth(first, later()), 'full')).toEqual({
    NoPrimary: 0,
    ReplicationLagBytes: 0,
  });
  expect(worthSending(clusterHealth(first, later()), 'essential')).toEqual({});
  const gone = clusterHealth(first, later({ nodes: reports({ node3: { seq: 10 } }) }));
  expect(worthSending(gone, 'full')).toEqual({
    NoPrimary: 0,
    ReplicationLagBytes: 0,
    HostsOut: 1,
    Trouble: 1,
  });
  expect(worthSending(gone, 'essential')).toEqual({ HostsOut: 1, Trouble: 1 });
});

test('a lag is sent only where it is trouble, unless everything is watched', () => {
  const lagging = (lagBytes: number) =>
    clusterHealth(first, later({ nodes: reports({ node2: { lagBytes } }) }));
  const most = 16 * 1024 * 1024;
  expect(worthSending(lagging(most - 1), 'essential')).toEqual({});
  expect(worthSending(lagging(most), 'essential')).toEqual({ ReplicationLagBytes: most, Trouble: 1 });
  expect(worthSending(lagging(5), 'full')).toEqual({ NoPrimary: 0, ReplicationLagBytes: 5 });
});

test('trouble is counted by kind from its limit on, and what cannot be said is none', () => {
  const none = {
    ReplicationLagBytes: 0,
    RenewalsMissedPercent: 49,
    HostsOut: 0,
    FailsafeActive: 0,
    DiskTrouble: 0,
    OperationRunningSeconds: 299,
  };
  expect(troublesIn(none, 10)).toEqual([]);
  for (const [name, value] of [
    ['ReplicationLagBytes', 10],
    ['RenewalsMissedPercent', 50],
    ['HostsOut', 1],
    ['FailsafeActive', 1],
    ['DiskTrouble', 1],
    ['OperationRunningSeconds', 300],
  ] as const)
    expect(troublesIn({ ...none, [name]: value }, 10)).toEqual([name]);
  const unknown = Object.fromEntries(Object.keys(none).map((name) => [name, null])) as Record<
    keyof typeof none,
    null
  >;
  expect(troublesIn(unknown, 10)).toEqual([]);
});
