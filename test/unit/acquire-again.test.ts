/**
 * `acquire-and-promote` where it is taken up again, after the lease was acquired, or after the promotion: a server that is primary is
 * left as it is (H8), and what is said of an epoch in which nothing was written is said only where that is certain.
 */
import { describe, expect, it } from 'vitest';
import type { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import type { ActionOutcome } from '../../agent/action-runner.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { Server } from '../../agent/database/server.ts';
import { acquireAndPromote } from '../../agent/database/take-over.ts';
import { applyLeaseWrite, type LeaseWrite } from '../../core/lease/lease-write.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import type { Action } from '../../core/model/operation.ts';
import { syncOfNewEpoch } from '../../core/synchronous/new-epoch.ts';
import { coverOf } from '../../core/synchronous/synchronous-rule.ts';
import { aLease, aRecord } from '../support/host-states.ts';

const operation = 'c1-e1-a1';
const writer = { node: 'node2', incarnation: 'i2' };
const aPromotion: Action = {
  operation,
  action: 'acquire-and-promote@node2#1',
  node: 'node2',
  verb: 'acquire-and-promote',
  args: {},
  epoch: 1,
  timeoutMs: 60_000,
  taskToken: null,
  step: 'promoting_new_primary',
  status: 'claimed',
  commandId: null,
  claimedBy: 'i2',
  result: null,
};
const aStop: Action = {
  ...aPromotion,
  action: 'stop-and-release@node1#1',
  node: 'node1',
  verb: 'stop-and-release',
  claimedBy: 'i1',
  result: { ok: true, error: '', message: 'released', ms: 900, releasedAtLsn: '0/3000028' },
};
const epoch1 = { epoch: 1, node: 'node1', timeline: 1, forkLsn: null, history: [] };
const epoch2 = { epoch: 2, node: 'node2', timeline: 2, forkLsn: null, history: [] };

interface Scene {
  /** What the server is when it is asked, one answer a time; the last one stays. */
  readonly proxies?: readonly string[];
  readonly roles: readonly ('primary' | 'standby' | 'silent')[];
  readonly promote?: 'ordered' | 'failed';
  readonly writable?: boolean;
  readonly recorded?: boolean;
  readonly control?: string;
  readonly actions?: readonly Action[];
  readonly lease?: Partial<Lease>;
  readonly current?: string;
}

function stage(scene: Scene) {
  const did: string[] = [];
  let lease = aLease({ ...writer, holder: 'node2', epoch: 2, ...scene.lease });
  let record = aRecord({
    operation: { id: scene.current ?? operation, kind: 'switchover', executionArn: null },
    epochs: scene.recorded ? [epoch1, epoch2] : [epoch1],
    ...(scene.proxies === undefined ? {} : { proxies: scene.proxies }),
  });
  const roles = [...scene.roles];
  const told: string[] = [];
  const server = new Server({
    host: { dataDir: '/tmp' },
    isQuarantined: async () => false,
    findPostmaster: async () => ({ pid: 0, startTicks: 0 }),
    observe: async () => ({ kind: 'running', inRecovery: true, timeline: 1, receiver: null }),
    expectsPromotion: () => true,
    expectPromotion: async () => true,
    ensureTimelineAbove: async () => ({ kind: 'ensured', nextTimeline: 2, placeholders: 0 }),
    query: async () => {
      const role = roles.length > 1 ? roles.shift() : roles[0];
      return role === 'silent'
        ? { kind: 'unreachable', message: '' }
        : { kind: 'rows', rows: [{ standby: role === 'standby' }] };
    },
    promote: async () => {
      did.push('promote');
      const reason = 'pg_ctl: cannot promote server; server is not in standby mode';
      return scene.promote === 'failed' ? { kind: 'failed', reason } : { kind: 'ordered' };
    },
    awaitWritable: async () =>
      scene.writable === false
        ? { kind: 'timed-out', last: { kind: 'in-recovery' } }
        : { kind: 'writable', timeline: 2, forkLsn: null, history: { timeline: 2, ancestors: [] }, ms: 1 },
    killAll: async () => {
      did.push('kill');
      return { remaining: [], killed: 9, ms: 1 };
    },
    controlFile: async () => ({ kind: 'control-data', state: scene.control ?? 'in-archive-recovery' }),
  } as unknown as PostgresNode);
  const isHolder = () => lease.state === 'held' && lease.holder === 'node2';
  const context = {
    config: { node: 'node2' },
    writer,
    keeper: {
      view: () => ({ record, watch: { lease, sinceMs: 0 }, holdStage: 'valid', heldBack: null }),
      isHolder,
      refresh: async () => true,
      until: async (test: () => boolean) => test(),
      learnRecord: (learned: ClusterRecord) => {
        record = learned;
      },
      write: async (write: LeaseWrite) => {
        const written = applyLeaseWrite(lease, write);
        if (written === null) return { kind: 'refused' };
        did.push(write.kind);
        lease = written;
        return { kind: 'done', lease };
      },
    },
    store: {
      readOperation: async () => ({ kind: 'ok', value: { actions: scene.actions ?? [aPromotion] } }),
      updateRecord: async ({ set }: { set: Partial<ClusterRecord> }) => {
        did.push('record');
        return { kind: 'ok', value: { ...record, ...set } };
      },
    },
    names: {
      prepare: async () => 'this node holds the lease already',
      ensure: async () => {
        did.push('names');
        return null;
      },
    },
    disk: {
      reload: () => undefined,
      facts: () => ({ highestEpoch: 2, fencedEpoch: 0, dataEpoch: 2 }),
    },
    wakeUp: { wake: () => undefined },
    now: () => 0,
    log: () => undefined,
    emit: (kind: string) => did.push(kind),
    reportSoon: () => told.push('report'),
    nextWake: async () => void told.push('proxies'),
    clientsWait: (wait: boolean) => told.push(`clients wait: ${wait}`),
    server,
  } as unknown as HostContext;
  return { context, server, did, told, lease: () => lease, record: () => record };
}

async function takenUpAgain(scene: Scene) {
  const made = stage(scene);
  await made.server.look();
  const outcome: ActionOutcome = await acquireAndPromote(made.context, aPromotion, {
    say: () => undefined,
    signal: new AbortController().signal,
    onlyWatches: () => undefined,
    prepared: async () => undefined,
  });
  return { ...made, outcome };
}

describe('a server that is primary already', () => {
  it('is neither promoted again nor stopped, and its epoch stays', async () => {
    const { outcome, did, lease } = await takenUpAgain({ roles: ['primary'], recorded: true });
    expect(outcome).toMatchObject({ ok: true, epoch: 2, timeline: 2 });
    expect(did).toEqual(['primary_promoted']);
    expect(lease()).toMatchObject({ state: 'held', epoch: 2 });
  });

  it('is looked at, for its health checks, as soon as clients may enter, and not while they are let in', async () => {
    const { told } = await takenUpAgain({ roles: ['primary'] });
    expect(told.slice(0, 4)).toEqual(['clients wait: true', 'proxies', 'clients wait: false', 'report']);
    const alone = await takenUpAgain({ roles: ['primary'], proxies: [] });
    expect(alone.told.slice(0, 3)).toEqual(['clients wait: true', 'clients wait: false', 'report']);
  });

  it('gets its epoch recorded, where the former agent did not come to it', async () => {
    const { outcome, did, record } = await takenUpAgain({ roles: ['primary'] });
    expect(outcome.ok).toBe(true);
    expect(did).toEqual(['record', 'primary_promoted']);
    expect(record().epochs.at(-1)).toMatchObject({ epoch: 2, node: 'node2', timeline: 2 });
  });

  it('is found also where the order of a former agent ends while another is given', async () => {
    const { outcome, did } = await takenUpAgain({ roles: ['standby', 'primary'], promote: 'failed' });
    expect(outcome.ok).toBe(true);
    expect(did).not.toContain('kill');
  });

  it('is not killed, and the lease not given back, when it takes no write in time', async () => {
    const { outcome, did, lease } = await takenUpAgain({ roles: ['primary'], writable: false });
    expect(outcome).toMatchObject({ ok: false, error: 'promotion-failed', neverPromoted: false });
    expect(did).not.toContain('kill');
    expect(lease().state).toBe('held');
  });

  it('does not get a rule of names that the lease may have left behind', async () => {
    const { did } = await takenUpAgain({ roles: ['primary'] });
    expect(did).not.toContain('names');
  });
});

describe('a standby that cannot be promoted', () => {
  const failing = { roles: ['standby'], promote: 'failed' } as const;

  it('gives the lease back with the position at which the operation released it', async () => {
    const next = { method: 'any', k: 1, names: ['node1'] } as const;
    const sync = { mode: 'on', method: 'any', k: 1, names: ['node3'], next } as const;
    const { outcome, did, lease } = await takenUpAgain({
      ...failing,
      actions: [aStop, aPromotion],
      lease: { sync },
    });
    expect(did).toEqual(['names', 'promote', 'promotion_failed', 'kill', 'release']);
    expect(outcome.neverPromoted).toBe(true);
    const given = lease();
    expect(given).toMatchObject({ state: 'released', releasedAtLsn: lsnOf(0x3000028n), neverPromoted: true });
    // The next epoch is covered by whoever covered the past, not by a node that took nothing.
    const spec = { mode: 'on', method: 'any', k: 1 } as const;
    const others = [{ node: 'node2', failoverPriority: 0 }];
    const following = syncOfNewEpoch({ lease: given, spec, node: 'node1', others }, next);
    expect(following).toMatchObject(coverOf(sync, null));
  });

  it.each([
    ['of another epoch', { ...aStop, epoch: 0 }],
    [
      'that failed',
      {
        ...aStop,
        result: { ok: false, error: 'not-released', message: '', ms: 1, releasedAtLsn: '0/3000028' },
      },
    ],
    ['that has not ended', { ...aStop, result: null }],
  ])('claims no position from a stop %s', async (_, stop) => {
    const { lease } = await takenUpAgain({ ...failing, actions: [stop, aPromotion] });
    expect(lease()).toMatchObject({ state: 'released', releasedAtLsn: null, neverPromoted: true });
  });

  it('is known to be down from then on: the lease that goes is no reason to fence it once more', async () => {
    const { server } = await takenUpAgain({ ...failing, actions: [aStop, aPromotion] });
    expect(server.last()?.postgres.kind).toBe('stopped');
  });

  it('does not say so of an epoch that was recorded, and open to clients', async () => {
    const { outcome, lease } = await takenUpAgain({ ...failing, recorded: true, actions: [aStop] });
    expect(outcome.neverPromoted).toBe(false);
    expect(lease()).toMatchObject({ state: 'released', releasedAtLsn: null, neverPromoted: false });
  });

  it('is killed and the lease given back also when it does not answer', async () => {
    const { did, lease } = await takenUpAgain({
      roles: ['silent'],
      promote: 'failed',
      control: 'in-production',
    });
    expect(did).toContain('kill');
    expect(lease()).toMatchObject({ state: 'released', neverPromoted: false });
  });
});

describe('an operation that is over', () => {
  it('is not told that nothing was promoted by the node that holds its lease', async () => {
    const { outcome, did } = await takenUpAgain({ roles: ['primary'], current: 'c1-e2-a2' });
    expect(outcome).toMatchObject({ ok: false, error: 'lease-not-free', neverPromoted: false });
    expect(did).toEqual([]);
  });

  it('is told so by a node that never had it', async () => {
    const lease = { holder: 'node1', epoch: 1 };
    const { outcome } = await takenUpAgain({ roles: ['standby'], current: 'c1-e2-a2', lease });
    expect(outcome).toMatchObject({ ok: false, neverPromoted: true });
  });
});
