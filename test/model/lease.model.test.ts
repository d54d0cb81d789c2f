/**
 * The lease under every order of events that fast-check thinks of: L1 (one holder an epoch), L2 (a delayed write never lands on
 * a newer state), L3 (two hosts are never writable at once), L4 (never sealed before the holder's deadline) and D1 and D2 (a hold
 * that rests on promises is nobody else's), with clocks that drift by up to 1 % and messages that are late, lost or doubled. The
 * world itself checks each event.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { Lease } from '../../core/model/lease.ts';
import { LeaseWorld } from './lease-world.ts';
import type { Host, HostClock, Transit } from './world-host.ts';

type World = LeaseWorld;
type Command = fc.Command<object, World>;

const landed = new Map<string, number>();
const transits: fc.Arbitrary<Transit> = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Transit>('instant') },
  { weight: 3, arbitrary: fc.constantFrom<Transit>('request-late', 'answer-late', 'answer-lost', 'twice') },
);
const choice = fc.nat({ max: 5 });

/** A command of one of the hosts for which it is possible now; none: nothing happens. */
function hostCommand(
  name: string,
  can: (world: World, host: Host) => boolean,
  act: (world: World, host: Host, transit: Transit, other: string) => void,
): fc.Arbitrary<Command> {
  return fc.tuple(choice, choice, transits).map(([which, otherWhich, transit]) => {
    let did = 'nothing';
    return {
      check: () => true,
      run(_model, world) {
        const able = world.hosts.filter((host) => host.alive && can(world, host));
        const host = able[which % able.length];
        const other = world.hosts[otherWhich % world.hosts.length]?.id;
        if (host === undefined || other === undefined) return;
        did = `${host.id}, other ${other}, ${transit}`;
        act(world, host, transit, other);
      },
      toString: () => `${name}(${did})`,
    };
  });
}

function withLease(
  name: string,
  can: (lease: Lease, host: Host, world: World) => boolean,
  act: (world: World, host: Host, lease: Lease, transit: Transit, other: string) => void,
): fc.Arbitrary<Command> {
  return hostCommand(
    name,
    (world, host) => host.known !== null && can(host.known, host, world),
    (world, host, transit, other) => {
      if (host.known !== null) act(world, host, host.known, transit, other);
    },
  );
}

const mine = (lease: Lease, host: Host): boolean =>
  lease.state === 'held' && lease.holder === host.id && lease.incarnation === host.incarnation;
const mayBeHeld = (lease: Lease, host: Host): boolean => lease.epoch > host.barredEpoch;

const worldCommand = (name: string, run: (world: World, index: number) => void): fc.Arbitrary<Command> =>
  fc.nat({ max: 1000 }).map((index) => ({
    check: () => true,
    run: (_model, world) => run(world, index),
    toString: () => `${name}(${index})`,
  }));

/** Waits exactly until the host may seal, and not a moment longer: the earliest seal that the code allows. */
const sealAtOnce = hostCommand(
  'seal-at-once',
  (world, host) =>
    host.watch.lease?.state === 'held' && host.watch.lease.holder !== host.id && world.lease !== null,
  (world, host, transit) => {
    for (let waitedMs = 0; waitedMs < 3 * world.ttlMs && !world.mayBeSealedBy(host); waitedMs += 5)
      world.advance(5);
    if (world.mayBeSealedBy(host)) world.seal(host, transit);
  },
);

const renew = withLease(
  'renew',
  (lease, host) => mine(lease, host) && mayBeHeld(lease, host),
  (world, host, lease, transit) => world.renew(host, lease, transit),
);

const adopt = withLease(
  'adopt',
  (lease, host) =>
    lease.state === 'held' && lease.holder === host.id && !mine(lease, host) && mayBeHeld(lease, host),
  (world, host, lease, transit) => world.adopt(host, lease, transit),
);

const acquire = withLease(
  'acquire',
  (lease, host) => lease.state !== 'held' && lease.successor === host.id,
  (world, host, lease, transit) => world.acquire(host, lease, lease.operation ?? '', transit),
);

/** By a node that was not named, or armed for another operation: its write's own condition must keep it out. */
const acquireUnasked = withLease(
  'acquire-unasked',
  (lease) => lease.state !== 'held',
  (world, host, lease, transit, other) =>
    world.acquire(host, lease, other === host.id ? 'another' : (lease.operation ?? ''), transit),
);

const nameSuccessor = withLease(
  'name-successor',
  (lease) => lease.state !== 'held',
  (world, host, lease, transit, other) => world.nameSuccessor(host, lease, other, transit),
);

const fenceable = (lease: Lease): boolean => lease.state === 'held' || lease.state === 'sealed';

const fenceByBar = withLease('fence-by-bar', fenceable, (world, host, lease, transit) =>
  world.fence(host, lease, false, transit),
);

const fenceByStop = withLease(
  'fence-by-stop',
  (lease, host) => fenceable(lease) && lease.holder !== host.id,
  (world, host, lease, transit) => world.fence(host, lease, true, transit),
);

const ask = withLease(
  'ask',
  (lease, host) => mine(lease, host) && mayBeHeld(lease, host),
  (world, host, lease, transit) => world.failsafe.ask(host, lease, transit),
);

const restart = worldCommand('restart', (world, index) => {
  const host = world.hosts[index % world.hosts.length];
  if (host === undefined) return;
  world.restart(host);
  if (index % 2 === 0) world.read(host, 'instant');
});

