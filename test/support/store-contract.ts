/**
 * What every cluster store must do. Run over DynamoDB (dynalite) and over memory, so that simulations in memory say
 * something about production.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import * as leaseWrites from '../../core/lease/lease-write.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';
import {
  sampleAction,
  sampleDrill,
  sampleEvent,
  sampleNodeReport,
  sampleOperation,
  sampleProxyReport,
  sampleRecord,
} from './samples.ts';

const node1 = { node: 'node1', incarnation: 'a1' };
const node2 = { node: 'node2', incarnation: 'b1' };
const members = ['node1', 'node2'];
const refused = { kind: 'refused' };
const next = {
  ttlMs: 3000,
  members: ['node2'],
  sync: { mode: 'strict', method: 'any', k: 1, names: ['node1'], next: null },
} as const;
const bareRecord: ClusterRecord = {
  ...sampleRecord,
  systemIdentifier: null,
  bootstrap: null,
  operation: null,
  lastFailover: null,
};

/** The value of an answer that must be `ok`. */
export function okValue<T>(answer: { kind: 'ok'; value: T } | { kind: string }): T {
  if (answer.kind !== 'ok' || !('value' in answer)) throw new Error(`expected ok: ${JSON.stringify(answer)}`);
  return answer.value;
}

/** `fresh` gives a store of a cluster that has nothing yet. */
export function storeContract(fresh: () => ClusterStore): void {
  let store: ClusterStore;
  beforeEach(() => {
    store = fresh();
  });
  const held = async () =>
    okValue(await store.writeLease(leaseWrites.createLease(node1, { ttlMs: 2000, timeline: 1, members })));
  const readLease = async () => okValue(await store.readHead()).lease;
  const write = async (change: leaseWrites.LeaseWrite) => okValue<Lease>(await store.writeLease(change));

  describe('the lease', () => {
    test('is created once, with every attribute', async () => {
      const lease = await held();
      expect(lease).toEqual({
        ...{ holder: 'node1', incarnation: 'a1', epoch: 1, seq: 1, ttlMs: 2000, state: 'held' },
        ...{ operation: null, successor: null, timeline: 1, releasedAtLsn: null, neverPromoted: false },
        ...{ members, sync: asynchronous },
      });
      expect(await readLease()).toEqual(lease);
      const again = leaseWrites.createLease(node2, { ttlMs: 2000, timeline: 1, members });
      expect(await store.writeLease(again)).toEqual(refused);
      expect(await readLease()).toEqual(lease);
    });

    test('is renewed any number of times on one reading, by its holder and incarnation only', async () => {
      const lease = await held();
      await write(leaseWrites.renew(lease, node1));
      const renewed = await write(leaseWrites.renew(lease, node1));
      expect(renewed).toEqual({ ...lease, seq: 3 });
      expect(await store.writeLease(leaseWrites.renew(lease, node2))).toEqual(refused);
      const other = { node: 'node1', incarnation: 'a2' };
      expect(await store.writeLease(leaseWrites.renew(lease, other))).toEqual(refused);
      expect(await readLease()).toEqual(renewed);
    });

    test('is changed by a renewal only as it was read', async () => {
      const lease = await held();
      const change = { members: ['node1'], timeline: 2 };
      const changed = await write(leaseWrites.renew(lease, node1, change));
      expect(changed).toEqual({ ...lease, seq: 2, members: ['node1'], timeline: 2 });
      expect(await store.writeLease(leaseWrites.renew(lease, node1, { members }))).toEqual(refused);
      expect(await readLease()).toEqual(changed);
    });

    test('goes from hand to hand: announce, release, acquire', async () => {
      const lease = await held();
      const announced = await write(leaseWrites.announce(lease, node1, 'op1', 'node2'));
      expect(announced).toEqual({ ...lease, seq: 2, operation: 'op1', successor: 'node2' });
      const stopped = { operation: 'op1', successor: 'node2', releasedAtLsn: lsnOf(0x16b374d848n) };
      const released = await write(leaseWrites.release(announced, node1, stopped));
      expect(released).toEqual({ ...announced, seq: 3, state: 'released', releasedAtLsn: 0x16b374d848n });
      expect(await store.writeLease(leaseWrites.acquire(released, node1, 'op1', next))).toEqual(refused);
      expect(await store.writeLease(leaseWrites.acquire(released, node2, 'op2', next))).toEqual(refused);
      const acquired = await write(leaseWrites.acquire(released, node2, 'op1', next));
      expect(acquired).toEqual({
        ...released,
        ...{ holder: 'node2', incarnation: 'b1', epoch: 2, seq: 4, state: 'held' },
        ...{ operation: null, successor: null, releasedAtLsn: null },
        ...next,
      });
      expect(await store.writeLease(leaseWrites.renew(announced, node1))).toEqual(refused);
      expect(await readLease()).toEqual(acquired);
    });

    test('refuses every write that was decided on an older reading', async () => {
      const old = await held();
      const lease = await write(leaseWrites.renew(old, node1));
      const stopped = { operation: null, successor: null, releasedAtLsn: null };
      const late = [
        leaseWrites.adopt(old, { node: 'node1', incarnation: 'a2' }),
        leaseWrites.announce(old, node1, 'op1', 'node2'),
        leaseWrites.withdraw(old, node1),
        leaseWrites.release(old, node1, stopped),
        leaseWrites.seal(old),
        leaseWrites.fence(old),
      ];
      for (const change of late)
        expect([change.kind, await store.writeLease(change)]).toEqual([change.kind, refused]);
      expect(await readLease()).toEqual(lease);
      const sealed = await write(leaseWrites.seal(lease));
      const named = await write(leaseWrites.nameSuccessor(sealed, 'op1', 'node2'));
      expect(await store.writeLease(leaseWrites.nameSuccessor(sealed, 'op2', 'node1'))).toEqual(refused);
      expect(await store.writeLease(leaseWrites.acquire(sealed, node2, 'op1', next))).toEqual(refused);
      expect(await readLease()).toEqual(named);
    });

    test('is sealed only while held, fenced when held or sealed', async () => {
      const lease = await held();
      const stopped = { operation: null, successor: null, releasedAtLsn: lsnOf(40n) };
      const released = await write(leaseWrites.release(lease, node1, stopped));
      expect(await store.writeLease(leaseWrites.seal(released))).toEqual(refused);
      const named = await write(leaseWrites.nameSuccessor(released, 'op1', 'node2'));
      expect(named.releasedAtLsn).toBe(40n);
      const second = await write(leaseWrites.acquire(named, node2, 'op1', next));
      const sealed = await write(leaseWrites.seal(second));
      expect(sealed).toMatchObject({ state: 'sealed', epoch: 2, holder: 'node2', releasedAtLsn: null });
      const fenced = await write(leaseWrites.fence(sealed));
      expect(fenced).toMatchObject({ state: 'fenced', epoch: 2, holder: 'node2' });
    });

    test('is adopted by the next incarnation of its holder', async () => {
      const lease = await held();
      const adopted = await write(leaseWrites.adopt(lease, { node: 'node1', incarnation: 'a2' }));
      expect(adopted).toEqual({ ...lease, seq: 2, incarnation: 'a2' });
      expect(await store.writeLease(leaseWrites.adopt(adopted, node2))).toEqual(refused);
    });

    test('has one winner when many write at once', async () => {
      const lease = await held();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          store.writeLease(leaseWrites.announce(lease, node1, `op${index}`, 'node2')),
        ),
      );
      expect(answers.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
      expect(answers.filter(({ kind }) => kind === 'refused')).toHaveLength(19);
      expect((await readLease())?.seq).toBe(2);
    });
  });

  describe('the record', () => {
    test('is created once and read beside the lease', async () => {
      expect(okValue(await store.readHead())).toEqual({ record: null, lease: null });
      expect(okValue(await store.createRecord(sampleRecord))).toEqual(sampleRecord);
      expect(await store.createRecord(bareRecord)).toEqual(refused);
      const lease = await held();
      expect(okValue(await store.readHead())).toEqual({ record: sampleRecord, lease });
    });

    test('is changed by compare-and-set on its version, which rises by one', async () => {
      await store.createRecord(bareRecord);
      const set = { failoverState: 'initiated', attempt: 9, version: 77 } as const;
      const changed = okValue<ClusterRecord>(await store.updateRecord({ expect: { version: 4 }, set }));
      expect(changed).toEqual({ ...bareRecord, failoverState: 'initiated', attempt: 9, version: 5 });
      expect(await store.updateRecord({ expect: { version: 4 }, set })).toEqual(refused);
      expect(await store.updateRecord({ expect: {}, set: {} })).toMatchObject({ value: { version: 6 } });
    });

    test('is never made by an update', async () => {
      expect(await store.updateRecord({ expect: {}, set: { paused: true } })).toEqual(refused);
      expect(okValue(await store.readHead()).record).toBeNull();
    });

    test('names the operation under way, and a change can expect that one or none', async () => {
      await store.createRecord(bareRecord);
      const operation = { id: 'op1', kind: 'failover', executionArn: null } as const;
      expect(await store.updateRecord({ expect: { operation: 'op1' }, set: {} })).toEqual(refused);
      const begun = okValue(await store.updateRecord({ expect: { operation: null }, set: { operation } }));
      expect(begun).toEqual({ ...bareRecord, version: 5, operation });
      expect(await store.updateRecord({ expect: { operation: null }, set: {} })).toEqual(refused);
      expect(await store.updateRecord({ expect: { operation: 'op2' }, set: {} })).toEqual(refused);
      const { lastFailover } = sampleRecord;
      const done = { operation: null, lastFailover };
      const ended = okValue(await store.updateRecord({ expect: { operation: 'op1' }, set: done }));
      expect(ended).toEqual({ ...bareRecord, version: 6, operation: null, lastFailover });
    });

    test('guards the bootstrap by its nonce and the system identifier by its absence', async () => {
      await store.createRecord(bareRecord);
      const claim = { bootstrap: { node: 'node1', nonce: 'n1', seq: 1 } };
      okValue(await store.updateRecord({ expect: { bootstrapNonce: null }, set: claim }));
      expect(await store.updateRecord({ expect: { bootstrapNonce: null }, set: claim })).toEqual(refused);
      expect(await store.updateRecord({ expect: { bootstrapNonce: 'n2' }, set: claim })).toEqual(refused);
      const systemIdentifier = systemIdentifierOf(42n);
      const identify = {
        expect: { bootstrapNonce: 'n1', systemIdentifierAbsent: true },
        set: { systemIdentifier },
      } as const;
      expect(okValue(await store.updateRecord(identify))).toMatchObject({ systemIdentifier: 42n });
      expect(await store.updateRecord(identify)).toEqual(refused);
    });
  });

  describe('reports', () => {
    test('replace one another, from one instance only', async () => {
      const other = { ...sampleNodeReport, node: 'node1', lsn: null, lagBytes: null };
      okValue(await store.putNodeReport(sampleNodeReport));
      okValue(await store.putNodeReport(other));
      const newer = { ...sampleNodeReport, seq: 13 };
      okValue(await store.putNodeReport(newer));
      expect(await store.putNodeReport({ ...newer, instanceId: 'i-0zzz', seq: 99 })).toEqual(refused);
      expect(okValue(await store.readNodes())).toEqual([other, newer]);
      expect(okValue(await store.readProxies())).toEqual([]);
    });

    test('are removed only as they were read', async () => {
      okValue(await store.putNodeReport(sampleNodeReport));
      okValue(await store.putProxyReport(sampleProxyReport));
      for (const other of [{ instanceId: 'i-0zzz' }, { incarnation: 'i-3' }, { seq: 11 }])
        expect(await store.removeReport({ ...sampleNodeReport, ...other })).toEqual(refused);
      expect(okValue(await store.readNodes())).toEqual([sampleNodeReport]);
      okValue(await store.removeReport(sampleNodeReport));
      expect(okValue(await store.readProxies())).toEqual([sampleProxyReport]);
      okValue(await store.removeReport(sampleProxyReport));
      expect(okValue(await store.readProxies())).toEqual([]);
      okValue(await store.putNodeReport({ ...sampleNodeReport, instanceId: 'i-0zzz' }));
    });

    test('of proxies likewise', async () => {
      okValue(await store.putProxyReport(sampleProxyReport));
      const stranger = { ...sampleProxyReport, instanceId: 'i-0zzz' };
      expect(await store.putProxyReport(stranger)).toEqual(refused);
      expect(okValue(await store.readProxies())).toEqual([sampleProxyReport]);
    });
  });

  describe('operations', () => {
    test('are put once and changed afterwards', async () => {
      expect(okValue(await store.putOperation(sampleOperation))).toEqual(sampleOperation);
      expect(await store.putOperation({ ...sampleOperation, reason: 'other' })).toEqual(refused);
      const set = { status: 'aborted', outcome: 'target fell behind', target: null } as const;
      const changed = okValue(await store.updateOperation(sampleOperation.id, set));
      expect(changed).toEqual({ ...sampleOperation, ...set });
      expect(await store.updateOperation('unknown', set)).toEqual(refused);
    });

    test('record each step once', async () => {
      await store.putOperation(sampleOperation);
      const step = { step: 'waiting_for_catchup', startedAt: '2026-11-21T08:00:01.000Z' } as const;
      const stepped = okValue(await store.addOperationStep(sampleOperation.id, step));
      expect(stepped).toEqual({ ...sampleOperation, steps: [...sampleOperation.steps, step] });
      expect(await store.addOperationStep(sampleOperation.id, step)).toEqual(refused);
      const first = { step: 'initiated', startedAt: 'later' } as const;
      expect(await store.addOperationStep(sampleOperation.id, first)).toEqual(refused);
      expect(await store.addOperationStep('unknown', step)).toEqual(refused);
    });

    test('are read with their own actions, not with those of one whose id begins alike', async () => {
      const longer = {
        ...sampleOperation,
        id: `${sampleOperation.id}0`,
        startedAt: '2026-11-21T09:00:00.000Z',
      };
      await store.putOperation(sampleOperation);
      await store.putOperation(longer);
      await store.putAction(sampleAction);
      await store.putAction({ ...sampleAction, operation: longer.id });
      expect(okValue(await store.readOperation(sampleOperation.id))).toEqual({
        operation: sampleOperation,
        actions: [sampleAction],
      });
      expect(okValue(await store.readOperation('u'))).toEqual({ operation: null, actions: [] });
      expect(okValue(await store.listOperations(5))).toEqual([longer, sampleOperation]);
      expect(okValue(await store.listOperations(1))).toEqual([longer]);
    });
  });

  describe('an action', () => {
    const { operation, action } = sampleAction;
    const result = { ok: true, error: '', message: '', ms: 41.5, releasedAtLsn: '0/3000060' };

    test('is put once, claimed once, finished once, by its claimant', async () => {
      expect(await store.claimAction(operation, action, 'a1')).toEqual(refused);
      expect(okValue(await store.putAction(sampleAction))).toEqual(sampleAction);
      expect(await store.putAction(sampleAction)).toEqual(refused);
      expect(await store.finishAction(operation, action, 'a1', result)).toEqual(refused);
      const claimed = okValue(await store.claimAction(operation, action, 'a1'));
      expect(claimed).toEqual({ ...sampleAction, status: 'claimed', claimedBy: 'a1' });
      expect(await store.claimAction(operation, action, 'a1')).toEqual(refused);
      expect(await store.claimAction(operation, action, 'a2')).toEqual(refused);
      expect(await store.finishAction(operation, action, 'a2', result)).toEqual(refused);
      const finished = okValue(await store.finishAction(operation, action, 'a1', result));
      expect(finished).toEqual({ ...claimed, status: 'succeeded', result });
      expect(await store.finishAction(operation, action, 'a1', result)).toEqual(refused);
      expect(await store.claimAction(operation, action, 'a2', { reclaim: true })).toEqual(refused);
    });

    test('is taken over from a dead incarnation only when asked to, and then lost to it', async () => {
      await store.putAction(sampleAction);
      await store.claimAction(operation, action, 'a1');
      expect(await store.claimAction(operation, action, 'a1', { reclaim: true })).toEqual(refused);
      const again = okValue(await store.claimAction(operation, action, 'a2', { reclaim: true }));
      expect(again).toMatchObject({ status: 'claimed', claimedBy: 'a2' });
      expect(await store.finishAction(operation, action, 'a1', result)).toEqual(refused);
      const failed = { ...result, ok: false, error: 'history-mismatch' };
      expect(okValue(await store.finishAction(operation, action, 'a2', failed))).toMatchObject({
        status: 'failed',
        result: failed,
      });
    });

    test('is marked as prepared by who has claimed it only, and loses the mark when another takes it over', async () => {
      await store.putAction(sampleAction);
      expect(await store.markPrepared(operation, action, 'a1')).toEqual(refused);
      await store.claimAction(operation, action, 'a1');
      expect(await store.markPrepared(operation, action, 'a2')).toEqual(refused);
      expect(okValue(await store.markPrepared(operation, action, 'a1')).prepared).toBe(true);
      const again = okValue(await store.claimAction(operation, action, 'a2', { reclaim: true }));
      expect(again).toMatchObject({ claimedBy: 'a2', prepared: false });
      expect(await store.markPrepared(operation, action, 'a1')).toEqual(refused);
      await store.finishAction(operation, action, 'a2', result);
      expect(await store.markPrepared(operation, action, 'a2')).toEqual(refused);
    });

    test('shows its task token to who finishes it, and its result to who attaches the token', async () => {
      await store.putAction(sampleAction);
      expect(await store.attachTaskToken(operation, 'unknown', 't')).toEqual(refused);
      expect(okValue(await store.attachTaskToken(operation, action, 'token1'))).toEqual({
        ...sampleAction,
        taskToken: 'token1',
      });
      expect(await store.noteCommand(operation, 'unknown', 'command1')).toEqual(refused);
      expect(okValue(await store.noteCommand(operation, action, 'command1'))).toEqual({
        ...sampleAction,
        taskToken: 'token1',
        commandId: 'command1',
      });
      await store.claimAction(operation, action, 'a1');
      expect(okValue(await store.finishAction(operation, action, 'a1', result))).toMatchObject({
        taskToken: 'token1',
      });
      expect(okValue(await store.attachTaskToken(operation, action, 'token2'))).toMatchObject({
        ...{ taskToken: 'token2', commandId: 'command1', status: 'succeeded', result },
      });
    });

    test('is claimed by one of many', async () => {
      await store.putAction(sampleAction);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) => store.claimAction(operation, action, `a${index}`)),
      );
      expect(answers.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    });
  });

  test('drills come newest first, are replaced by what is said of them later, and are no operations', async () => {
    const drills = [1, 2, 3].map((index) => ({
      ...sampleDrill,
      id: `01JD000000000000000000000${index}`,
      status: 'running' as const,
      canary: null,
      to: null,
      endedAt: null,
    }));
    for (const drill of drills) okValue(await store.putDrill(drill));
    okValue(await store.putOperation(sampleOperation));
    const [, second, third] = drills;
    if (second === undefined || third === undefined) throw new Error('there are three');
    const ended = { ...second, status: 'failed' as const, outcome: 'a row was lost' };
    okValue(await store.putDrill(ended));
    expect(okValue(await store.listDrills(2))).toEqual([third, ended]);
    expect(okValue(await store.listOperations(10))).toEqual([sampleOperation]);
  });

  test('events come newest first', async () => {
    const events = [1, 2, 3].map((index) => ({
      ...sampleEvent,
      id: `01JD000000000000000000000${index}`,
      epoch: index,
    }));
    for (const event of events) okValue(await store.putEvent(event));
    expect(okValue(await store.listEvents(10))).toEqual(events.toReversed());
    expect(okValue(await store.listEvents(2))).toEqual(events.toReversed().slice(0, 2));
  });
}
