/** How large the data set is: a number, or as large as a memory that it shall exceed. Pure. */

export interface ScaleFacts {
  readonly sharedBuffersBytes: number;
  /** Of the machine that runs the bench. */
  readonly memoryBytes: number;
  readonly freeDiskBytes: number;
  /** Nodes that keep a copy on this disk. */
  readonly copies: number;
}

export type ScaleWish = number | 'beyond-buffers' | 'beyond-memory';

/** pgbench_accounts with its key, by unit of pgbench's scale. */
export const bytesByScale = 15 * 1024 * 1024;
const timesBuffers = 4;
const timesMemory = 1.5;
/** Log, sorting of the key and the other tables, beside the data. */
const roomTimes = 1.6;
/** pgbench's own limit of 32 bits. */
const mostScale = 21_474;

export function readScale(value: string): ScaleWish {
  if (value === 'beyond-buffers' || value === 'beyond-memory') return value;
  const scale = Number(value);
  if (value === '' || !Number.isInteger(scale) || scale < 1 || scale > mostScale) {
    throw new Error(`--scale ${value}: 1 to ${mostScale}, beyond-buffers or beyond-memory`);
  }
  return scale;
}

/** Throws, with what it would take, for one that does not fit the disk. */
export function chooseScale(wish: ScaleWish, facts: ScaleFacts): number {
  if (typeof wish === 'number') return wish;
  const bytes =
    wish === 'beyond-buffers' ? timesBuffers * facts.sharedBuffersBytes : timesMemory * facts.memoryBytes;
  const scale = Math.min(mostScale, Math.ceil(bytes / bytesByScale));
  const needed = scale * bytesByScale * facts.copies * roomTimes;
  if (needed > facts.freeDiskBytes) {
    throw new Error(
      `--scale ${wish}: scale ${scale} needs ${gib(needed)} of disk for ${facts.copies} nodes, and ${gib(facts.freeDiskBytes)} are free`,
    );
  }
  return scale;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
