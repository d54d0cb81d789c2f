// The log of a stopped server: where it really ends, and saving the part of it that is about to be discarded. "Where it ends"
// is what crash recovery would find, read with pg_waldump and without changing a byte.

import { constants } from 'node:fs';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  compareLsn,
  formatLsn,
  type Lsn,
  lsnOf,
  maxLsn,
  parseLsn,
  walFileName,
} from '../../core/model/lsn.ts';
import { readControlFile, readHistoryFile, recoveryTimeline } from './control-file.ts';
import { pathExists, syncFolder } from './files.ts';
import { describeResult, type PostgresHost, runPostgresProgram } from './host.ts';

export type WalEnd =
  /** `endLsn`: just after the last valid record, as a promotion there would record its fork. */
  | { readonly kind: 'wal-end'; readonly timeline: number; readonly lastRecordLsn: Lsn; readonly endLsn: Lsn }
  | { readonly kind: 'unknown'; readonly reason: string };

const WALDUMP_TIMEOUT_MS = 120_000;

/**
 * Where the log of a stopped server ends, from the last checkpoint on. `timeline`: the one to follow, by default that on which
 * crash recovery would end.
 */
export async function walEnd(host: PostgresHost, timeline?: number): Promise<WalEnd> {
  const control = await readControlFile(host.dataDir);
  if (control.kind !== 'control-data') return { kind: 'unknown', reason: `control file: ${control.kind}` };
  const onTimeline = timeline ?? recoveryTimeline(control);
  const start = await firstPosition(host, control.checkpointLsn, control.checkpointTimeline, onTimeline);
  if (start === null) return { kind: 'unknown', reason: `no history of timeline ${onTimeline}` };

  const lastRecordLsn = await findLastRecord(host, onTimeline, start);
  if (typeof lastRecordLsn === 'string') return { kind: 'unknown', reason: lastRecordLsn };
  const record = await waldump(host, onTimeline, lastRecordLsn, ['--limit=1']);
  const lengths = /len \(rec\/tot\):\s*\d+\/\s*(\d+), .*lsn: ([0-9A-F]+\/[0-9A-F]+), .*? desc: (\S+)/.exec(
    record,
  );
  const rmgr = /^rmgr: (\S+)/m.exec(record)?.[1];
  if (lengths === null || parseLsn(lengths[2] ?? '') !== lastRecordLsn) {
    return { kind: 'unknown', reason: `pg_waldump: ${record}` };
  }
  const isSwitch = rmgr === 'XLOG' && lengths[3] === 'SWITCH';
  const endLsn = isSwitch
    ? nextMultiple(lastRecordLsn, control.walSegmentBytes)
    : recordEnd(lastRecordLsn, Number(lengths[1]), control.walSegmentBytes);
  return { kind: 'wal-end', timeline: onTimeline, lastRecordLsn, endLsn };
}

/**
 * The last record that can be read, or why there is none. pg_waldump names it in the error with which every log ends, but not
 * when the log ends with its last file: then it is the last one printed.
 */
async function findLastRecord(host: PostgresHost, timeline: number, start: Lsn): Promise<Lsn | string> {
  const quiet = await waldump(host, timeline, start, ['--quiet']);
  const named = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+)/.exec(quiet)?.[1];
  const text =
    named ??
    [...(await waldump(host, timeline, start, [])).matchAll(/, lsn: ([0-9A-F]+\/[0-9A-F]+), /g)].at(-1)?.[1];
  const lsn = text === undefined ? null : parseLsn(text);
  return lsn === null || lsn === 0n ? `pg_waldump: ${quiet}` : lsn;
}

/** A timeline's files begin with the segment in which it branched: from a checkpoint before that, start at the fork. */
async function firstPosition(
  host: PostgresHost,
  checkpoint: Lsn,
  from: number,
  to: number,
): Promise<Lsn | null> {
  if (from === to) return checkpoint;
  const reading = await readHistoryFile(host.dataDir, to);
  if (reading.kind !== 'history') return null;
  return maxLsn(checkpoint, reading.history.ancestors.at(-1)?.switchLsn ?? checkpoint);
}

async function waldump(
  host: PostgresHost,
  timeline: number,
  start: Lsn,
  extra: readonly string[],
): Promise<string> {
  const args = [
    `--path=${join(host.dataDir, 'pg_wal')}`,
    `--timeline=${timeline}`,
    `--start=${formatLsn(start)}`,
    ...extra,
  ];
  const result = await runPostgresProgram(host, 'pg_waldump', args, { timeoutMs: WALDUMP_TIMEOUT_MS });
  // The end of the log is always an "error" of pg_waldump.
  return result.kind === 'exited' ? `${result.stdout}${result.stderrTail}` : describeResult(result);
}

