/** Which standby's log counts when a crashed primary may be handed over only with proof (H5). */
import { expect, it } from 'vitest';
import { proveEnd } from '../../agent/database/failed-primary.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import { aLease } from '../support/host-states.ts';
import { sampleNodeReport } from '../support/samples.ts';

const end = { kind: 'wal-end', timeline: 1, lastRecordLsn: lsnOf(0x5000060n), endLsn: lsnOf(0x5000098n) };
const epoch = aLease({}).epoch;
const aStandby: NodeReport = {
  ...sampleNodeReport,
  ...{ node: 'node2', role: 'standby', epoch, health: 'ok' },
  tags: { nofailover: false, failoverPriority: 0 },
};

/** Asks nobody but those of `reports` that may prove anything; every one of them has the whole log. */
async function proof(reports: readonly NodeReport[], successors: readonly string[] = ['node2', 'node3']) {
  const context = {
    certificates: { trusted: () => null, isMissing: () => false },
    config: { node: 'node1' },
    keeper: { view: () => ({ watch: { lease: aLease({}), sinceMs: 0 } }) },
    nodes: () => reports,
    server: { node: { walEnd: async () => end } },
  } as unknown as HostContext;
  return await proveEnd(context, successors, async () => end.endLsn);
}

it('a successor that has the end of the log proves it', async () => {
  expect(await proof([aStandby])).toEqual({ lastRecord: end.lastRecordLsn, by: 'node2' });
});

it.each<[string, Partial<NodeReport>]>([
  ['is tagged nofailover', { tags: { nofailover: true, failoverPriority: 0 } }],
  ['has a full disk', { health: 'disk-full' }],
  ['follows another epoch', { epoch: epoch - 1 }],
  ['is no standby', { role: 'none' }],
  ['is this node itself', { node: 'node1' }],
])('a node that %s proves nothing, whatever it has', async (_, change) => {
  expect(await proof([{ ...aStandby, ...change }], ['node1', 'node2'])).toMatchObject({ lastRecord: null });
});

it('nor does one that did not stream when the primary was last well', async () => {
  expect(await proof([aStandby], ['node3'])).toMatchObject({ lastRecord: null });
});

it('one that may not be promoted does not stand in for one that may', async () => {
  const barred = { ...aStandby, node: 'node3', tags: { nofailover: true, failoverPriority: 0 } };
  expect(await proof([barred, aStandby])).toMatchObject({ by: 'node2' });
});
