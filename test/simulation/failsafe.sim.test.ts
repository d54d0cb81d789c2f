/**
 * DynamoDB away, on the production lease keepers: with all members reachable the primary stays writable for as long as it takes,
 * with one of them away it is down before its deadline, and whichever of the hosts lost the store, nobody else takes over (D1, D2).
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LeaseCluster, type SimulatedHost } from './lease-cluster.ts';

const ttlMs = 2_000;
const seeds = [1, 2, 3];
const all = ['node1', 'node2', 'node3'];

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Scene {
  readonly cluster: LeaseCluster;
  readonly primary: SimulatedHost;
  readonly others: readonly SimulatedHost[];
  /** Moments, of those that were looked at, in which the primary was not writable. */
  readonly gaps: () => number;
}

/** A cluster at rest, its network quiet. */
async function atRest(seed: number): Promise<Scene> {
  const cluster = new LeaseCluster(seed);
  cluster.faults = false;
  await vi.advanceTimersByTimeAsync(10_000);
  const primary = cluster.hosts.find((host) => host.isWritable());
  if (primary === undefined) throw new Error('nobody is writable');
  let gaps = 0;
  setInterval(() => {
    cluster.checkWritable();
    if (!primary.isWritable()) gaps += 1;
  }, 5);
  return { cluster, primary, others: cluster.hosts.filter((host) => host !== primary), gaps: () => gaps };
}

describe.each(seeds)('with seed %i', (seed) => {
  test.each([
    ['for all hosts', () => all],
    ['for the primary alone', ({ primary }: Scene) => [primary.id]],
    ['for a member alone', ({ others }: Scene) => others.slice(0, 1).map(({ id }) => id)],
    ['for all members', ({ others }: Scene) => others.map(({ id }) => id)],
  ])('the store away %s for three minutes: no gap, and the lease stays', async (_whom, awayFor) => {
    const scene = await atRest(seed);
    const { cluster, primary } = scene;
    const before = cluster.table.lease;
    for (const id of awayFor(scene)) cluster.storeAwayFor.add(id);
    await vi.advanceTimersByTimeAsync(180_000);
    expect(scene.gaps()).toBe(0);
    expect(primary.view().failsafe.active).toBe(awayFor(scene).includes(primary.id));
    cluster.storeAwayFor.clear();
    await vi.advanceTimersByTimeAsync(5_000);
    cluster.close();
    expect(scene.gaps()).toBe(0);
    expect(cluster.violations).toEqual([]);
    expect(cluster.table.lease).toMatchObject({
      holder: before?.holder,
      epoch: before?.epoch,
      state: 'held',
    });
    expect(primary.view().failsafe.active).toBe(false);
  });

  test('a member away too: not writable from the deadline on, and all is well once they are back', async () => {
    const scene = await atRest(seed);
    const { cluster, primary, others } = scene;
    for (const id of all) cluster.storeAwayFor.add(id);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(scene.gaps()).toBe(0);
    cluster.peersAway.add(others[0]?.id ?? '');
    await vi.advanceTimersByTimeAsync(ttlMs + 100);
    expect(primary.isWritable()).toBe(false);
    expect(cluster.hosts.some((host) => host.isWritable())).toBe(false);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(cluster.hosts.some((host) => host.isWritable())).toBe(false);
    cluster.storeAwayFor.clear();
    cluster.peersAway.clear();
    await vi.advanceTimersByTimeAsync(10_000);
    cluster.close();
    expect(cluster.violations).toEqual([]);
    expect(cluster.hosts.filter((host) => host.isWritable())).toHaveLength(1);
    expect(cluster.table.lease?.state).toBe('held');
  });

  test('the primary cut off from all: members take over once their promises have ended', async () => {
    const scene = await atRest(seed);
    const { cluster, primary } = scene;
    cluster.storeAwayFor.add(primary.id);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(scene.gaps()).toBe(0);
    cluster.peersAway.add(primary.id);
    await vi.advanceTimersByTimeAsync(15_000);
    cluster.close();
    expect(cluster.violations).toEqual([]);
    const writable = cluster.hosts.filter((host) => host.isWritable());
    expect(writable).toHaveLength(1);
    expect(writable[0]).not.toBe(primary);
  });

  test('the primary without the store and a member dead: the member that is left takes over', async () => {
    const scene = await atRest(seed);
    const { cluster, primary, others } = scene;
    const [dead, left] = others;
    cluster.storeAwayFor.add(primary.id).add(dead?.id ?? '');
    cluster.peersAway.add(dead?.id ?? '');
    await vi.advanceTimersByTimeAsync(15_000);
    cluster.close();
    expect(cluster.violations).toEqual([]);
    expect(cluster.hosts.filter((host) => host.isWritable())).toEqual([left]);
  });

  test('a member that restarts while the store is away promises no more: the primary is fenced', async () => {
    const scene = await atRest(seed);
    const { cluster, primary, others } = scene;
    for (const id of all) cluster.storeAwayFor.add(id);
    await vi.advanceTimersByTimeAsync(10_000);
    others[1]?.restart();
    await vi.advanceTimersByTimeAsync(ttlMs + 100);
    expect(primary.isWritable()).toBe(false);
    cluster.close();
    expect(cluster.violations).toEqual([]);
  });
});