/** Often what happens often, so that a run comes far. */
const weighted: readonly (readonly [number, fc.Arbitrary<Command>])[] = [
  [
    2,
    hostCommand(
      'read',
      () => true,
      (world, host, transit) => world.read(host, transit),
    ),
  ],
  [
    6,
    worldCommand('all-read', (world) => {
      for (const host of world.hosts) world.read(host, 'instant');
    }),
  ],
  [
    1,
    hostCommand(
      'create',
      (world, host) => host.known === null && (world.lease?.epoch ?? 0) < 2,
      (world, host, transit) => world.create(host, transit),
    ),
  ],
  [5, renew],
  [
    1,
    withLease(
      'change',
      (lease, host) => mine(lease, host) && mayBeHeld(lease, host),
      (world, host, lease, transit) => world.change(host, lease, transit),
    ),
  ],
  [4, adopt],
  [
    1,
    withLease('announce', mine, (world, host, lease, transit, other) =>
      world.announce(host, lease, other, transit),
    ),
  ],
  [2, withLease('withdraw', mine, (world, host, lease, transit) => world.withdraw(host, lease, transit))],
  [
    2,
    withLease('release', mine, (world, host, lease, transit, other) =>
      world.release(host, lease, other, transit),
    ),
  ],
  [2, sealAtOnce],
  [
    1,
    hostCommand(
      'seal',
      (world, host) => world.mayBeSealedBy(host),
      (world, host, transit) => world.seal(host, transit),
    ),
  ],
  [4, nameSuccessor],
  [6, acquire],
  [1, acquireUnasked],
  [1, fenceByBar],
  [1, fenceByStop],
  [2, restart],
  [4, ask],
  [2, worldCommand('land-question', (world, index) => world.failsafe.landQuestion(index))],
  [2, worldCommand('deliver-promise', (world, index) => world.failsafe.deliverAnswer(index))],
  [3, worldCommand('land', (world, index) => world.land(index, false))],
  [1, worldCommand('land-again', (world, index) => world.land(index, true))],
  [3, worldCommand('deliver', (world, index) => world.deliver(index))],
  [1, worldCommand('advance', (world, index) => world.advance(index))],
  [2, worldCommand('advance-little', (world, index) => world.advance(index % 60))],
];
const commands = weighted.flatMap(([weight, command]) => Array.from({ length: weight }, () => command));

const clocks: fc.Arbitrary<HostClock[]> = fc.array(
  fc.record({ rate: fc.constantFrom(0.99, 0.995, 1, 1.005, 1.01), offsetMs: fc.nat({ max: 100_000 }) }),
  { minLength: 3, maxLength: 3 },
);

/** A cluster whose first lease is held and known, as after the bootstrap. */
function started(hostClocks: readonly HostClock[], ttlMs: number): World {
  const world = new LeaseWorld(hostClocks, ttlMs);
  const [first, ...others] = world.hosts;
  if (first !== undefined) world.create(first, 'instant');
  for (const host of others) world.read(host, 'instant');
  return world;
}

describe('the lease', () => {
  test('keeps its invariants in every order of events', { timeout: 110_000 }, () => {
    const property = fc.property(
      clocks,
      fc.constantFrom(1000, 2000, 5000),
      fc.commands(commands, { maxCommands: 120, size: 'max' }),
      (hostClocks, ttlMs, run) => {
        const world = started(hostClocks, ttlMs);
        fc.modelRun(() => ({ model: {}, real: world }), run);
        landed.set('extension', (landed.get('extension') ?? 0) + world.failsafe.extensions);
        landed.set('refusal', (landed.get('refusal') ?? 0) + world.failsafe.refusals);
        for (const [kind, count] of world.landed) landed.set(kind, (landed.get(kind) ?? 0) + count);
      },
    );
    fc.assert(property, { numRuns: Number(process.env['LEASE_MODEL_RUNS'] ?? 6000) });
  });

  test('keeps its invariants when a seal outlives the agent that sent it, and the new agent is asked', () => {
    const world = started(
      [1, 2, 3].map(() => ({ rate: 1, offsetMs: 0 })),
      2_000,
    );
    const [holder, member] = world.hosts;
    if (holder === undefined || member === undefined) throw new Error('no hosts');
    world.renew(holder, holder.known as Lease, 'instant');
    for (const host of world.hosts) world.read(host, 'instant');
    while (!world.mayBeSealedBy(member)) world.advance(5);
    world.seal(member, 'request-late');
    world.restart(member);
    world.read(member, 'instant');
    world.failsafe.ask(holder, holder.known as Lease, 'instant');
    expect(world.failsafe.refusals).toBe(1);
    // Throws when the holder may write.
    world.land(0, false);
    expect(world.lease?.state).toBe('sealed');
  });

  test('keeps its invariants when the line gives an old promise for a new one', () => {
    const world = started(
      [1, 2, 3].map(() => ({ rate: 1, offsetMs: 0 })),
      2_000,
    );
    const [holder, member] = world.hosts;
    if (holder === undefined || member === undefined) throw new Error('no hosts');
    world.renew(holder, holder.known as Lease, 'instant');
    for (const host of world.hosts) world.read(host, 'instant');
    world.failsafe.ask(holder, holder.known as Lease, 'answer-late');
    world.advance(10_000);
    world.failsafe.ask(holder, holder.known as Lease, 'request-late');
    // An answer whose index is a multiple of five goes to the newest ask.
    world.failsafe.deliverAnswer(0);
    expect(world.failsafe.extensions).toBe(0);
    expect(world.isWritable(holder)).toBe(false);
  });

  afterAll(() => {
    const kinds = [
      'adopt',
      'renew',
      'announce',
      'withdraw',
      'release',
      'seal',
      'fence',
      'name-successor',
      'acquire',
      'extension',
      'refusal',
    ];
    for (const kind of kinds)
      expect(landed.get(kind) ?? 0, `${kind} landed too rarely to have been tested`).toBeGreaterThan(50);
  });
});
