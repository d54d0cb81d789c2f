/**
 * Rejoining, against a model that knows what really happened: each promotion is a branch with an identity of its own,
 * whatever timeline number it took and whether it was recorded. Whatever the table decides must be true of those.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DataDirectory, decideRejoin } from '../../core/failover/rejoin.ts';
import type { EpochRecord } from '../../core/model/cluster-record.ts';
import { type Lsn, lsnOf } from '../../core/model/lsn.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';
import { commonAncestor, type HistoryEntry, type TimelineHistory } from '../../core/model/timeline.ts';

/** A stretch of log: which promotion wrote it, under which number, up to where. */
interface Stretch {
  readonly branch: number;
  readonly timeline: number;
  readonly end: bigint;
}
type Log = readonly Stretch[];

interface Member {
  readonly log: Log;
  readonly epoch: number;
  readonly wasPrimary: boolean;
}

interface Move {
  readonly promoted: number;
  /** Records. */
  readonly wrote: bigint;
  readonly recorded: boolean;
  /** How much of what the primary wrote each member receives, in percent; null: it is away. */
  readonly receive: readonly (number | null)[];
}

const system = systemIdentifierOf(7n);
const size = 3;
const endOf = (log: Log): bigint => log.at(-1)?.end ?? 0n;

/** The log up to `lsn`. */
function cut(log: Log, lsn: bigint): Log {
  const kept: Stretch[] = [];
  for (const stretch of log) {
    const begin = endOf(kept);
    if (begin >= lsn && kept.length > 0) break;
    kept.push({ ...stretch, end: stretch.end < lsn ? stretch.end : lsn });
  }
  return kept;
}

/** Where two logs really part: the last position that both have, written by the same promotion. */
function shared(a: Log, b: Log): bigint {
  let at = 0n;
  for (const [index, one] of a.entries()) {
    const other = b[index];
    if (other === undefined || other.branch !== one.branch) break;
    at = one.end < other.end ? one.end : other.end;
    if (one.end !== other.end) break;
  }
  return at;
}

const isPrefix = (a: Log, b: Log): boolean => shared(a, b) === endOf(a);

function historyOf(log: Log): TimelineHistory {
  const ancestors: HistoryEntry[] = log
    .slice(0, -1)
    .map(({ timeline, end }) => ({ timeline, switchLsn: lsnOf(end), reason: '' }));
  return { timeline: log.at(-1)?.timeline ?? 1, ancestors };
}

interface World {
  readonly members: readonly Member[];
  readonly epochs: readonly EpochRecord[];
  readonly primary: number;
  readonly branches: number;
  readonly epoch: number;
  /** The log of the last epoch that was recorded. */
  readonly recorded: Log;
}

const start: World = {
  members: Array.from({ length: size }, (_, index) => ({
    log: [{ branch: 0, timeline: 1, end: 1000n }],
    epoch: 1,
    wasPrimary: index === 0,
  })),
  epochs: [{ epoch: 1, node: 'n0', timeline: 1, forkLsn: null, history: [] }],
  primary: 0,
  branches: 1,
  epoch: 1,
  recorded: [{ branch: 0, timeline: 1, end: 1000n }],
};

/** One promotion, what is written after it, and who receives it. */
function play(world: World, move: Move): World {
  const epoch = world.epoch + 1;
  // Only who is on the recorded path is chosen, or, as the last resort, who was primary last.
  const eligible = [...world.members.keys()].filter(
    (index) => index === world.primary || isPrefix(world.members[index]?.log ?? [], world.recorded),
  );
  const chosen = eligible[move.promoted % eligible.length];
  const promoted = world.members[chosen ?? -1];
  if (promoted === undefined || chosen === undefined) throw new Error('nobody is eligible');
  const highest = Math.max(
    ...world.epochs.map(({ timeline }) => timeline),
    promoted.log.at(-1)?.timeline ?? 0,
  );
  const fork = endOf(promoted.log);
  const log = [
    ...promoted.log,
    { branch: world.branches, timeline: highest + 1, end: fork + 8n + move.wrote * 8n },
  ];
  const history = historyOf(log);
  const record: EpochRecord = {
    epoch,
    node: `n${chosen}`,
    timeline: history.timeline,
    forkLsn: lsnOf(fork),
    history: history.ancestors,
  };
  const members = world.members.map((member, index): Member => {
    if (index === chosen) return { log, epoch, wasPrimary: true };
    const share = move.receive[index] ?? null;
    if (share === null) return member;
    // A member that diverged is copied anew; one that did not streams on from where it is.
    const from = isPrefix(member.log, log) ? endOf(member.log) : 0n;
    // Every record has 8 bytes, and a log ends after a whole one.
    const to = from + ((((endOf(log) - from) * BigInt(share)) / 100n) & ~7n);
    return to === 0n ? member : { log: cut(log, to), epoch, wasPrimary: false };
  });
  return {
    members,
    epochs: move.recorded ? [...world.epochs, record] : world.epochs,
    primary: chosen,
    branches: world.branches + 1,
    epoch,
    recorded: move.recorded ? log : world.recorded,
  };
}

