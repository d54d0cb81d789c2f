/**
 * A rotation that is disturbed at each of its calls in turn, in every way there is: it dies before or after the call, a failover begins,
 * also one that loses what only the old primary had, or somebody gives it up. Whatever comes, nobody is locked out at any moment
 * (the world checks it), it comes to its end, and the next rotation does too.
 */
import { describe, expect, test } from 'vitest';
import { neverRotated, type SecretKind, secretKinds } from '../../core/model/cluster-secrets.ts';
import { type Mishap, RotationWorld } from './rotation-world.ts';

const mishaps: readonly Mishap[] = [
  'dies-before',
  'dies-after',
  'failover',
  'failover-losing-a-tail',
  'given-up',
];
const hosts = ['node1', 'node2', 'node3', 'proxy1'];

async function callsOf(kind: SecretKind): Promise<number> {
  const world = new RotationWorld(null);
  await world.rotate(kind);
  return world.calls;
}

test('undisturbed, three rotations of each secret come to their end, and the last but one opens nothing', async () => {
  const world = new RotationWorld(null);
  for (let round = 0; round < 3; round += 1) {
    for (const kind of secretKinds) expect(await world.rotate(kind)).toBe(true);
  }
  for (const kind of secretKinds) expect(world.record.secrets?.[kind].next).toBe(null);
  // The first and the third are of the other role: the second is the one that is left of this.
  expect(world.takes('postgres', 'p0')).toBe(false);
  expect(world.takes('postgres', 'new4')).toBe(true);
  expect(world.takes('postgres_alt', 'new1')).toBe(false);
  expect(world.takes('postgres_alt', 'new7')).toBe(true);
});

test('the former text of the cluster is taken by nobody once every host signs with the new one', async () => {
  const world = new RotationWorld(null);
  await world.rotate('cluster');
  for (let ticks = 0; ticks < 3; ticks += 1) await world.tick();
  for (const host of hosts) {
    expect(world.signsWith(host)).toBe('new1');
    expect(world.accepts(host)).toEqual(['new1']);
  }
});

test('a rotation of all three at once', async () => {
  const world = new RotationWorld(null);
  expect(await Promise.all(secretKinds.map((kind) => world.rotate(kind)))).toEqual([true, true, true]);
  expect(Object.values(world.record.secrets ?? neverRotated).map(({ next }) => next)).toEqual([
    ...[null, null, null],
  ]);
});

describe.each(secretKinds)('the rotation of %s', (kind) => {
  test.each(mishaps)('%s at any of its calls', async (what) => {
    const calls = await callsOf(kind);
    expect(calls).toBeGreaterThan(20);
    for (let atCall = 0; atCall < calls; atCall += 1) {
      const world = new RotationWorld({ what, atCall });
      const ended = await world.rotate(kind);
      expect(ended, `call ${atCall}`).toBe(what !== 'given-up' || world.calls <= atCall);
      for (const host of hosts) world.restart(host);
      expect(await world.rotate(kind), `the next one, after call ${atCall}`).toBe(true);
      expect(world.record.secrets?.[kind].next, `call ${atCall}`).toBe(null);
    }
  });
});
