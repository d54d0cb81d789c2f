// A position in the write-ahead log, as PostgreSQL writes it ('0/3000060'), as a branded bigint: it can be neither
// mistaken for a byte count nor rounded by a float. Upholds that positions are compared as numbers, never as text
// ('0/9' < '0/10').

declare const lsnBrand: unique symbol;

/** A WAL position: 64 bits, unsigned. */
export type Lsn = bigint & { readonly [lsnBrand]: 'lsn' };

const MAX_LSN = 0xffff_ffff_ffff_ffffn;
const LSN_TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Position 0/0: PostgreSQL's InvalidXLogRecPtr, before every record. */
export const ZERO_LSN = 0n as Lsn;

/** The position with that number. Throws RangeError outside 64 unsigned bits: such a number is a bug, not input. */
export function lsnOf(value: bigint): Lsn {
  if (value < 0n || value > MAX_LSN) throw new RangeError(`LSN out of range: ${value}`);
  return value as Lsn;
}

/** Parses 'X/X' (1 to 8 hexadecimal digits each); anything else, blanks included, is null. */
export function parseLsn(text: string): Lsn | null {
  const match = LSN_TEXT.exec(text);
  if (match === null) return null;
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

/** 'X/X' in capitals without leading zeros: the text that PostgreSQL 13 to 18 print. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16);
  const low = (lsn & 0xffff_ffffn).toString(16);
  return `${high}/${low}`.toUpperCase();
}

/** Negative, zero or positive, for sorting ascending. */
export function compareLsn(a: Lsn, b: Lsn): -1 | 0 | 1 {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

/** The greater of two positions. */
export function maxLsn(a: Lsn, b: Lsn): Lsn {
  return a < b ? b : a;
}

/**
 * Bytes of WAL from one position to another: negative when `to` lies before `from`. A number, clamped to the safe integers
 * (8 PiB), because lag is counted, printed and serialised.
 */
export function lsnBytesBetween(from: Lsn, to: Lsn): number {
  const difference = to - from;
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (difference > limit) return Number.MAX_SAFE_INTEGER;
  return difference < -limit ? -Number.MAX_SAFE_INTEGER : Number(difference);
}

/**
 * The name of the segment file that holds the byte at `lsn` on `timeline`, 24 hexadecimal digits.
 * `segmentBytes` is a power of two from 1 MiB to 1 GiB (initdb --wal-segsize); another size throws RangeError.
 */
export function walFileName(timeline: number, lsn: Lsn, segmentBytes: number): string {
  if (segmentBytes < 0x10_0000 || segmentBytes > 0x4000_0000 || !Number.isInteger(Math.log2(segmentBytes))) {
    throw new RangeError(`WAL segment size must be a power of two from 1 MiB to 1 GiB: ${segmentBytes}`);
  }
  const segment = lsn / BigInt(segmentBytes);
  const segmentsPerFileId = 0x1_0000_0000n / BigInt(segmentBytes);
  return [BigInt(timeline), segment / segmentsPerFileId, segment % segmentsPerFileId]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('');
}
