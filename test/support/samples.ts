/** Complete values of the model, for tests that change one thing in them. */

import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import { type ClusterRecord, defaultSpec } from '../../core/model/cluster-record.ts';
import type { Drill } from '../../core/model/drill.ts';
import type { Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import type { Action, Operation } from '../../core/model/operation.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';

export const sampleLease: Lease = {
  holder: 'node1',
  incarnation: 'i-1',
  epoch: 3,
  seq: 7,
  ttlMs: 2000,
  state: 'released',
  operation: 'u1-e3-a2',
  successor: 'node2',
  timeline: 3,
  releasedAtLsn: lsnOf(0x16b374d848n),
  neverPromoted: false,
  members: ['node1', 'node2', 'node3'],
  sync: {
    ...{ mode: 'on', method: 'first', k: 1, names: ['node2', 'node3'] },
    next: { method: 'any', k: 2, names: ['node2', 'node3'] },
  },
};

export const sampleRecord: ClusterRecord = {
  cluster: 'main',
  uid: 'u1',
  version: 4,
  spec: {
    ...defaultSpec,
    fencing: { mode: 'isolate', securityGroup: 'sg-0123abcd' },
    sync: { mode: 'strict', method: 'any', k: 1 },
  },
  members: ['node1', 'node2'],
  proxies: ['proxy1'],
  systemIdentifier: systemIdentifierOf(0xffff_ffff_ffff_fffen),
  bootstrap: { node: 'node1', nonce: 'n1', seq: 2 },
  failoverState: 'waiting_for_catchup',
  operation: { id: 'u1-e3-a2', kind: 'switchover', executionArn: 'arn:x' },
  attempt: 2,
  intendedPrimary: 'node1',
  failoverTargetPrimary: 'node2',
  lastFailover: {
    operation: 'u1-e2-a1',
    reason: '',
    time: '2026-11-21T08:00:00.000Z',
    from: 'node2',
    to: 'node1',
  },
  epochs: [
    { epoch: 1, node: 'node2', timeline: 1, forkLsn: null, history: [] },
    {
      epoch: 3,
      node: 'node1',
      timeline: 3,
      forkLsn: lsnOf(0x3000060n),
      history: [{ timeline: 1, switchLsn: lsnOf(0x3000060n), reason: 'no recovery target specified' }],
    },
  ],
  paused: false,
  fencedHosts: [
    {
      node: 'node2',
      instanceId: 'i-0abc',
      how: 'isolated',
      formerGroups: ['sg-89abcdef'],
      epoch: 2,
      operation: 'u1-e2-a1',
      time: '2026-11-21T08:00:00.000Z',
    },
  ],
};

export const sampleNodeReport: NodeReport = {
  node: 'node2',
  incarnation: 'i-2',
  instanceId: 'i-0abc',
  seq: 12,
  role: 'standby',
  postgres: 'running',
  activity: 'none',
  detail: '',
  systemIdentifier: systemIdentifierOf(7_551_234_567_890_123_456n),
  timeline: 3,
  epoch: 3,
  lsn: lsnOf(0x3000100n),
  replayLsn: lsnOf(0x3000060n),
  lagBytes: 160,
  streaming: true,
  upstream: 'node1',
  slots: ['node1', 'node3'],
  tags: { nofailover: false, failoverPriority: 10 },
  addresses: { host: '10.0.0.2', port: 5432, restPort: 8008, wakePort: 0 },
  version: '15.9',
  agent: { version: '0.1.0-9c1f2ab34d5e', sha256: '9c'.repeat(32) },
};

export const sampleProxyReport: ProxyReport = {
  proxy: 'proxy1',
  incarnation: 'i-9',
  instanceId: 'i-0def',
  seq: 3,
  epoch: 3,
  routesTo: 'node1',
  paused: true,
  pausedFor: 'u1-e3-a2',
  pauseFailedFor: null,
  detail: 'paused',
  addresses: {
    host: '10.0.0.9',
    endpointPort: 5432,
    pgbouncerPort: 6432,
    primaryPort: 5433,
    replicasPort: 5434,
    restPort: 8008,
    wakePort: 8009,
  },
};

export const sampleAction: Action = {
  operation: 'u1-e3-a2',
  action: 'stop-and-release@node1#1',
  step: 'demoting_old_primary',
  node: 'node1',
  verb: 'stop-and-release',
  epoch: 3,
  args: { node: 'node2', proxies: ['proxy1'], armed: ['acquire-and-promote@node2#1'] },
  timeoutMs: 10_000,
  status: 'ordered',
  claimedBy: null,
  taskToken: null,
  commandId: null,
  result: null,
};

export const sampleOperation: Operation = {
  id: 'u1-e3-a2',
  kind: 'switchover',
  status: 'running',
  reason: 'maintenance',
  requestedBy: 'cli',
  from: 'node1',
  target: 'node2',
  epoch: 3,
  executionArn: null,
  steps: [{ step: 'initiated', startedAt: '2026-11-21T08:00:00.000Z' }],
  startedAt: '2026-11-21T08:00:00.000Z',
  endedAt: null,
  outcome: '',
  acceptDataLoss: false,
};

export const sampleEvent: ClusterEvent = {
  id: '01JD0000000000000000000001',
  kind: 'lease_sealed',
  time: '2026-11-21T08:00:00.000Z',
  who: 'node2',
  rule: 'seal-silent-holder',
  epoch: 3,
  operation: null,
  message: 'node1 was silent',
};

export const sampleDrill: Drill = {
  id: '01JD0000000000000000000001',
  kind: 'switchover',
  status: 'succeeded',
  requestedBy: 'cli:operator',
  startedAt: '2026-11-21T08:00:00.000Z',
  endedAt: '2026-11-21T08:01:00.000Z',
  from: 'node1',
  to: 'node2',
  operation: 'u1-e3-a2',
  everyMs: 10,
  canary: { gapMs: 120, acknowledged: 900, failed: 0, unknown: 0, lost: 0 },
  outcome: 'node2 is primary after node1',
};
