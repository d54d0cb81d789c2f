// Reads a data directory's control file and its history files from disk, with the server running or not. A read can catch
// the server in the middle of a write: a CRC mismatch is read again, a few times.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FIRST_TIMELINE, type TimelineHistory } from '../../core/model/timeline.ts';
import { historyFileName, parseTimelineHistory } from '../../core/wire/parse-history.ts';
import { type ControlData, parsePgControl } from '../../core/wire/parse-pg-control.ts';
import { sleepMs } from '../clock.ts';
import { isMissing, readTextFile } from './files.ts';

const ATTEMPTS = 5;
const BETWEEN_ATTEMPTS_MS = 1;

export type ControlReading =
  | ControlData
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid-input'; readonly reason: string };

/** The control file of `dataDir`; `absent` when there is none. I/O errors throw. */
export async function readControlFile(dataDir: string): Promise<ControlReading> {
  let reading: ControlReading = { kind: 'absent' };
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt > 0) await sleepMs(BETWEEN_ATTEMPTS_MS);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(join(dataDir, 'global', 'pg_control'));
    } catch (error) {
      if (isMissing(error)) return { kind: 'absent' };
      throw error;
    }
    reading = parsePgControl(bytes);
    if (reading.kind === 'control-data') return reading;
  }
  return reading;
}

/**
 * The timeline that crash recovery of this directory would end on. The checkpoint's is too low between a promotion and the
 * checkpoint that follows it; then minRecoveryPointTLI holds the new one (as the server's own StartupXLOG reads it).
 */
export function recoveryTimeline(control: ControlData): number {
  return Math.max(control.checkpointTimeline, control.minRecoveryTimeline);
}

export type HistoryReading =
  | { readonly kind: 'history'; readonly history: TimelineHistory }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid-input'; readonly reason: string };

/** A timeline's history from pg_wal. Timeline 1 has no file and no ancestors. */
export async function readHistoryFile(dataDir: string, timeline: number): Promise<HistoryReading> {
  if (timeline === 1) return { kind: 'history', history: FIRST_TIMELINE };
  const text = await readTextFile(join(dataDir, 'pg_wal', historyFileName(timeline)));
  return text === null ? { kind: 'absent' } : parseTimelineHistory(timeline, text);
}
