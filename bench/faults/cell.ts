/**
 * One cell of the fault table: a fault on a whole cluster, in a given state of a switchover or while there is none, and what
 * clients, probes and the cluster's own history show of it. Leaves a whole cluster behind, or says what is missing.
 */
import { sleepMs } from '../../adapters/clock.ts';
import type { EventKind } from '../../core/model/cluster-event.ts';
import { doubleFaults } from '../../local/faults/all-faults.ts';
import { type Fault, NothingToStrike } from '../../local/faults/fault.ts';
import type { EpisodeSurroundings } from '../chaos/episode.ts';
import { hostOfRole, wakesWithinMs, wholeAgain } from '../chaos/episode.ts';
import type { AcceptedWrite, Violation } from '../history/history.ts';
import type { SeenEvent } from '../history/lease-watch.ts';
import type { CellState, PlannedCell } from './plan-cells.ts';

export interface CellResult {
  readonly fault: string;
  readonly state: CellState;
  /** `missed`: the operation went through that state too fast to be struck in it, or what is struck had ended by then, three times. */
  readonly outcome: 'measured' | 'missed' | 'not-whole-again';
  /** The longest time without any acknowledged write, from the ask or the strike on. */
  readonly gapMs: number;
  readonly errors: number;
  readonly lost: number;
  /** From the undo to a whole cluster. */
  readonly wholeAfterMs: number | null;
  /** From the strike to the last write that the old primary accepted; null when no other node took over. */
  readonly oldPrimaryUntilMs: number | null;
  /** From the strike to the first write that a new primary accepted. */
  readonly newPrimaryAfterMs: number | null;
  /** What came of the operation, and who took over. */
  readonly story: string;
  readonly events: readonly SeenEvent[];
  readonly violations: readonly Violation[];
}

const attempts = 3;
const restMs = 700;
/** The looks at the record while its state is awaited: some states last for 20 ms. */
const lookMs = 1;
const stateTimeoutMs = 15_000;
const settleMs = 300;

export async function runCell(
  planned: PlannedCell,
  holdMs: number,
  surroundings: EpisodeSurroundings,
): Promise<CellResult> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await tryCell(planned, holdMs, surroundings);
    if (result.outcome !== 'missed' || attempt === attempts) return result;
  }
}

async function tryCell(
  { fault, state }: PlannedCell,
  holdMs: number,
  surroundings: EpisodeSurroundings,
): Promise<CellResult> {
  const { cluster, observation, operator, signal } = surroundings;
  const story: string[] = [];
  const tell = (line: string) => story.push(line);
  await cluster.untilWhole(surroundings.wholeTimeoutMs, signal);
  await sleepMs(restMs);
  // Within an operation the primary is the old one, and the standby its target.
  const oldPrimary = await cluster.primary();
  const host = await hostOfRole(cluster, fault.strikes, 0);
  if (host === null) throw new Error(`there is no ${fault.strikes}`);
  observation.mark();
  if (state !== 'none') {
    const target = await cluster.standby();
    await operator.ask('switchover', 'fault table', target);
    const seen = await untilState(surroundings, state);
    if (!seen) {
      await wholeAgain(surroundings, tell);
      await observation.judge();
      return missed(fault, state);
    }
  }
  const struckMs = performance.now();
  const woken = await strike(fault, host, holdMs, surroundings).catch((error: unknown) => {
    if (state !== 'none' && error instanceof NothingToStrike) return error;
    throw error;
  });
  if (woken instanceof NothingToStrike) {
    await wholeAgain(surroundings, tell);
    await observation.judge();
    return missed(fault, state);
  }
  const undoneMs = performance.now();
  const missing = await wholeAgain(surroundings, tell);
  const wholeAfterMs = Math.round(performance.now() - undoneMs);
  if (missing !== null) return notWhole(fault, state, missing);
  await sleepMs(settleMs);
  const accepted = observation.accepted();
  const judgement = await observation.judge({
    excuses: woken === null ? [] : [{ node: host, fromMs: woken, toMs: woken + wakesWithinMs }],
    double: doubleFaults.includes(fault),
  });
  const { gapMs, failed, unknown, lost, violations, events } = judgement;
  return {
    fault: fault.id,
    state,
    outcome: 'measured',
    gapMs,
    errors: failed + unknown,
    lost,
    wholeAfterMs,
    ...takeOver(accepted, oldPrimary, struckMs, woken),
    story: [...story, ...outcomes(events)].join('; '),
    events,
    violations,
  };
}

