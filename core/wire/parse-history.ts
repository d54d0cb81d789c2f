// Parses a timeline history file ('00000003.history'), as the server itself reads it: comments and empty lines skipped,
// timelines strictly rising, switch points never falling. A file that breaks these rules is refused whole, because a wrong
// history would let a diverged node follow.

import { parseLsn, ZERO_LSN } from '../model/lsn.ts';
import type { HistoryEntry, TimelineHistory } from '../model/timeline.ts';

/** More promotions than a cluster sees in its life; a longer file is not a history file. */
const MAX_ENTRIES = 100_000;
const LINE = /^\s*([0-9]{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s+(.*?))?\s*$/;

export type ParsedHistory =
  | { readonly kind: 'history'; readonly entries: readonly HistoryEntry[] }
  | { readonly kind: 'invalid-input'; readonly reason: string };

/** The entries of a history file's text, oldest first; `reason` names the line when it is refused. */
export function parseHistory(text: string): ParsedHistory {
  const entries: HistoryEntry[] = [];
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const entry = parseLine(line);
    if (entry === null) return refuse(index, 'expected "<timeline> <lsn> <reason>"');
    const previous = entries.at(-1);
    if (entry.timeline <= (previous?.timeline ?? 0)) return refuse(index, 'timelines must rise');
    if (entry.switchLsn < (previous?.switchLsn ?? ZERO_LSN))
      return refuse(index, 'switch points must not fall');
    if (entries.push(entry) > MAX_ENTRIES) return refuse(index, `more than ${MAX_ENTRIES} entries`);
  }
  return { kind: 'history', entries };
}

/** The history of `timeline` from its file's text: its ancestors must all be lower than itself. */
export function parseTimelineHistory(
  timeline: number,
  text: string,
):
  | { readonly kind: 'history'; readonly history: TimelineHistory }
  | (ParsedHistory & { kind: 'invalid-input' }) {
  const parsed = parseHistory(text);
  if (parsed.kind === 'invalid-input') return parsed;
  const last = parsed.entries.at(-1);
  if (last !== undefined && last.timeline >= timeline) {
    return {
      kind: 'invalid-input',
      reason: `timeline ${timeline} cannot branch from timeline ${last.timeline}`,
    };
  }
  return { kind: 'history', history: { timeline, ancestors: parsed.entries } };
}

/** The file that holds the history of a timeline; timeline 1 has none. */
export function historyFileName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

function parseLine(line: string): HistoryEntry | null {
  const match = LINE.exec(line);
  if (match === null) return null;
  const timeline = Number(match[1]);
  const switchLsn = parseLsn(match[2] ?? '');
  if (switchLsn === null || timeline > 0xffff_ffff) return null;
  return { timeline, switchLsn, reason: match[3] ?? '' };
}

function refuse(index: number, reason: string): ParsedHistory & { kind: 'invalid-input' } {
  return { kind: 'invalid-input', reason: `line ${index + 1}: ${reason}` };
}
