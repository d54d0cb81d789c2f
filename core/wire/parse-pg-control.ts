// Parses global/pg_control, the file in which PostgreSQL keeps its state: whether it was shut down cleanly, its last
// checkpoint, its timeline. Read directly because starting pg_controldata costs milliseconds on the path of a switchover.
// Trusted only when the CRC, the format version and the float pattern all match, so that a layout this code does not know
// is refused and never misread. Layouts: src/include/catalog/pg_control.h of PostgreSQL 13 to 18, 64-bit little-endian.

import { type Lsn, lsnOf } from '../model/lsn.ts';
import { type SystemIdentifier, systemIdentifierOf } from '../model/system-identifier.ts';

/** DBState, in the order of the server's enumeration. */
const STATES = [
  'starting-up',
  'shut-down',
  'shut-down-in-recovery',
  'shutting-down',
  'in-crash-recovery',
  'in-archive-recovery',
  'in-production',
] as const;

export type ControlState = (typeof STATES)[number];

export interface ControlData {
  readonly kind: 'control-data';
  readonly systemIdentifier: SystemIdentifier;
  readonly controlVersion: number;
  readonly state: ControlState;
  /** Start of the last checkpoint record: after a clean stop, the shutdown checkpoint. */
  readonly checkpointLsn: Lsn;
  readonly redoLsn: Lsn;
  /** Timeline of the last checkpoint: still the old one just after a promotion, so never proof in fencing. */
  readonly checkpointTimeline: number;
  readonly previousTimeline: number;
  /** A recovery must reach this before the data is consistent; null when there is none. */
  readonly minRecoveryLsn: Lsn | null;
  readonly minRecoveryTimeline: number;
  /** Set while a base backup has not been replayed to its end. */
  readonly backupEndRequired: boolean;
  readonly walLogHints: boolean;
  readonly dataChecksums: boolean;
  readonly walSegmentBytes: number;
}

export type ParsedControl = ControlData | { readonly kind: 'invalid-input'; readonly reason: string };

/** Offset of the CRC, by format version: 13 to 16, 17, 18 (which added default_char_signedness). */
const CRC_OFFSETS: ReadonlyMap<number, number> = new Map([
  [1300, 288],
  [1700, 288],
  [1800, 292],
]);

/** PostgreSQL stores this number so that a machine with another float format refuses the file. */
const FLOAT_PATTERN = 1234567.0;

const OFFSET = {
  systemIdentifier: 0,
  controlVersion: 8,
  state: 16,
  checkpoint: 32,
  redo: 40,
  timeline: 48,
  previousTimeline: 52,
  minRecovery: 136,
  minRecoveryTimeline: 144,
  backupEndRequired: 168,
  walLogHints: 176,
  floatPattern: 208,
  walSegmentBytes: 228,
  checksumVersion: 252,
} as const;

/** Parses the file's bytes (8 KiB; only the first 296 are used). A torn read shows as a CRC mismatch: read again. */
export function parsePgControl(bytes: Uint8Array): ParsedControl {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 12) return refuse('too short');
  const controlVersion = view.getUint32(OFFSET.controlVersion, true);
  const crcOffset = CRC_OFFSETS.get(controlVersion);
  if (crcOffset === undefined) return refuse(`unknown pg_control version ${controlVersion}`);
  if (view.byteLength < crcOffset + 4) return refuse('too short');
  if (view.getUint32(crcOffset, true) !== crc32c(bytes.subarray(0, crcOffset))) return refuse('CRC mismatch');
  if (view.getFloat64(OFFSET.floatPattern, true) !== FLOAT_PATTERN) return refuse('unknown layout');
  const state = STATES[view.getUint32(OFFSET.state, true)];
  if (state === undefined) return refuse('unknown state');
  const minRecovery = lsnAt(view, OFFSET.minRecovery);
  return {
    kind: 'control-data',
    systemIdentifier: systemIdentifierOf(view.getBigUint64(OFFSET.systemIdentifier, true)),
    controlVersion,
    state,
    checkpointLsn: lsnAt(view, OFFSET.checkpoint),
    redoLsn: lsnAt(view, OFFSET.redo),
    checkpointTimeline: view.getUint32(OFFSET.timeline, true),
    previousTimeline: view.getUint32(OFFSET.previousTimeline, true),
    minRecoveryLsn: minRecovery === 0n ? null : minRecovery,
    minRecoveryTimeline: view.getUint32(OFFSET.minRecoveryTimeline, true),
    backupEndRequired: view.getUint8(OFFSET.backupEndRequired) !== 0,
    walLogHints: view.getUint8(OFFSET.walLogHints) !== 0,
    dataChecksums: view.getUint32(OFFSET.checksumVersion, true) !== 0,
    walSegmentBytes: view.getUint32(OFFSET.walSegmentBytes, true),
  };
}

function lsnAt(view: DataView, offset: number): Lsn {
  return lsnOf(view.getBigUint64(offset, true));
}

function refuse(reason: string): ParsedControl {
  return { kind: 'invalid-input', reason: `pg_control: ${reason}` };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli), the checksum of pg_control and of WAL records. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffff_ffff) >>> 0;
}
