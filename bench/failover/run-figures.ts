/** What clients saw of one blow, from the history of their writes: the longest gap, errors, latencies, acknowledged writes over time. Pure. */
import type { Append } from '../history/history.ts';

/** On the clock of the appends. */
export interface RunTimes {
  /** Clients have written for a moment by then; what was before is not counted. */
  readonly fromMs: number;
  readonly struckMs: number;
  readonly toMs: number;
}

export interface RunFigures {
  /** The longest time in which no client at all had a write acknowledged, of those that ended after the blow. */
  readonly gapMs: number;
  /** When it began and ended, counted from the blow. */
  readonly gapFromMs: number;
  readonly gapToMs: number;
  /** From the blow on: writes that failed or whose outcome is unknown, and connections that were refused. */
  readonly errors: number;
  /** Before the blow there should be none. */
  readonly errorsBefore: number;
  readonly acknowledged: number;
  /** Of writes that were due before the blow, counted from when they were due. */
  readonly latenciesBeforeMs: readonly number[];
  /** Of writes that were due within `duringMs` from the beginning of the gap, or from the blow where that is later. */
  readonly latenciesDuringMs: readonly number[];
  /** Acknowledged writes over time, from the blow on in both directions. */
  readonly timeline: { readonly startMs: number; readonly binMs: number; readonly counts: readonly number[] };
}

/** The window whose latencies are shown: the same for all systems, however long each is down. */
export const duringMs = 5_000;
const binMs = 50;

export function runFigures(appends: readonly Append[], times: RunTimes): RunFigures {
  const { fromMs, struckMs, toMs } = times;
  const within = appends.filter(({ endedMs }) => endedMs >= fromMs && endedMs <= toMs);
  const acknowledged = within
    .filter(({ outcome }) => outcome === 'acknowledged')
    .sort((left, right) => left.endedMs - right.endedMs);
  const waited = waits(
    appends.filter(({ dueMs, client }) => client !== 0 && dueMs >= fromMs),
    toMs,
  );
  const gap = longestGap(acknowledged, times);
  const duringFromMs = Math.max(struckMs, gap.fromMs);
  const errors = within.filter(({ outcome }) => outcome !== 'acknowledged');
  return {
    gapMs: Math.round(gap.toMs - gap.fromMs),
    gapFromMs: Math.round(gap.fromMs - struckMs),
    gapToMs: Math.round(gap.toMs - struckMs),
    errors: errors.filter(({ endedMs }) => endedMs >= struckMs).length,
    errorsBefore: errors.filter(({ endedMs }) => endedMs < struckMs).length,
    acknowledged: acknowledged.length,
    latenciesBeforeMs: waited.filter(({ dueMs }) => dueMs < struckMs - quietMs).map(({ ms }) => ms),
    latenciesDuringMs: waited
      .filter(({ dueMs }) => dueMs >= duringFromMs && dueMs < duringFromMs + duringMs)
      .map(({ ms }) => ms),
    timeline: timelineOf(acknowledged, times),
  };
}

/** Writes that are due so shortly before the blow may still be under way at it. */
const quietMs = 100;

function longestGap(acknowledged: readonly Append[], { fromMs, struckMs, toMs }: RunTimes) {
  let last = fromMs;
  let longest = { fromMs: struckMs, toMs: struckMs };
  for (const endMs of [...acknowledged.map(({ endedMs }) => endedMs), toMs]) {
    if (endMs >= struckMs && endMs - last > longest.toMs - longest.fromMs)
      longest = { fromMs: last, toMs: endMs };
    last = endMs;
  }
  return longest;
}

/**
 * How long each write took from when it was due. One that was not acknowledged counts until its client's next one that was: so long
 * would somebody have waited who tried again.
 */
function waits(appends: readonly Append[], toMs: number): { dueMs: number; ms: number }[] {
  const byClient = Map.groupBy(appends, ({ client }) => client);
  return [...byClient.values()].flatMap((own) => {
    let nextAckMs = toMs;
    return own
      .toSorted((left, right) => right.sequence - left.sequence)
      .map(({ dueMs, endedMs, outcome }) => {
        if (outcome === 'acknowledged') nextAckMs = endedMs;
        return { dueMs, ms: Math.max(0, nextAckMs - dueMs) };
      });
  });
}

function timelineOf(acknowledged: readonly Append[], { fromMs, struckMs, toMs }: RunTimes) {
  const startMs = Math.ceil((fromMs - struckMs) / binMs) * binMs;
  const bins = Math.max(0, Math.floor((toMs - struckMs - startMs) / binMs));
  const counts = new Array<number>(bins).fill(0);
  for (const { endedMs } of acknowledged) {
    const bin = Math.floor((endedMs - struckMs - startMs) / binMs);
    const count = counts[bin];
    if (count !== undefined) counts[bin] = count + 1;
  }
  return { startMs, binMs, counts };
}
