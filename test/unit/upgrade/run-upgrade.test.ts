/**
 * An upgrade from begin to end with hosts that fail, and with a program that is killed, at each point of it: one host at a time, all brought
 * back after a failure, and a second run that goes on.
 */
import { describe, expect, test } from 'vitest';
import { runUpgrade } from '../../../adapters/upgrade/run-upgrade.ts';
import { switchedBy, switchoverRequest } from '../../../cli/commands/upgrade.ts';
import { parseOperationRequest } from '../../../core/wire/parse-operation-request.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import {
  Killed,
  newRelease,
  nodes,
  oldRelease,
  otherRelease,
  proxies,
  request,
  UpgradeWorld,
} from './upgrade-world.ts';

const fresh = newRelease.version;
const course = [
  `node-2 ${fresh}`,
  `node-3 ${fresh}`,
  `proxy-1 ${fresh}`,
  `proxy-2 ${fresh}`,
  'switchover',
  `node-1 ${fresh}`,
];
const all = [...nodes, ...proxies];
const runIn = (world: UpgradeWorld) => runUpgrade(world.deps(), world.store, request);
const eventsOf = (world: UpgradeWorld) => [...world.table.events.values()].map(({ kind }) => kind);

test('standbys first, then proxies, then a switchover, then the old primary', async () => {
  const world = new UpgradeWorld();
  expect(await runIn(world)).toEqual({ kind: 'done', hosts: 5 });
  expect(world.did).toEqual(course);
  expect(eventsOf(world)).toEqual(Array(5).fill('host_upgraded'));
  expect(await runIn(world)).toEqual({ kind: 'done', hosts: 5 });
  expect(world.did).toEqual(course);
});

test.each(course)('when %s fails, every host has the former release again', async (failing) => {
  const world = new UpgradeWorld();
  world.fate.set(failing, 'Failed: it is not well');
  const run = await runIn(world);
  const before = course.slice(0, course.indexOf(failing)).filter((step) => step !== 'switchover');
  expect(run).toMatchObject({ kind: 'failed', reason: expect.stringContaining('it is not well') });
  expect(world.did.slice(0, course.indexOf(failing) + 1)).toEqual(
    course.slice(0, course.indexOf(failing) + 1),
  );
  expect(all.map((id) => world.release.get(id))).toEqual(all.map(() => oldRelease));
  if (run.kind !== 'failed') throw new Error('it failed');
  expect(run.rolledBack.map(({ node }) => node).toSorted()).toEqual(
    before.map((step) => step.split(' ')[0] ?? '').toSorted(),
  );
  expect(run.rolledBack.every(({ outcome }) => outcome === null)).toBe(true);
});

describe.each(['before', 'after'] as const)('killed %s it has its effect', (killed) => {
  test.each(course)('at %s: a second run goes on and touches nothing twice', async (at) => {
    const world = new UpgradeWorld();
    world.fate.set(at, { killed });
    await expect(runIn(world)).rejects.toThrow(Killed);
    world.fate.clear();
    expect(await runIn(world)).toEqual({ kind: 'done', hosts: 5 });
    const again =
      killed === 'before'
        ? [...course.slice(0, course.indexOf(at) + 1), ...course.slice(course.indexOf(at))]
        : course;
    expect(world.did).toEqual(again);
  });

  test('a second run that fails brings back the hosts of the first as well', async () => {
    const world = new UpgradeWorld();
    world.fate.set(`node-3 ${fresh}`, { killed });
    await expect(runIn(world)).rejects.toThrow(Killed);
    world.fate.clear();
    world.fate.set(`proxy-1 ${fresh}`, 'no');
    expect(await runIn(world)).toMatchObject({ kind: 'failed' });
    expect(all.map((id) => world.release.get(id))).toEqual(all.map(() => oldRelease));
  });
});

test('nothing is changed where the cluster is not well at the beginning', async () => {
  const world = new UpgradeWorld();
  world.silent.add('node-3');
  expect(await runIn(world)).toMatchObject({
    kind: 'refused',
    rule: 'not-whole',
    reason: 'node-3 is silent',
  });
  expect(world.did).toEqual([]);
});

test('another host that falls silent meanwhile ends it, and the upgraded ones go back', async () => {
  const world = new UpgradeWorld();
  const deps = world.deps();
  const run = await runUpgrade(
    {
      ...deps,
      upgradeHost: async (host, artifact) => {
        if (host.id === 'node-2') world.silent.add('proxy-1');
        return await deps.upgradeHost(host, artifact);
      },
    },
    world.store,
    request,
  );
  expect(run).toMatchObject({ kind: 'failed', reason: expect.stringContaining('proxy-1 is silent') });
  expect(world.did).toEqual([`node-2 ${fresh}`, `node-2 ${oldRelease.version}`]);
});

test('a host whose command succeeded and that goes on reporting the former release is a failure', async () => {
  const world = new UpgradeWorld();
  const run = await runUpgrade({ ...world.deps(), upgradeHost: async () => null }, world.store, request);
  expect(run).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining(`node-2 reports ${oldRelease.version} after its upgrade`),
  });
});

test('a host that went back by itself is not asked to, although its last report is of the moment before', async () => {
  const world = new UpgradeWorld();
  const deps = world.deps();
  const run = await runUpgrade(
    {
      ...deps,
      upgradeHost: async (host, artifact) => {
        const outcome = await deps.upgradeHost(host, artifact);
        if (host.id !== 'node-3') return outcome;
        world.release.set('node-3', oldRelease);
        return 'Failed: the upgrade was rolled back';
      },
    },
    world.store,
    request,
  );
  expect(run).toMatchObject({ kind: 'failed', rolledBack: [{ node: 'node-2', outcome: null }] });
});

