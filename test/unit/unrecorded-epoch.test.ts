/**
 * Until the primary has recorded its epoch nobody follows it, and what is recorded is never another timeline's (H3): a standby that
 * comes up in between follows nobody, and a second promotion within an epoch is not passed off as the first.
 */
import { expect, it } from 'vitest';
import type { OrderContext } from '../../agent/database/orders.ts';
import { executeOrder } from '../../agent/database/orders.ts';
import { recordEpoch } from '../../agent/database/primary-work.ts';
import { decideHost } from '../../core/host/decide.ts';
import { aLease, aRecord, aStandby } from '../support/host-states.ts';

/** What a standby that is started is told to follow, and as of which epoch its data is noted. */
async function started(recorded: boolean): Promise<{ upstream: unknown; noted: number[] }> {
  const lease = aLease({ epoch: 2 });
  const first = { epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] };
  const record = aRecord({ epochs: recorded ? [first, { ...first, epoch: 2, timeline: 2 }] : [first] });
  const noted: number[] = [];
  let upstream: unknown = 'not started';
  const node = {
    killAll: async () => ({ remaining: [] }),
    prepareStandby: async (wanted: unknown) => {
      upstream = wanted;
    },
    start: async () => ({ kind: 'failed', reason: 'enough is seen' }),
  };
  const context = {
    keeper: { view: () => ({ record, watch: { lease } }) },
    config: { node: 'node2', secrets: { replication: { name: 'replicator' } } },
    nodes: () => [{ node: 'node1', addresses: { host: '127.0.0.1', port: 5432 } }],
    disk: { dataBelongsTo: (epoch: number) => noted.push(epoch) },
    server: { node },
    reportSoon: () => undefined,
    log: () => undefined,
  };
  const decision = decideHost(
    aStandby({ lease, record, postgres: { kind: 'stopped' }, disk: { standbySignal: true, dataEpoch: 1 } }),
  );
  expect(decision.order.kind).toBe('start-standby');
  await executeOrder['start-standby'](context as unknown as OrderContext, decision);
  return { upstream, noted };
}

it('a standby that starts between acquire and record follows nobody, and keeps its own epoch', async () => {
  expect(await started(false)).toEqual({ upstream: null, noted: [] });
});

it('once the epoch is recorded it follows', async () => {
  const { upstream, noted } = await started(true);
  expect(upstream).toMatchObject({ host: '127.0.0.1', port: 5432 });
  expect(noted).toEqual([2]);
});

it.each([
  ['the same timeline is recorded already: done', 'node1', 1, true],
  ['another timeline is recorded: refused', 'node1', 5, false],
  ['another node has recorded it: refused', 'node2', 1, false],
])('%s', async (_what, node, timeline, done) => {
  const context = {
    keeper: { view: () => ({ record: aRecord(), watch: { lease: aLease() } }), isHolder: () => true },
    store: { updateRecord: () => expect.fail('nothing is to be written') },
    config: { node },
  };
  const recorded = recordEpoch(context as unknown as OrderContext, timeline, { timeline, ancestors: [] });
  expect(await recorded).toBe(done);
});
