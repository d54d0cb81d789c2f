/**
 * Which branch of the log a node's data belongs to, by the epochs in the cluster's record. Upholds that nodes compare
 * epochs, never timeline numbers alone: a promotion that was never recorded may have used the number that the next one
 * used again, and both branches then have the same history text.
 */
import type { EpochRecord } from '../model/cluster-record.ts';
import { compareLsn, type Lsn } from '../model/lsn.ts';
import { commonAncestor, type TimelineHistory } from '../model/timeline.ts';

/** Data written in `epoch`, on `timeline`. */
export interface Branch {
  readonly epoch: number;
  readonly timeline: number;
}

/** The part of the cluster's record that tells what each epoch was. */
export type Epochs = { readonly epochs: readonly EpochRecord[] };

/** The history of the timeline on which an epoch's primary wrote. */
export function historyOf(epoch: EpochRecord): TimelineHistory {
  return { timeline: epoch.timeline, ancestors: epoch.history };
}

/** The newest recorded epoch that is not above `epoch`; null when none is known. */
export function latestRecorded(record: Epochs, epoch: number): EpochRecord | null {
  return record.epochs.findLast((known) => known.epoch <= epoch) ?? null;
}

/**
 * The history of `branch` as the record knows it, or null. An epoch that was never recorded is looked up under the one before
 * it: a promotion takes a timeline above every recorded one, so any number known by then is not of its making.
 */
export function recordedHistory(record: Epochs, branch: Branch): TimelineHistory | null {
  const own = latestRecorded(record, branch.epoch);
  if (own === null) return null;
  if (own.timeline === branch.timeline) return historyOf(own);
  const index = own.history.findIndex((entry) => entry.timeline === branch.timeline);
  return index < 0 ? null : { timeline: branch.timeline, ancestors: own.history.slice(0, index) };
}

/** True when `timeline` is the history's own or one of its ancestors, by number. */
export function hasTimeline(history: TimelineHistory, timeline: number): boolean {
  return history.timeline === timeline || history.ancestors.some((entry) => entry.timeline === timeline);
}

/**
 * True when the number `branch.timeline` means the same stretch of log to the branch's epoch and to `current`: it was known
 * by that epoch, and no epoch since then has begun a timeline of that number.
 */
export function isSameBranch(record: Epochs, branch: Branch, current: EpochRecord): boolean {
  if (branch.epoch === current.epoch) return true;
  if (recordedHistory(record, branch) === null) return false;
  return !record.epochs.some(
    (known) =>
      known.epoch > branch.epoch &&
      known.epoch <= current.epoch &&
      known.timeline === branch.timeline &&
      known.forkLsn !== null,
  );
}

/**
 * The first number that data of `epoch` and `current` both have in their histories but not for the same stretch of log;
 * null when the histories may be compared by their numbers, as pg_rewind does.
 */
export function reusedTimeline(
  record: Epochs,
  epoch: number,
  own: TimelineHistory,
  current: EpochRecord,
): number | null {
  const numbers = [...own.ancestors.map(({ timeline }) => timeline), own.timeline];
  const reused = numbers.find(
    (timeline) =>
      hasTimeline(historyOf(current), timeline) && !isSameBranch(record, { epoch, timeline }, current),
  );
  return reused ?? null;
}

export type Place = 'on-path' | 'past-fork' | 'unrelated';

/** Where a log that ends at `lsn` on `own` stands to `current`; `fork` is where they part, null when they do not. */
export function placeOf(
  own: TimelineHistory,
  lsn: Lsn,
  current: TimelineHistory,
): { readonly place: Place; readonly fork: Lsn | null } {
  const common = commonAncestor(own, current);
  if (common === null) return { place: 'unrelated', fork: null };
  const onPath = common.lsn === null || compareLsn(lsn, common.lsn) <= 0;
  return { place: onPath ? 'on-path' : 'past-fork', fork: common.lsn };
}