/** Applies, holds and undoes. Returns when a host that stood still woke, or null. */
async function strike(
  fault: Fault,
  host: string,
  holdMs: number,
  { cluster, signal }: EpisodeSurroundings,
): Promise<number | null> {
  const undo = await fault.apply(cluster, host);
  let wokenMs = performance.now();
  try {
    const untilMs = performance.now() + holdMs;
    while (performance.now() < untilMs && !signal.aborted) await sleepMs(50);
  } finally {
    wokenMs = performance.now();
    await undo();
  }
  return fault.freezesHost === true ? wokenMs : null;
}

/** False when the operation came to rest without having been seen in that state. */
async function untilState({ cluster }: EpisodeSurroundings, wanted: CellState): Promise<boolean> {
  const untilMs = performance.now() + stateTimeoutMs;
  let begun = false;
  while (performance.now() < untilMs) {
    const head = await cluster.store().readHead();
    const state = head.kind === 'ok' ? head.value.record?.failoverState : undefined;
    if (state === wanted) return true;
    begun ||= state !== undefined && state !== 'stable';
    if (begun && state === 'stable') return false;
    await sleepMs(lookMs);
  }
  return false;
}

/** What the accepted writes show of the change of primary. What a woken host accepted late is not its tenure's end. */
function takeOver(
  accepted: readonly AcceptedWrite[],
  oldPrimary: string,
  struckMs: number,
  wokenMs: number | null,
): Pick<CellResult, 'oldPrimaryUntilMs' | 'newPrimaryAfterMs'> {
  const others = accepted.filter(({ node }) => node !== oldPrimary);
  if (others.length === 0) return { oldPrimaryUntilMs: null, newPrimaryAfterMs: null };
  const firstOther = Math.min(...others.map(({ answeredMs }) => answeredMs));
  const own = accepted.filter(
    ({ node, sentMs, answeredMs }) =>
      node === oldPrimary && sentMs < firstOther && (wokenMs === null || answeredMs < wokenMs),
  );
  const lastOwn = own.reduce((last, { answeredMs }) => Math.max(last, answeredMs), Number.NEGATIVE_INFINITY);
  return {
    oldPrimaryUntilMs: Number.isFinite(lastOwn) ? Math.max(0, Math.round(lastOwn - struckMs)) : null,
    newPrimaryAfterMs: Math.max(0, Math.round(firstOther - struckMs)),
  };
}

const telling: ReadonlySet<string> = new Set<EventKind>([
  'operation_succeeded',
  'operation_aborted',
  'operation_failed',
  'lease_sealed',
  'lease_acquired',
  'host_fenced',
  'postgres_fenced',
  'postgres_restarted_in_place',
  'node_rewound',
  'node_rebuilt',
  'wal_discarded',
  'sentinel_acted',
]);

/** The events that say what came of it, each once, in order. */
function outcomes(events: readonly SeenEvent[]): string[] {
  const told = events.filter(({ kind }) => telling.has(kind)).map(({ who, kind }) => `${who} ${kind}`);
  return [...new Set(told)];
}

const nothing = {
  events: [],
  gapMs: 0,
  errors: 0,
  lost: 0,
  wholeAfterMs: null,
  oldPrimaryUntilMs: null,
  newPrimaryAfterMs: null,
};

function missed(fault: Fault, state: CellState): CellResult {
  return { ...nothing, fault: fault.id, state, outcome: 'missed', story: '', violations: [] };
}

function notWhole(fault: Fault, state: CellState, missing: string): CellResult {
  const violations = [{ rule: 'not-whole-again' as const, message: missing }];
  return { ...nothing, fault: fault.id, state, outcome: 'not-whole-again', story: missing, violations };
}