const PAGE_BYTES = 8_192n;
const PAGE_HEADER_BYTES = 24n;
const SEGMENT_HEADER_BYTES = 40n;
const ALIGNMENT = 8n;

/**
 * Where a record that begins at `start` ends: its bytes, the page headers between them, and the padding behind it.
 * `totalBytes` is the length that its own header states.
 */
export function recordEnd(start: Lsn, totalBytes: number, segmentBytes: number): Lsn {
  let position: bigint = start;
  let left = BigInt(totalBytes);
  for (;;) {
    const room = PAGE_BYTES - (position % PAGE_BYTES);
    if (left <= room) return lsnOf(alignUp(position + left));
    left -= room;
    position += room;
    position += position % BigInt(segmentBytes) === 0n ? SEGMENT_HEADER_BYTES : PAGE_HEADER_BYTES;
  }
}

function alignUp(position: bigint): bigint {
  return ((position + ALIGNMENT - 1n) / ALIGNMENT) * ALIGNMENT;
}

function nextMultiple(lsn: Lsn, bytes: number): Lsn {
  return lsnOf((lsn / BigInt(bytes) + 1n) * BigInt(bytes));
}

export type KeptWal =
  | {
      readonly kind: 'kept';
      readonly timeline: number;
      readonly fromLsn: Lsn;
      readonly toLsn: Lsn | null;
      readonly files: readonly string[];
      /** Segments of the range that are not in pg_wal any more. */
      readonly missing: readonly string[];
    }
  | { readonly kind: 'nothing-to-keep' };

/** More than a rewind could ever need; a larger range is a mistake in its ends. */
const MOST_SEGMENTS = 65_536;

/**
 * Copies the segments that hold the log from one position to another (`toLsn` null: to whatever is there), with all history files, out of the data directory:
 * what a rewind or rebuild discards must stay readable with pg_waldump.
 */
export async function keepDiscardedWal(
  host: PostgresHost,
  range: {
    readonly timeline: number;
    readonly fromLsn: Lsn;
    readonly toLsn: Lsn | null;
    readonly into: string;
  },
): Promise<KeptWal> {
  const { timeline, fromLsn, toLsn, into } = range;
  if (toLsn !== null && compareLsn(fromLsn, toLsn) >= 0) return { kind: 'nothing-to-keep' };
  const control = await readControlFile(host.dataDir);
  if (control.kind !== 'control-data') throw new Error(`control file: ${control.kind}`);
  await mkdir(into, { recursive: true, mode: 0o700 });
  const folder = join(host.dataDir, 'pg_wal');
  const wanted =
    toLsn === null
      ? await segmentsFrom(folder, walFileName(timeline, fromLsn, control.walSegmentBytes))
      : segmentNames(timeline, fromLsn, toLsn, control.walSegmentBytes);
  const files: string[] = [];
  const missing: string[] = [];
  for (const name of wanted) {
    const found = (await pathExists(join(folder, name))) ? name : `${name}.partial`;
    if (await pathExists(join(folder, found))) files.push(found);
    else missing.push(name);
  }
  const histories = (await readdir(folder)).filter((name) => name.endsWith('.history'));
  for (const name of [...files, ...histories]) {
    await copyFile(join(folder, name), join(into, name), constants.COPYFILE_FICLONE);
  }
  await syncFolder(into);
  return { kind: 'kept', timeline, fromLsn, toLsn, files, missing };
}

/** All that is there of that timeline, from one segment on: names sort as positions do. */
async function segmentsFrom(folder: string, first: string): Promise<string[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => /^[0-9A-F]{24}$/.test(name) && name.slice(0, 8) === first.slice(0, 8) && name >= first)
    .toSorted();
}

function segmentNames(timeline: number, fromLsn: Lsn, toLsn: Lsn, segmentBytes: number): string[] {
  const names: string[] = [];
  for (let lsn = fromLsn; lsn < toLsn; lsn = nextMultiple(lsn, segmentBytes)) {
    if (names.push(walFileName(timeline, lsn, segmentBytes)) > MOST_SEGMENTS) {
      throw new Error(
        `more than ${MOST_SEGMENTS} segments from ${formatLsn(fromLsn)} to ${formatLsn(toLsn)}`,
      );
    }
  }
  return names;
}
