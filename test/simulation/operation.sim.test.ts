/**
 * Whole operations: the definition that is deployed, on the interpreter that the embedded runtime uses, with the steps that the
 * Lambda functions run, against model hosts. Every path and every compensation.
 */
import { describe, expect, test } from 'vitest';
import type { Execution } from '../../adapters/asl/execution.ts';
import { asynchronous } from '../../core/model/lease.ts';
import type { HostOptions } from './model-host.ts';
import { expectAtRest, OperationWorld, type WorldOptions } from './operation-world.ts';

const switchover = { cluster: 'main', kind: 'switchover', target: 'b', reason: 'test' };
const failover = { cluster: 'main', kind: 'failover', reason: 'test' };
const a: HostOptions = { id: 'a', lsn: 0x6000000n, primary: true };
const b: HostOptions = { id: 'b', lsn: 0x6000000n };
const c: HostOptions = { id: 'c', lsn: 0x5ffff00n };

const operationOf = (world: OperationWorld, execution: Execution) =>
  [...world.table.operations.values()].find(({ executionArn }) => executionArn === execution.arn);

const lost = async (world: OperationWorld, node = 'a') => {
  world.host(node).die();
  await world.clock.advance(2500);
  expect(world.lease.state).toBe('sealed');
};

describe('a switchover', () => {
  test('moves the primary, loses nothing, and names every step in the record', async () => {
    const world = new OperationWorld();
    const execution = await world.run(switchover);
    expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    expectAtRest(world, 'b', 2);
    expect(world.record.lastFailover).toMatchObject({ from: 'a', to: 'b', reason: 'test' });
    expect(world.record.intendedPrimary).toBe('b');
    expect(operationOf(world, execution)).toMatchObject({
      status: 'succeeded',
      from: 'a',
      target: 'b',
      kind: 'switchover',
    });
    expect(operationOf(world, execution)?.steps.map(({ step }) => step)).toEqual([
      'initiated',
      'waiting_for_catchup',
      'demoting_old_primary',
      'promoting_new_primary',
      'reconfiguring_replicas',
      'stable',
    ]);
    expect(world.states.filter((state) => !state.startsWith('Ordering'))).toEqual([
      'Initiated',
      'WaitingForCatchup',
      'CheckingCatchup',
      'DemotingOldPrimary',
      'ChoosingTarget',
      'PromotingNewPrimary',
      'ReconfiguringReplicas',
      'Stable',
      'CheckingOutcome',
      'Done',
    ]);
    await world.clock.advance(1000);
    expect(new Set(world.hosts.map(({ lsn }) => lsn)).size).toBe(1);
    expect(world.counted.toSorted()).toEqual(['OperationSeconds', 'OperationSucceeded', 'Switchovers']);
  });

  test('is what an open request for a living cluster becomes, to the best standby', async () => {
    const world = new OperationWorld({ hosts: [a, c, b] });
    const execution = await world.run({ cluster: 'main' });
    expect(execution.status).toBe('SUCCEEDED');
    expect(operationOf(world, execution)).toMatchObject({ kind: 'switchover', target: 'b' });
    expectAtRest(world, 'b', 2);
  });

  test('is the same when every function is invoked twice', async () => {
    const world = new OperationWorld({ twice: true });
    expect(await world.run(switchover)).toMatchObject({ status: 'SUCCEEDED' });
    expectAtRest(world, 'b', 2);
    expect([...world.table.operations.keys()]).toHaveLength(1);
    expect(world.hosts.flatMap(({ executed }) => executed).toSorted()).toEqual(
      [...new Set(world.hosts.flatMap(({ executed }) => executed))].toSorted(),
    );
  });

  test('works without Run Command, by DynamoDB alone', async () => {
    const world = new OperationWorld({ runCommandAway: true });
    expect((await world.run(switchover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
  });

  test.each<[string, WorldOptions]>([
    ['its target does not catch up', { hosts: [a, { ...b, misbehaves: { 'await-catchup': 'refuses' } }, c] }],
    ['its target never answers', { hosts: [a, { ...b, misbehaves: { 'await-catchup': 'hangs' } }, c] }],
    ['the checkpoint fails', { hosts: [{ ...a, misbehaves: { checkpoint: 'refuses' } }, b, c] }],
    [
      'the old primary refuses to stop',
      { hosts: [{ ...a, misbehaves: { 'stop-and-release': 'refuses' } }, b, c] },
    ],
    [
      'the old primary never answers the stop',
      { hosts: [{ ...a, misbehaves: { 'stop-and-release': 'hangs' } }, b, c] },
    ],
  ])('is aborted, with everything as it was, when %s', async (_why, options) => {
    const world = new OperationWorld(options);
    const before = { ...world.lease, seq: 0 };
    const execution = await world.run(switchover);
    expect(execution.status).toBe('FAILED');
    expectAtRest(world, 'a', 1);
    expect({ ...world.lease, seq: 0 }).toEqual(before);
    expect(operationOf(world, execution)).toMatchObject({ status: 'aborted' });
    expect(operationOf(world, execution)?.outcome).toContain('a is still primary');
    expect(world.record.lastFailover).toBeNull();
    // The target is still armed for an operation that is over: it gives up by itself and touches nothing.
    await world.clock.advance(120_000);
    expectAtRest(world, 'a', 1);
  });

  test('an aborted one names the error of the host as its own', async () => {
    const world = new OperationWorld({ hosts: [a, { ...b, misbehaves: { 'await-catchup': 'refuses' } }, c] });
    expect(await world.run(switchover)).toMatchObject({ status: 'FAILED', error: 'refused' });
  });

  test('a stop that was ordered and not yet begun is taken back before the operation is closed', async () => {
    const world = new OperationWorld();
    // The host goes out of reach at the moment at which its stop is ordered, and comes back when all is over.
    world.onState((state) => {
      if (state === 'DemotingOldPrimary') world.host('b').isolated = true;
    });
    const execution = await world.run(switchover);
    world.host('b').isolated = false;
    expect(execution.status).toBe('FAILED');
    await world.clock.advance(60_000);
    expectAtRest(world, 'a', 1);
  });

  test('goes back to the old primary when the target cannot be promoted', async () => {
    const world = new OperationWorld({
      hosts: [a, { ...b, misbehaves: { 'acquire-and-promote': 'gives-back' } }, c],
    });
    const execution = await world.run(switchover);
    expect(execution).toMatchObject({ status: 'FAILED', error: 'promotion-failed' });
    expectAtRest(world, 'a', 3);
    expect(operationOf(world, execution)).toMatchObject({ status: 'aborted' });
    expect(world.record.lastFailover).toBeNull();
  });

  test('goes back to the old primary when the target refuses before it has taken the lease', async () => {
    const world = new OperationWorld({
      hosts: [a, { ...b, misbehaves: { 'acquire-and-promote': 'refuses' } }, c],
    });
    expect((await world.run(switchover)).status).toBe('FAILED');
    expectAtRest(world, 'a', 2);
  });

  test('goes on as a failover when the target dies with the lease', async () => {
    const world = new OperationWorld({
      hosts: [a, { ...b, misbehaves: { 'acquire-and-promote': 'dies-holding' } }, c],
    });
    expect(await world.run(switchover)).toMatchObject({ status: 'SUCCEEDED' });
    expect(world.states).toContain('Aborting');
    // The old primary stopped cleanly and is a standby like the other, with the same position: the name decides.
    expectAtRest(world, 'a', 3);
  });

  test('goes on as a failover when the old primary dies after it was ordered to stop', async () => {
    const world = new OperationWorld();
    world.onState((state) => {
      if (state === 'DemotingOldPrimary') world.host('a').die();
    });
    expect((await world.run(switchover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
    expect(world.stoppedInstances).toContain('i-a');
  });

  test.each([
    ['UnknownTarget', { ...switchover, target: 'z' }],
    ['TargetNotEligible', { ...switchover, target: 'a' }],
    ['InvalidInput', { ...switchover, kind: 'swap' }],
    ['InvalidInput', { cluster: 'main', tagret: 'b' }],
  ])('is refused with %s, and nothing is claimed', async (error, request) => {
    const world = new OperationWorld();
    const { version } = world.record;
    expect(await world.run(request)).toMatchObject({ status: 'FAILED', error });
    expect(world.record.version).toBe(version);
    expect(world.states).toEqual(['Initiated', 'Refused']);
  });

  test('is refused when nobody could hand over', async () => {
    const world = new OperationWorld();
    await lost(world);
    expect(await world.run(switchover)).toMatchObject({ status: 'FAILED', error: 'ClusterNotReady' });
    expect(world.record.operation).toBeNull();
  });

  test('is refused while another is under way, and does not disturb it', async () => {
    const world = new OperationWorld();
    const first = world.start(switchover, 'one');
    await world.clock.advance(60);
    expect(await world.run({ ...switchover, target: 'c' }, 'two')).toMatchObject({
      status: 'FAILED',
      error: 'OperationInProgress',
    });
    expect((await world.finish(first)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
  });
});

describe('a failover', () => {
  test('from a sealed lease promotes who has most, and stops the host that gave no proof', async () => {
    const world = new OperationWorld();
    await lost(world);
    const execution = await world.run(failover);
    expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    expectAtRest(world, 'b', 2);
    expect(world.record.lastFailover).toMatchObject({ from: 'a', to: 'b' });
    expect(world.stoppedInstances).toEqual(['i-a']);
    expect([...world.table.events.values()].map(({ kind }) => kind)).toContain('host_fenced');
  });

  test('leaves a host alone that proved that it is fenced', async () => {
    const world = new OperationWorld();
    world.host('a').isolated = true;
    await world.clock.advance(2500);
    world.host('a').isolated = false;
    expect((await world.run(failover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
    expect(world.stoppedInstances).toEqual([]);
    expect(world.host('a').fencedEpoch).toBe(1);
  });

  test('with a living primary is a hand-over', async () => {
    const world = new OperationWorld();
    const execution = await world.run(failover);
    expect(execution.status).toBe('SUCCEEDED');
    expect(operationOf(world, execution)).toMatchObject({ kind: 'failover' });
    expectAtRest(world, 'b', 2);
    expect(world.host('a').executed).toContain('stop-and-release@a#1');
  });

  test('with a primary that lives and cannot hand over fences it', async () => {
    const world = new OperationWorld({ hosts: [{ ...a, misbehaves: { checkpoint: 'refuses' } }, b, c] });
    expect((await world.run(failover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
    expect([...world.table.events.values()].map(({ kind }) => kind)).toContain('lease_fenced');
  });

  test('with a silent holder that nobody could seal stops its instance', async () => {
    const world = new OperationWorld({ hosts: [a, b] });
    world.host('a').die();
    // Only its request sees the silence: the standby's watch begins anew.
    const execution = await world.run(failover);
    expect(execution.status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
  });

  test('is the same when every function is invoked twice', async () => {
    const world = new OperationWorld({ twice: true });
    await lost(world);
    expect(await world.run(failover)).toMatchObject({ status: 'SUCCEEDED' });
    expectAtRest(world, 'b', 2);
  });

  test('tries the next one when a promotion fails', async () => {
    const world = new OperationWorld({
      hosts: [a, { ...b, misbehaves: { 'acquire-and-promote': 'gives-back' } }, c],
    });
    await lost(world);
    expect((await world.run(failover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'c', 3);
  });

  test('asks the standbys again when the new primary is lost with the lease', async () => {
    const world = new OperationWorld({
      hosts: [a, { ...b, misbehaves: { 'acquire-and-promote': 'dies-holding' } }, c],
    });
    await lost(world);
    expect((await world.run(failover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'c', 3);
    expect(world.host('c').executed.filter((action) => action.startsWith('end-receiver'))).toHaveLength(2);
  });

  test('does not wait for a standby that is dead', async () => {
    const world = new OperationWorld();
    world.host('c').die();
    await lost(world);
    expect((await world.run(failover)).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
  });

  test('ends as failed, with what is in the way named, when nobody can take over', async () => {
    const world = new OperationWorld({
      hosts: [
        a,
        { ...b, misbehaves: { 'acquire-and-promote': 'refuses' } },
        { ...c, misbehaves: { 'acquire-and-promote': 'refuses' } },
      ],
    });
    await lost(world);
    const execution = await world.run(failover);
    expect(execution.status).toBe('FAILED');
    expect(world.record).toMatchObject({ operation: null, failoverState: 'stable' });
    expect(operationOf(world, execution)).toMatchObject({ status: 'failed' });
    expect(operationOf(world, execution)?.outcome).toMatch(/nobody can take it/);
    expect(world.counted).toContain('OperationFailed');
  });

  test('in synchronous mode is not made by too few: it waits for the last primary', async () => {
    const world = new OperationWorld({ sync: { ...asynchronous, mode: 'strict', k: 1, names: ['b', 'c'] } });
    world.host('c').die();
    await lost(world);
    const execution = await world.run(failover);
    expect(execution.status).toBe('FAILED');
    expect(world.lease.state).toBe('sealed');
    expect(world.host('b').postgres).toBe('standby');
  });

  test('in synchronous mode goes on without those who are missing by the word of an operator alone', async () => {
    const world = new OperationWorld({ sync: { ...asynchronous, mode: 'strict', k: 1, names: ['b', 'c'] } });
    world.host('c').die();
    await lost(world);
    const waiting = world.start(failover, 'one');
    await world.clock.advance(10_000);
    expect(world.record.operation).not.toBeNull();
    expect((await world.run(failover, 'two')).error).toBe('OperationInProgress');
    expect(world.lease.state).toBe('sealed');
    const accepted = await world.run({ ...failover, acceptDataLoss: true }, 'three');
    expect(accepted.status).toBe('SUCCEEDED');
    expect(operationOf(world, accepted)).toMatchObject({ acceptDataLoss: true, target: 'b' });
    expect(world.lease).toMatchObject({ state: 'held', holder: 'b' });
    expect((await world.finish(waiting)).status).toBe('FAILED');
    expect(world.lease).toMatchObject({ state: 'held', holder: 'b' });
  });

  test('preempts a switchover whose primary is lost', async () => {
    const world = new OperationWorld({
      hosts: [{ ...a, misbehaves: { 'stop-and-release': 'hangs' } }, b, c],
    });
    const first = world.start(switchover, 'one');
    world.onState((state) => {
      if (state === 'DemotingOldPrimary') world.host('a').die();
    });
    await world.clock.advance(4000);
    expect(world.lease.state).toBe('sealed');
    expect((await world.run(failover, 'two')).status).toBe('SUCCEEDED');
    expectAtRest(world, 'b', 2);
    const preempted = await world.finish(first);
    expect(preempted.status).toBe('FAILED');
    expect(operationOf(world, preempted)).toMatchObject({
      status: 'failed',
      outcome: expect.stringContaining('taken its place'),
    });
    // Each of the two is counted once, by whoever took it out of the record.
    expect(world.counted.filter((name) => name.startsWith('Operation')).toSorted()).toEqual([
      ...['OperationFailed', 'OperationSeconds', 'OperationSeconds', 'OperationSucceeded'],
    ]);
    expectAtRest(world, 'b', 2);
  });
});
