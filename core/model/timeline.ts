// Decides how two positions relate when the cluster has changed timelines: whether one lies on the other's path or both
// diverged. Upholds that a node never follows a diverged history. PostgreSQL's own rule is kept (pg_rewind's
// findCommonAncestorTimeline): histories share what begins at the same place on the same timeline.
//
// Two branches of one timeline number have the same history text. Nothing here can tell them apart: nodes are compared by
// epoch first, and only within one epoch's recorded history by timeline.

import { compareLsn, type Lsn, ZERO_LSN } from './lsn.ts';

/** One line of a history file: `timeline` was left at `switchLsn`. */
export interface HistoryEntry {
  readonly timeline: number;
  readonly switchLsn: Lsn;
  readonly reason: string;
}

/** A timeline and the ancestors it branched from, oldest first. Timeline 1 has none. */
export interface TimelineHistory {
  readonly timeline: number;
  readonly ancestors: readonly HistoryEntry[];
}

/** Where on which timeline a node is. */
export interface TimelinePosition {
  readonly timeline: number;
  readonly lsn: Lsn;
}

/** A node's history with the end of what it has on its last timeline. */
export interface HistoryPosition {
  readonly history: TimelineHistory;
  readonly lsn: Lsn;
}

export type HistoryRelation = 'same' | 'ancestor' | 'descendant' | 'diverged';

interface Stretch {
  readonly timeline: number;
  readonly begin: Lsn;
  /** Null: the current timeline, which has no end yet. */
  readonly end: Lsn | null;
}

/** The history of a cluster that has never been promoted. */
export const FIRST_TIMELINE: TimelineHistory = { timeline: 1, ancestors: [] };

function stretches(history: TimelineHistory): Stretch[] {
  const result: Stretch[] = [];
  let begin = ZERO_LSN;
  for (const { timeline, switchLsn } of history.ancestors) {
    result.push({ timeline, begin, end: switchLsn });
    begin = switchLsn;
  }
  result.push({ timeline: history.timeline, begin, end: null });
  return result;
}

/** Where `history` left `timeline`: the last position of that timeline which is still on its path; null if it never left it. */
export function forkPoint(history: TimelineHistory, timeline: number): Lsn | null {
  return history.ancestors.find((entry) => entry.timeline === timeline)?.switchLsn ?? null;
}

/**
 * Whether a position is on the path of a history: on its own timeline, or on an ancestor's at or before the place where
 * the history left it. Only numbers are compared; see `relation` when the position's own history is known.
 */
export function isAncestor(position: TimelinePosition, history: TimelineHistory): boolean {
  if (position.timeline === history.timeline) return true;
  const left = forkPoint(history, position.timeline);
  return left !== null && compareLsn(position.lsn, left) <= 0;
}

/** The last timeline two histories share, and where they part on it; `lsn` null: neither has left it. Null: nothing shared. */
export function commonAncestor(
  a: TimelineHistory,
  b: TimelineHistory,
): { readonly timeline: number; readonly lsn: Lsn | null } | null {
  const left = stretches(a);
  const right = stretches(b);
  let common: { timeline: number; lsn: Lsn | null } | null = null;
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const one = left[index];
    const other = right[index];
    if (one === undefined || other === undefined) break;
    if (one.timeline !== other.timeline || one.begin !== other.begin) break;
    common = { timeline: one.timeline, lsn: earlierEnd(one.end, other.end) };
  }
  return common;
}

function earlierEnd(a: Lsn | null, b: Lsn | null): Lsn | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}

/**
 * How `a` relates to `b`: `ancestor` when all that `a` has is on `b`'s path and `b` has more (a can follow b), `descendant`
 * the other way round, `same` at the same place of the same timeline, else `diverged` (each has WAL that the other lacks).
 */
export function relation(a: HistoryPosition, b: HistoryPosition): HistoryRelation {
  const common = commonAncestor(a.history, b.history);
  if (common === null) return 'diverged';
  const aOnPath = common.lsn === null || a.lsn <= common.lsn;
  const bOnPath = common.lsn === null || b.lsn <= common.lsn;
  if (aOnPath && bOnPath) return orderOnOnePath(a, b);
  if (aOnPath) return 'ancestor';
  return bOnPath ? 'descendant' : 'diverged';
}

/**
 * Neither has passed the fork, so the log alone orders them; at the same position the history that has gone through more
 * promotions is the later one.
 */
function orderOnOnePath(a: HistoryPosition, b: HistoryPosition): HistoryRelation {
  const order = compareLsn(a.lsn, b.lsn) || a.history.ancestors.length - b.history.ancestors.length;
  if (order !== 0) return order < 0 ? 'ancestor' : 'descendant';
  return a.history.timeline === b.history.timeline ? 'same' : 'diverged';
}
