/**
 * An upgrade from begin to end with hosts that fail, and with a program that is killed, at each point of it: one host at a time, all brought
 * back after a failure, and a second run that goes on.
 */
import { describe, expect, test } from 'vitest';
import { runUpgrade } from '../../../adapters/upgrade/run-upgrade.ts';
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

test('a host that cannot go back is told of, and the others go back', async () => {
  const world = new UpgradeWorld();
  world.fate.set(`proxy-1 ${fresh}`, 'no');
  world.fate.set(`node-2 ${oldRelease.version}`, 'it has it no more');
  expect(await runIn(world)).toMatchObject({
    rolledBack: [
      { node: 'node-2', outcome: 'it has it no more' },
      { node: 'node-3', outcome: null },
    ],
  });
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
