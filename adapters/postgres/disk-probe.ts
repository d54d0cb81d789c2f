// Asks a disk whether it takes a write: some bytes written and synced in the data directory's file system, and in the log's
// where it is another, as the server's user (the blocks that a file system reserves for root are of no use to the server). A
// write to a frozen disk never ends and cannot be killed, and in this process it would hold one of libuv's few threads for
// good: it is made by a program of its own, and given up by its deadline whether the program ends or not.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { DiskCondition } from '../../core/host/host-health.ts';
import { minimalEnvironment, sendSignal } from '../process.ts';
import type { PostgresHost } from './host.ts';

export interface DiskProbeResult {
  readonly condition: Exclude<DiskCondition, 'unknown'>;
  /** What the system said, or how much space is left. */
  readonly detail: string;
  /** The least of the file systems that were asked; null when it was not said. */
  readonly freeBytes: number | null;
  /** Of the same file system. */
  readonly sizeBytes: number | null;
  readonly ms: number;
}

export interface RunningDiskProbe {
  /** By the deadline at the latest. */
  readonly result: Promise<DiskProbeResult>;
  /** When the program has really ended: on a frozen disk long after the result. No second one is started before. */
  readonly ended: Promise<void>;
}

/**
 * pg_stat_tmp is copied by no backup and no rewind, and emptied by the server at its start. The file is new each time: one that
 * is written over needs no space, and would call a full disk well.
 */
const SCRIPT = `
probe() {
  file="$1/leasehold-probe"
  if ! said=$(dd if=/dev/zero of="$file" bs=65536 count=1 conv=fsync status=none 2>&1); then
    rm -f "$file"; printf 'failed %s\\n' "$said"; exit 1
  fi
  rm -f "$file"
  stat -f -c 'free %a %S %b' -- "$1"
}
probe "$1/pg_stat_tmp"
if [ -L "$1/pg_wal" ]; then probe "$1/pg_wal"; fi
`;

/** A result that is there already is not called late because this process was. */
const LATE_MS = 500;
const OUTPUT_BYTES = 4_096;

/** `leastFreeBytes`: with less than this the disk counts as full. */
export function probeDisk(
  host: PostgresHost,
  options: { readonly deadlineMs: number; readonly leastFreeBytes: number },
): RunningDiskProbe {
  const startedMs = performance.now();
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'leasehold-disk-probe', host.dataDir], {
    // Never the data directory: a spawn waits for the change of directory, and with it this process.
    cwd: '/',
    env: minimalEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(host.runAs === null ? {} : { uid: host.runAs.uid, gid: host.runAs.gid }),
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_BYTES);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const done = new Promise<DiskProbeResult>((resolve) => {
    child.once('error', (error) => resolve(failed(`the probe did not start: ${error.message}`, startedMs)));
    child.once('close', () => resolve(readDiskProbe(output, options.leastFreeBytes, since(startedMs))));
  });
  const ended = done.then(() => undefined);
  const result = new Promise<DiskProbeResult>((resolve) => {
    const giveUp = (): void => {
      // Pending until the disk thaws, and harmless until then: it ends inside the kernel.
      if (child.pid !== undefined) sendSignal(-child.pid, 'SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      child.unref();
      const detail = `a write had not ended after ${Math.round(since(startedMs))} ms`;
      resolve({ condition: 'frozen', detail, freeBytes: null, sizeBytes: null, ms: since(startedMs) });
    };
    let timer = setTimeout(() => {
      timer = setTimeout(giveUp, LATE_MS);
    }, options.deadlineMs);
    void done.then((answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
  return { result, ended };
}

/** Reads what the probe printed: one line a file system, or the error that ended it (messages of the C locale). */
export function readDiskProbe(output: string, leastFreeBytes: number, ms: number): DiskProbeResult {
  const said = output.trim();
  const error = conditionOf(said);
  if (error !== null)
    return { condition: error, detail: said.slice(-300), freeBytes: null, sizeBytes: null, ms };
  const systems = [...said.matchAll(/^free (\d+) (\d+) (\d+)$/gm)].map(([, free, block, size]) => ({
    freeBytes: Number(free) * Number(block),
    sizeBytes: Number(size) * Number(block),
  }));
  const [tightest] = systems.toSorted((a, b) => a.freeBytes - b.freeBytes);
  if (tightest === undefined)
    return {
      condition: 'failed',
      detail: said.slice(-300) || 'no answer',
      freeBytes: null,
      sizeBytes: null,
      ms,
    };
  const detail = `${tightest.freeBytes} of ${tightest.sizeBytes} bytes are free`;
  return { condition: tightest.freeBytes < leastFreeBytes ? 'full' : 'ok', detail, ...tightest, ms };
}

function conditionOf(said: string): 'full' | 'read-only' | 'failed' | null {
  if (/No space left on device|Disk quota exceeded/.test(said)) return 'full';
  if (/Read-only file system/.test(said)) return 'read-only';
  return /^failed /m.test(said) ? 'failed' : null;
}

function failed(detail: string, startedMs: number): DiskProbeResult {
  return { condition: 'failed', detail, freeBytes: null, sizeBytes: null, ms: since(startedMs) };
}

function since(startedMs: number): number {
  return performance.now() - startedMs;
}

/** Where the probe of a data directory writes, for tests. */
export const probeFolder = (dataDir: string): string => join(dataDir, 'pg_stat_tmp');