const move: fc.Arbitrary<Move> = fc.record({
  promoted: fc.nat(size - 1),
  wrote: fc.bigInt({ min: 0n, max: 50n }),
  recorded: fc.boolean(),
  receive: fc.array(fc.option(fc.nat(100)), { minLength: size, maxLength: size }),
});

const scenario = fc.record({
  moves: fc.array(move, { minLength: 1, maxLength: 6 }),
  clean: fc.boolean(),
  endKnown: fc.boolean(),
});

/** What the stopped member's disk says. A clean primary's last record is its shutdown checkpoint. */
function dataOf(member: Member, clean: boolean, endKnown: boolean): DataDirectory {
  const end = endOf(member.log);
  const primaryState = clean ? 'shut-down' : 'in-production';
  const known: Lsn = lsnOf(end);
  return {
    systemIdentifier: system,
    state: member.wasPrimary ? primaryState : 'shut-down-in-recovery',
    history: historyOf(member.log),
    checkpointLsn: lsnOf(clean && member.wasPrimary ? end - 8n : 1n),
    walEnd: endKnown ? known : null,
    receivedLsn: null,
    replayedLsn: member.wasPrimary ? null : lsnOf(end / 2n),
    epoch: member.epoch,
    interrupted: null,
    rewindable: true,
    rewindFailed: false,
  };
}

test('what the table decides is true of what really happened', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(scenario, ({ moves, clean, endKnown }) => {
      // The last promotion is recorded: otherwise everybody waits.
      const played = moves.map((one, index) =>
        index === moves.length - 1 ? { ...one, recorded: true } : one,
      );
      const world = played.reduce(play, start);
      const primary = world.members[world.primary];
      if (primary === undefined) throw new Error('no primary');
      const lease = { holder: `n${world.primary}`, epoch: moves.length + 1, state: 'held' as const };
      for (const [index, member] of world.members.entries()) {
        if (index === world.primary) continue;
        const decision = decideRejoin({
          node: `n${index}`,
          data: dataOf(member, clean, endKnown),
          systemIdentifier: system,
          epochs: world.epochs,
          lease,
        });
        seen.add(decision.kind);
        const really = shared(member.log, primary.log);
        if (decision.kind === 'start-as-is') expect(isPrefix(member.log, primary.log)).toBe(true);
        if (decision.kind === 'rewind') {
          expect(isPrefix(member.log, primary.log)).toBe(false);
          // pg_rewind finds the place by the history files alone: it must be the true one.
          expect(commonAncestor(historyOf(member.log), historyOf(primary.log))?.lsn).toBe(really);
        }
        if (decision.kind === 'need-wal-end') expect(endKnown).toBe(false);
        expect(decision.kind).not.toBe('wait');
        // A node that is on the path and known to be is never copied anew while its branch is recorded.
        const own = world.epochs.some(({ epoch }) => epoch === member.epoch);
        if (endKnown && own && isPrefix(member.log, primary.log)) expect(decision.kind).toBe('start-as-is');
      }
    }),
    { numRuns: 3000 },
  );
  expect([...seen].sort()).toEqual(['need-wal-end', 'rebuild', 'rewind', 'start-as-is']);
});