test('a host that cannot go back is told of, and no other is touched then', async () => {
  const world = new UpgradeWorld();
  world.fate.set(`proxy-1 ${fresh}`, 'no');
  world.fate.set(`node-2 ${oldRelease.version}`, 'it has it no more');
  expect(await runIn(world)).toMatchObject({
    rolledBack: [
      { node: 'node-2', outcome: 'it has it no more' },
      { node: 'node-3', outcome: 'it was not asked to, because node-2 could not' },
    ],
  });
  expect(world.did.at(-1)).toBe(`node-2 ${oldRelease.version}`);
  expect(world.release.get('node-3')).toBe(newRelease);
});

test('with several releases before nobody is brought back, for there is no one to go back to', async () => {
  const world = new UpgradeWorld();
  world.release.set('node-3', otherRelease);
  world.tick();
  world.fate.set(`node-3 ${fresh}`, 'no');
  const run = await runUpgrade(world.deps(), world.store, { ...request, mixed: true });
  expect(run).toMatchObject({ kind: 'failed', rolledBack: [] });
  expect(world.release.get('node-2')).toBe(newRelease);
});

describe("what is nobody's release brings nobody back", () => {
  const upgraded = (world: UpgradeWorld) => all.filter((id) => world.release.get(id) === newRelease);
  const another = { id: 'x', kind: 'switchover' as const, executionArn: null };
  /** With this happening while the command runs on node-3. */
  const meanwhile = async (happens: (world: UpgradeWorld) => void) => {
    const world = new UpgradeWorld();
    const deps = world.deps();
    const upgradeHost: typeof deps.upgradeHost = async (host, artifact) => {
      const outcome = await deps.upgradeHost(host, artifact);
      if (host.id === 'node-3') happens(world);
      return outcome;
    };
    return { world, run: await runUpgrade({ ...deps, upgradeHost }, world.store, request) };
  };
  const change = (world: UpgradeWorld, set: object) => {
    if (world.table.record !== null) world.table.record = { ...world.table.record, ...set };
  };

  test.each<[string, (world: UpgradeWorld) => void]>([
    ['paused', (world) => change(world, { paused: true })],
    ['releases-mixed', (world) => world.release.set('proxy-2', otherRelease)],
    ['operation-under-way', (world) => change(world, { operation: another })],
    ['never-reported', (world) => change(world, { members: [...nodes, 'node-4'] })],
  ])('%s', async (rule, happens) => {
    const { world, run } = await meanwhile(happens);
    expect(run).toEqual({ kind: 'stopped', reason: expect.stringContaining(`(${rule})`) });
    expect(world.did).toEqual(course.slice(0, 2));
    expect(upgraded(world)).toEqual(['node-2', 'node-3']);
    expect(eventsOf(world)).toEqual(['host_upgraded', 'host_upgraded', 'upgrade_failed']);
  });

  test('DynamoDB that does not answer', async () => {
    const world = new UpgradeWorld();
    const failure = { kind: 'unreachable', message: 'ETIMEDOUT' } as const;
    const fault = (call: string) =>
      call === 'readHead' && world.did.length === 2 ? { lost: 'request' as const, failure } : null;
    const store = createMemoryStore({ table: world.table, fault });
    expect(await runUpgrade(world.deps(), store, request)).toEqual({ kind: 'stopped', reason: 'ETIMEDOUT' });
    expect(upgraded(world)).toEqual(['node-2', 'node-3']);
  });

  test('a switchover that another operator makes: looked at again, and gone on from where that has led', async () => {
    const world = new UpgradeWorld();
    const switchOver = async () => {
      change(world, { operation: another });
      let ticks = 0;
      const { tick } = world;
      world.tick = () => {
        tick.call(world);
        ticks += 1;
        if (ticks !== 5) return;
        change(world, { operation: null });
        world.moveLease();
      };
      return { kind: 'look-again' as const, reason: 'OperationInProgress: switchover x is under way' };
    };
    const run = await runUpgrade({ ...world.deps(), switchOver }, world.store, request);
    expect(run).toEqual({ kind: 'done', hosts: 5 });
    expect(world.did).toEqual(course.filter((step) => step !== 'switchover'));
  });

  test("one that is never this run's to make, however often it looks", async () => {
    const world = new UpgradeWorld();
    let asked = 0;
    const switchOver = async () => {
      asked += 1;
      return { kind: 'look-again' as const, reason: 'no' };
    };
    const run = await runUpgrade({ ...world.deps(), switchOver }, world.store, request);
    expect(run).toEqual({ kind: 'stopped', reason: 'the switchover from node-1 failed: no' });
    expect(asked).toBeLessThan(15);
    expect(upgraded(world)).toEqual(all.filter((id) => id !== 'node-1'));
  });
});

test.each([
  ['done', { kind: 'succeeded', ms: 1, steps: [] }],
  ['look-again', { kind: 'failed', error: 'OperationInProgress', message: 'switchover x is under way' }],
  ['look-again', { kind: 'failed', error: 'ClusterNotReady', message: 'it was asked for in epoch 3' }],
  ['look-again', { kind: 'still-running' }],
  ['failed', { kind: 'failed', error: 'NoCandidate', message: 'no standby is fit' }],
  ['failed', { kind: 'failed', error: 'HandoverBroken', message: 'ClusterNotReady' }],
] as const)('%s: a switchover with %j', (kind, outcome) => {
  expect(switchedBy(outcome)).toMatchObject({ kind });
});

test('the switchover is asked for in the epoch that was seen', () => {
  const request = parseOperationRequest(switchoverRequest('main', 'cli:me', 7));
  expect(request).toMatchObject({ kind: 'switchover', target: null, epoch: 7 });
});
