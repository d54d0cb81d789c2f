/**
 * S1 to S3 against a model of PostgreSQL's own processes: whatever is interrupted and whoever dies, an election that calls itself safe loses no commit
 * that was acknowledged. The oracle looks at every set of answers after every event.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SynchronousSpec } from '../../core/model/cluster-record.ts';
import { type Sabotage, SynchronousWorld } from './synchronous-world.ts';

const nodes = ['a', 'b', 'c', 'd'];
const seed = Number(process.env['LEASEHOLD_SEED'] ?? 20_261_124);

/** A number from which an event is drawn, and one from which its details are. */
type Draw = readonly [number, number];

const draws = fc.array(fc.tuple(fc.nat(99), fc.nat(9_999)), { minLength: 20, maxLength: 160 });
const specs: fc.Arbitrary<SynchronousSpec> = fc.record({
  mode: fc.constantFrom('on', 'strict'),
  method: fc.constantFrom('any', 'first'),
  k: fc.integer({ min: 1, max: 2 }),
});

function pick<T>(from: readonly T[], number: number): T {
  const found = from[number % from.length];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}

function subsetsOf(members: readonly string[]): string[][] {
  let sets: string[][] = [[]];
  for (const member of members) sets = sets.concat(sets.map((set) => [...set, member]));
  return sets;
}

/** A rule that nothing but chance wants; in `strict` never one that waits for fewer than k. */
function wishOf(world: SynchronousWorld, detail: number) {
  const names = subsetsOf(world.standbys())[detail % 8] ?? [];
  const k = world.spec.mode === 'strict' ? world.spec.k : Math.min(names.length, 1 + (detail % 2));
  return { method: world.spec.method, k, names: k === 0 ? [] : names };
}

function happen(world: SynchronousWorld, [event, detail]: Draw): void {
  const node = pick(world.standbys(), detail);
  world.nowMs += detail % 700;
  if (event < 22) world.commit();
  else if (event < 38) world.flush(node, 1 + (detail % 5));
  else if (event < 52) world.reply(node, detail % 3 === 0);
  else if (event < 76) world.step();
  else if (event < 80) world.checkpointer();
  else if (event < 86) world.attach(node);
  else if (event < 89) world.detach(node);
  else if (event < 91) world.restartAgent();
  else if (event < 92) world.restartServer();
  else if (event < 95) world.wish = wishOf(world, detail);
  else if (event < 96) world.wish = null;
  else if (event < 97) world.handOver(node);
  else failOver(world, detail);
}

/** The old primary goes on for a while, unheard, with the standbys that did not answer. */
function failOver(world: SynchronousWorld, detail: number): void {
  const answering = pick(subsetsOf(world.standbys()), detail);
  if (world.safeChoice(answering) === null) return;
  world.endReceivers(answering);
  for (let late = 0; late < 6; late += 1) {
    const node = pick(world.standbys(), detail + late);
    world.commit();
    world.flush(node, 3);
    world.reply(node, late % 2 === 0);
  }
  const best = world.safeChoice(answering);
  if (best === null) return;
  expect(world.lostBySafeElection(answering)).toEqual([]);
  world.wish = null;
  world.promote(best, false);
}

function live(spec: SynchronousSpec, events: readonly Draw[], sabotage: Sabotage = {}): void {
  const world = new SynchronousWorld(nodes, spec, sabotage);
  for (const node of world.standbys()) world.attach(node);
  for (const draw of events) {
    happen(world, draw);
    for (const answering of subsetsOf(world.standbys()))
      expect(world.lostBySafeElection(answering), `${draw} with ${answering}`).toEqual([]);
    if (spec.mode === 'strict') expect(world.fewestCopies).toBeGreaterThanOrEqual(spec.k);
  }
}

test('no acknowledged commit is lost by an election that calls itself safe, whatever was interrupted (S1, S2, S3)', () => {
  fc.assert(
    fc.property(specs, draws, (spec, events) => live(spec, events)),
    { numRuns: 1_500, seed },
  );
});

test('nor while the specification itself is changed, off and on again', () => {
  const modes = ['off', 'on', 'strict'] as const;
  fc.assert(
    fc.property(specs, draws, (spec, events) => {
      const world = new SynchronousWorld(nodes, spec);
      for (const node of world.standbys()) world.attach(node);
      for (const [event, detail] of events) {
        if (detail % 13 === 0) world.spec = { ...spec, mode: pick(modes, event) };
        happen(world, [event, detail]);
        if (world.spec.mode === 'off') world.wish = null;
        for (const answering of subsetsOf(world.standbys()))
          expect(world.lostBySafeElection(answering), `${[event, detail]} with ${answering}`).toEqual([]);
      }
    }),
    { numRuns: 1_000, seed },
  );
});

test.each<[string, Sabotage]>([
  ['a change that is settled without a barrier', { noBarrier: true }],
  ['a rule that is put in force before it is recorded', { applyFirst: true }],
  ['a change of mind that forgets what may still be in force', { forgetFormer: true }],
  ['a new epoch that forgets where the commits of the old one are', { forgetPast: true }],
])('the model notices %s', (_what, sabotage) => {
  const check = () =>
    fc.assert(
      fc.property(specs, draws, (spec, events) => live(spec, events, sabotage)),
      { numRuns: 3_000, seed, endOnFailure: true },
    );
  expect(check).toThrow(/Property failed/);
});

test('a walsender that has not read the new rule keeps the old one recorded, for it may release commits by it', () => {
  const world = new SynchronousWorld(nodes, { mode: 'on', method: 'any', k: 1 });
  for (const node of ['b', 'c', 'd']) world.attach(node);
  world.wish = { method: 'any', k: 1, names: ['b', 'c'] };
  const settle = (replying: readonly string[]) => {
    for (let round = 0; round < 8; round += 1) {
      world.step();
      for (const node of replying) {
        world.flush(node, 100);
        world.reply(node, false);
      }
    }
  };
  settle(['b', 'c', 'd']);
  expect(world.sync).toMatchObject({ k: 1, next: null });
  world.wish = { method: 'any', k: 2, names: ['c', 'd'] };
  settle(['c', 'd']);
  world.commit();
  world.flush('c', 100);
  world.reply('c', false);
  // Its standby has nothing new: it has not read the file, and finds one answer enough.
  world.reply('b', false);
  expect(world.acknowledged.size).toBe(1);
  expect(world.sync.next).toEqual(world.wish);
  expect(world.lostBySafeElection(['d'])).toEqual([]);
  world.reply('b', true);
  settle(['b', 'c', 'd']);
  expect(world.sync).toEqual({ ...world.wish, mode: 'on', next: null });
});

test('once nothing is interrupted any more, each change comes to its end and all who stream are waited for', () => {
  fc.assert(
    fc.property(specs, draws, (spec, events) => {
      const world = new SynchronousWorld(nodes, spec);
      for (const draw of events) happen(world, draw);
      world.wish = null;
      for (let round = 0; round < 60; round += 1) {
        world.nowMs += 500;
        world.step();
        for (const node of world.standbys()) {
          world.attach(node);
          world.flush(node, 1_000);
          world.reply(node, false);
        }
      }
      expect(world.isSettled()).toBe(true);
      expect(world.sync).toMatchObject({ mode: spec.mode, k: spec.k });
      expect([...world.sync.names].sort()).toEqual([...world.standbys()].sort());
    }),
    { numRuns: 300, seed },
  );
});
