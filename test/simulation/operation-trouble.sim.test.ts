/**
 * Operations in trouble: calls of the store that are lost, the death of the execution in every state, and everything at once by
 * chance. Whatever happens, there are never two primaries, and the sentinel brings the cluster to rest.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostOptions } from './model-host.ts';
import { expectAtRest, OperationWorld } from './operation-world.ts';

const switchover = { cluster: 'main', kind: 'switchover', target: 'b', reason: 'test' };
const failover = { cluster: 'main', kind: 'failover', reason: 'test' };
const a: HostOptions = { id: 'a', lsn: 0x6000000n, primary: true };
const b: HostOptions = { id: 'b', lsn: 0x6000000n };
const c: HostOptions = { id: 'c', lsn: 0x5ffff00n };

describe('the store', () => {
  test('may lose requests and answers: the states are repeated until they got through', async () => {
    let calls = 0;
    const failure = { kind: 'unreachable', message: 'lost' } as const;
    const world = new OperationWorld({
      fault: () => {
        calls += 1;
        if (calls % 17 === 0) return { lost: 'answer', failure };
        return calls % 13 === 0 ? { lost: 'request', failure } : null;
      },
    });
    expect(await world.run(switchover)).toMatchObject({ status: 'SUCCEEDED' });
    expectAtRest(world, 'b', 2);
  });
});

const statesOfSwitchover = [
  'Initiated',
  'WaitingForCatchup',
  'CheckingCatchup',
  'DemotingOldPrimary',
  'ChoosingTarget',
  'PromotingNewPrimary',
  'ReconfiguringReplicas',
  'Stable',
];

describe('an execution that is killed', () => {
  test.each(statesOfSwitchover)(
    'in %s leaves a cluster that the sentinel brings to rest',
    async (killedIn) => {
      for (const afterMs of [0, 30, 150]) {
        const world = new OperationWorld();
        let killed = false;
        world.onState((state, arn) => {
          if (state !== killedIn || killed) return;
          killed = true;
          world.clock.setTimeout(() => void world.engine.stop(arn, null, null), afterMs);
        });
        const arn = world.start(switchover);
        await world.clock.advance(60_000);
        expect(['ABORTED', 'SUCCEEDED']).toContain(world.engine.describe(arn)?.status);
        for (let minute = 0; minute < 3; minute += 1) {
          await world.sentinel();
          await world.clock.advance(60_000);
        }
        expect(world.record).toMatchObject({ operation: null, failoverState: 'stable' });
        expect(world.lease.state).toBe('held');
        expectAtRest(world, world.lease.holder, world.lease.epoch);
      }
    },
  );

  test('and redriven later finds that its time is over', async () => {
    const world = new OperationWorld();
    world.onState((state, arn) => {
      if (state === 'DemotingOldPrimary')
        world.clock.setTimeout(() => void world.engine.stop(arn, null, null), 0);
    });
    const arn = world.start(switchover);
    await world.clock.advance(60_000);
    await world.sentinel();
    await world.clock.advance(60_000);
    world.onState(() => undefined);
    const { holder, epoch } = world.lease;
    expect(world.engine.redrive(arn, null).kind).toBe('redriven');
    expect(await world.finish(arn)).toMatchObject({ status: 'FAILED', error: 'OperationSuperseded' });
    expectAtRest(world, holder, epoch);
  });
});

const isQuiet = ({ record, lease }: OperationWorld) => record.operation === null && lease.state === 'held';

const misbehaviours = [
  {},
  { 'await-catchup': 'hangs' },
  { 'end-receiver': 'refuses' },
  { 'acquire-and-promote': 'refuses' },
  { 'acquire-and-promote': 'hangs' },
  { 'acquire-and-promote': 'gives-back' },
  { 'acquire-and-promote': 'dies-holding' },
] satisfies HostOptions['misbehaves'][];

const trouble = fc.record({
  request: fc.constantFrom(switchover, failover, { cluster: 'main' }),
  misbehaves: fc.constantFrom(...misbehaviours),
  stopHangs: fc.boolean(),
  twice: fc.boolean(),
  /** Every so many calls of the store are lost; 0: none. */
  loseEvery: fc.constantFrom(0, 0, 23, 7),
  lostAnswer: fc.boolean(),
  killExecutionAtMs: fc.option(fc.integer({ min: 0, max: 5000 })),
  killPrimaryAtMs: fc.option(fc.integer({ min: 0, max: 5000 })),
});

test('whatever goes wrong at once, never two primaries, and the cluster comes to rest', async () => {
  const failure = { kind: 'unreachable', message: 'lost' } as const;
  await fc.assert(
    fc.asyncProperty(trouble, async (wrong) => {
      let calls = 0;
      let faulty = true;
      const primary: HostOptions = wrong.stopHangs
        ? { ...a, misbehaves: { 'stop-and-release': 'hangs' } }
        : a;
      const world = new OperationWorld({
        hosts: [primary, { ...b, misbehaves: wrong.misbehaves }, c],
        twice: wrong.twice,
        fault: () => {
          calls += 1;
          const lost = wrong.lostAnswer ? 'answer' : 'request';
          return faulty && wrong.loseEvery > 0 && calls % wrong.loseEvery === 0 ? { lost, failure } : null;
        },
      });
      const arn = world.start(wrong.request);
      if (wrong.killPrimaryAtMs !== null)
        world.clock.setTimeout(() => world.host('a').die(), wrong.killPrimaryAtMs);
      if (wrong.killExecutionAtMs !== null)
        world.clock.setTimeout(() => void world.engine.stop(arn, null, null), wrong.killExecutionAtMs);
      await world.finish(arn);
      await world.sentinel().catch(() => undefined);
      await world.clock.advance(60_000);
      faulty = false;
      for (let minute = 0; minute < 12 && !(minute > 0 && isQuiet(world)); minute += 1) {
        await world.sentinel();
        await world.clock.advance(60_000);
      }
      expect(world.record).toMatchObject({ operation: null, failoverState: 'stable' });
      expect(world.host(world.lease.holder).alive).toBe(true);
      expectAtRest(world, world.lease.holder, world.lease.epoch);
    }),
    { numRuns: Number(process.env['LEASEHOLD_SIMULATIONS'] ?? 40) },
  );
});
