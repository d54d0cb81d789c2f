// Lifts the number of the timeline that a promotion will create above every recorded one. Two branches with one number have
// the same history text, and pg_rewind then says "no rewind required" to a node of the other branch.
//
// What is possible: a server promotes to one above the last of the *consecutive* history files it finds in pg_wal, counted
// from its own timeline (findNewestTimeLine). It cannot be told a number. So missing numbers are filled with placeholder
// history files: a comment and no ancestor, which makes the server log "new timeline is not a child" and go on, and makes
// standbys that copy the file do the same. They must stay after the promotion, for standbys ask for every file in between.
//
// What is not: a standby that restarts with a placeholder as its last history file dies ("not a child of this server's
// history"). So placeholders at the end are removed before each start; those below a real timeline do no harm.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { historyFileName } from '../../core/wire/parse-history.ts';
import { readControlFile, recoveryTimeline } from './control-file.ts';
import { isMissing, readTextFile, removeFile, writeFileAtomically } from './files.ts';
import type { PostgresHost } from './host.ts';

const PLACEHOLDER = '# Leasehold: this number was used by another branch\n';
/** More than a cluster is promoted while one of its nodes is away. */
const MOST_PLACEHOLDERS = 1_000;

export type TimelineReservation =
  /** The next promotion creates a timeline above the one asked for, `nextTimeline`. */
  | { readonly kind: 'ensured'; readonly nextTimeline: number; readonly placeholders: number }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Makes the next promotion of this standby create a timeline above `recorded`. To be called just before `promote`, with
 * `current` the timeline the server replays (see observe); by default what pg_control says.
 */
export async function ensureTimelineAbove(
  host: PostgresHost,
  recorded: number,
  current?: number,
): Promise<TimelineReservation> {
  const own = current ?? (await controlTimeline(host));
  if (own === null) return { kind: 'refused', reason: 'the control file cannot be read' };
  if (recorded - own > MOST_PLACEHOLDERS) {
    return { kind: 'refused', reason: `timeline ${recorded} is more than ${MOST_PLACEHOLDERS} above ${own}` };
  }
  const present = new Set(await presentHistories(host));
  let placeholders = 0;
  let next = own + 1;
  for (; next <= recorded || present.has(next); next += 1) {
    if (present.has(next)) continue;
    await writeFileAtomically(historyPath(host, next), PLACEHOLDER, { owner: host.runAs });
    placeholders += 1;
  }
  return { kind: 'ensured', nextTimeline: next, placeholders };
}

/** Removes placeholders that no real history file follows. Only while the server is stopped. */
export async function removeTrailingPlaceholders(host: PostgresHost): Promise<number> {
  const timelines = (await presentHistories(host)).sort((a, b) => b - a);
  let removed = 0;
  for (const timeline of timelines) {
    if ((await readTextFile(historyPath(host, timeline))) !== PLACEHOLDER) break;
    await removeFile(historyPath(host, timeline));
    removed += 1;
  }
  return removed;
}

async function controlTimeline(host: PostgresHost): Promise<number | null> {
  const control = await readControlFile(host.dataDir);
  return control.kind === 'control-data' ? recoveryTimeline(control) : null;
}

async function presentHistories(host: PostgresHost): Promise<number[]> {
  try {
    const names = await readdir(join(host.dataDir, 'pg_wal'));
    return names
      .filter((name) => /^[0-9A-F]{8}\.history$/.test(name))
      .map((name) => Number.parseInt(name, 16));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function historyPath(host: PostgresHost, timeline: number): string {
  return join(host.dataDir, 'pg_wal', historyFileName(timeline));
}
