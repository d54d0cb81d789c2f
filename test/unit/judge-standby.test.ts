/**
 * How a standby that was restarted in the middle of a failover is judged (H3): by the end of the log that lies on its disk, not by
 * what it has replayed so far. Taken for a node before the fork, it would follow the new primary, and never stream.
 */
import { expect, test } from 'vitest';
import type { RunningObservation } from '../../adapters/postgres/observe.ts';
import type { WalEnd } from '../../adapters/postgres/wal.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import type { Look } from '../../agent/database/server.ts';
import { judge } from '../../agent/database/standby-work.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import type { ControlData } from '../../core/wire/parse-pg-control.ts';
import { aLease, aRecord, ownSystem } from '../support/host-states.ts';

const fork = lsnOf(0x5000000n);
const before = lsnOf(0x4000000n);
const past = lsnOf(0x6000000n);

const record = aRecord({
  epochs: [
    { epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] },
    {
      epoch: 2,
      node: 'node2',
      timeline: 2,
      forkLsn: fork,
      history: [{ timeline: 1, switchLsn: fork, reason: '' }],
    },
  ],
});
const control = {
  state: 'in-archive-recovery',
  systemIdentifier: ownSystem,
  checkpointLsn: lsnOf(0x3000000n),
  checkpointTimeline: 1,
  minRecoveryTimeline: 1,
  dataChecksums: true,
  walLogHints: false,
} as unknown as ControlData;

/** What it has seen since its restart: it follows nobody yet. */
const restarted = {
  kind: 'running',
  inRecovery: true,
  timeline: 1,
  receivedLsn: null,
  replayedLsn: before,
  receiver: null,
} as unknown as RunningObservation;

function host(end: WalEnd): { context: HostContext; read: string[] } {
  const read: string[] = [];
  const context = {
    config: { node: 'node3' },
    keeper: { view: () => ({ record, watch: { lease: aLease({ holder: 'node2', epoch: 2 }), sinceMs: 0 } }) },
    disk: { facts: () => ({ dataEpoch: 1 }) },
    server: {
      lastStandby: () => null,
      isRewindHopeless: () => false,
      node: {
        history: async () => ({ kind: 'history', history: { timeline: 1, ancestors: [] } }),
        walEnd: async () => {
          read.push('end of log');
          return end;
        },
      },
    },
  };
  return { context: context as unknown as HostContext, read };
}

const look = (observation: RunningObservation): Look => ({
  postgres: { kind: 'standby', streaming: false, upstream: null },
  observation,
  postmaster: null,
  control,
  dataDirectory: 'present',
  standbySignal: true,
});

const endAt = (endLsn: typeof fork): WalEnd => ({
  kind: 'wal-end',
  timeline: 1,
  lastRecordLsn: before,
  endLsn,
});

test('replayed up to before the fork, with log beyond it on its disk: rewound', async () => {
  const { context } = host(endAt(past));
  expect(await judge(context, look(restarted))).toMatchObject({ kind: 'rewind' });
});

test('with log that ends before the fork: it follows as it is', async () => {
  const { context } = host(endAt(before));
  expect(await judge(context, look(restarted))).toMatchObject({ kind: 'start-as-is' });
});

test('whose receiver has told how far it came is not read: that is the end', async () => {
  const { context, read } = host(endAt(past));
  const told = { ...restarted, receivedLsn: before };
  expect(await judge(context, look(told))).toMatchObject({ kind: 'start-as-is' });
  expect(read).toEqual([]);
});

test('whose receiver is just starting is judged later: the log may grow', async () => {
  const { context, read } = host(endAt(past));
  const starting = { ...restarted, receiver: { status: 'starting' } } as unknown as RunningObservation;
  expect(await judge(context, look(starting))).toMatchObject({ kind: 'need-wal-end' });
  expect(read).toEqual([]);
});
