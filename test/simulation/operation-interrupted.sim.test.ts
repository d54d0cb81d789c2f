/**
 * Every step of an operation, interrupted: the function that takes it, its whole execution, or a host is killed at each single
 * call of the store that the workflow makes. The steps, the definition and the sentinel are the production ones. There are never
 * two primaries, and the cluster comes to rest (O1): by a retry, or by the first look of the sentinel after the death.
 */
import { describe, expect, test } from 'vitest';
import type { HostOptions } from './model-host.ts';
import { expectAtRest, OperationWorld, type WorldOptions } from './operation-world.ts';

const a: HostOptions = { id: 'a', lsn: 0x6000000n, primary: true };
const b: HostOptions = { id: 'b', lsn: 0x6000000n };
const c: HostOptions = { id: 'c', lsn: 0x5ffff00n };
const lagging: HostOptions = { ...b, misbehaves: { 'await-catchup': 'refuses' } };
const unfit: HostOptions = { ...b, misbehaves: { 'acquire-and-promote': 'gives-back' } };

interface Scenario {
  readonly name: string;
  readonly request: object;
  readonly hosts: readonly HostOptions[];
  /** Before the operation begins. */
  readonly dead?: string;
  /** Each call, or each second or third one. */
  readonly every: number;
  /** Left alone. */
  readonly ends: { readonly status: string; readonly primary: string; readonly epoch: number };
}

const switchover = { cluster: 'main', kind: 'switchover', target: 'b', reason: 'test' };
const scenarios: readonly Scenario[] = [
  {
    name: 'a switchover',
    request: switchover,
    hosts: [a, b, c],
    every: 1,
    ends: { status: 'SUCCEEDED', primary: 'b', epoch: 2 },
  },
  {
    name: 'a switchover that is rolled back',
    request: switchover,
    hosts: [a, lagging, c],
    every: 2,
    ends: { status: 'FAILED', primary: 'a', epoch: 1 },
  },
  {
    name: 'a switchover that is given back',
    request: switchover,
    hosts: [a, unfit, c],
    every: 3,
    ends: { status: 'FAILED', primary: 'a', epoch: 3 },
  },
  {
    name: 'a failover',
    request: { cluster: 'main', kind: 'failover', reason: 'test' },
    hosts: [a, b, c],
    dead: 'a',
    every: 1,
    ends: { status: 'SUCCEEDED', primary: 'b', epoch: 2 },
  },
];

const minuteMs = 60_000;
/** As Lambda calls the death of a function's process. */
const killed = () => Object.assign(new Error('the process was killed'), { name: 'Runtime.ExitError' });

/** A world in which `strike` is called at each call of the store by the workflow, with its number. */
function worldOf(
  { hosts, dead }: Scenario,
  strike: (call: number, world: OperationWorld) => ReturnType<NonNullable<WorldOptions['fault']>>,
): OperationWorld {
  let calls = 0;
  const world: OperationWorld = new OperationWorld({
    hosts,
    fault: () => {
      calls += 1;
      return strike(calls, world);
    },
  });
  if (dead !== undefined) world.host(dead).die();
  return world;
}

/** How many calls of the store the operation makes when nothing is killed. */
async function callsOf(scenario: Scenario): Promise<number> {
  let calls = 0;
  const world = worldOf(scenario, (call) => {
    calls = call;
    return null;
  });
  const execution = await world.run(scenario.request);
  expect(execution.status).toBe(scenario.ends.status);
  await world.clock.advance(minuteMs);
  expectAtRest(world, scenario.ends.primary, scenario.ends.epoch);
  return calls;
}

describe.each(scenarios)('$name', (scenario) => {
  test('whose function is killed at any call goes on as if nothing had been', async () => {
    const calls = await callsOf(scenario);
    expect(calls).toBeGreaterThan(10);
    for (let at = 1; at <= calls; at += scenario.every) {
      for (const lost of ['request', 'answer'] as const) {
        const world = worldOf(scenario, (call) => (call === at ? { lost, failure: killed() } : null));
        const { status } = await world.run(scenario.request);
        expect({ at, lost, status }).toEqual({ at, lost, status: scenario.ends.status });
        await world.clock.advance(minuteMs);
        // A target that failed while the function was away may be tried once more.
        expect(world.lease.epoch - scenario.ends.epoch).toBeLessThanOrEqual(1);
        expectAtRest(world, scenario.ends.primary, world.lease.epoch);
      }
    }
  });

  test('whose execution is killed at any call is picked up by the first look of the sentinel', async () => {
    const calls = await callsOf(scenario);
    for (let at = 1; at <= calls; at += scenario.every) {
      let arn = '';
      const world = worldOf(scenario, (call, { engine, clock }) => {
        if (call === at) clock.setTimeout(() => void engine.stop(arn, null, null), 0);
        return null;
      });
      arn = world.start(scenario.request);
      await world.finish(arn);
      const dead = world.record.operation;
      const status = world.engine.describe(arn)?.status;
      // The minute's look comes at any time after the death: here as late as it can.
      await world.clock.advance(minuteMs);
      await world.sentinel();
      const picked =
        world.record.operation === null || world.record.operation.executionArn !== dead?.executionArn;
      expect({ at, status, picked }).toMatchObject({ at, picked: true });
      await world.clock.advance(minuteMs);
      expect({ at, operation: world.record.operation }).toEqual({ at, operation: null });
      expectAtRest(world, world.lease.holder, world.lease.epoch);
    }
  });

  test.each(['a', 'b', 'c'])('during which host %s is killed at any call comes to rest', async (victim) => {
    if (victim === scenario.dead) return;
    const calls = await callsOf(scenario);
    for (let at = 1; at <= calls; at += scenario.every) {
      const world = worldOf(scenario, (call, { host }) => {
        if (call === at) host.call(world, victim).die();
        return null;
      });
      await world.run(scenario.request);
      for (let minute = 0; minute < 12; minute += 1) {
        await world.clock.advance(minuteMs);
        await world.sentinel();
        if (minute > 0 && world.record.operation === null && world.lease.state === 'held') break;
      }
      expect({ at, operation: world.record.operation, state: world.lease.state }).toEqual({
        at,
        operation: null,
        state: 'held',
      });
      expect({ at, holder: world.lease.holder }).not.toEqual({ at, holder: victim });
      expectAtRest(world, world.lease.holder, world.lease.epoch);
    }
  });
});

test('a lease that was sealed, and for which nobody could start anything, is moved by the first look of the sentinel', async () => {
  const world = new OperationWorld({ hosts: [a, b, c] });
  world.host('a').die();
  await world.clock.advance(10_000);
  expect(world.lease.state).toBe('sealed');
  expect(world.record.operation).toBeNull();
  expect(await world.sentinel()).toMatchObject({ did: 'started-failover' });
  await world.clock.advance(minuteMs);
  expectAtRest(world, 'b', 2);
});
