// pg_control's bytes: read only when checksum, version and layout all agree.

import { expect, test } from 'vitest';
import { parseLsn } from '../../core/model/lsn.ts';
import { crc32c, parsePgControl } from '../../core/wire/parse-pg-control.ts';

/** Builds the file as PostgreSQL's headers lay it out: pg_control.h, 64-bit little-endian. */
function controlFile(
  version: number,
  crcOffset: number,
  change: (view: DataView) => void = () => undefined,
): Uint8Array {
  const bytes = new Uint8Array(8192);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 7_441_234_567_890_123_457n, true);
  view.setUint32(8, version, true);
  view.setUint32(16, 6, true);
  view.setBigUint64(32, 0x1_0300_0060n, true);
  view.setBigUint64(40, 0x1_0300_0028n, true);
  view.setUint32(48, 3, true);
  view.setUint32(52, 2, true);
  view.setBigUint64(136, 0x1_0400_0000n, true);
  view.setUint32(144, 4, true);
  view.setUint8(176, 1);
  view.setFloat64(208, 1234567, true);
  view.setUint32(228, 16 << 20, true);
  view.setUint32(252, 1, true);
  change(view);
  view.setUint32(crcOffset, crc32c(bytes.subarray(0, crcOffset)), true);
  return bytes;
}

test('the checksum is CRC-32C: the check value of its catalogue entry', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe306_9283);
});

test.each([
  [1300, 288],
  [1700, 288],
  [1800, 292],
])('format %i is read', (version, crcOffset) => {
  expect(parsePgControl(controlFile(version, crcOffset))).toEqual({
    kind: 'control-data',
    systemIdentifier: 7_441_234_567_890_123_457n,
    controlVersion: version,
    state: 'in-production',
    checkpointLsn: parseLsn('1/3000060'),
    redoLsn: parseLsn('1/3000028'),
    checkpointTimeline: 3,
    previousTimeline: 2,
    minRecoveryLsn: parseLsn('1/4000000'),
    minRecoveryTimeline: 4,
    backupEndRequired: false,
    walLogHints: true,
    dataChecksums: true,
    walSegmentBytes: 16 << 20,
  });
});

test.each([
  [0, 'starting-up'],
  [1, 'shut-down'],
  [2, 'shut-down-in-recovery'],
  [3, 'shutting-down'],
  [4, 'in-crash-recovery'],
  [5, 'in-archive-recovery'],
  [6, 'in-production'],
])('state %i is %s', (number, state) => {
  const bytes = controlFile(1300, 288, (view) => view.setUint32(16, number, true));
  expect(parsePgControl(bytes)).toMatchObject({ state });
});

test('no minimum recovery point is no position', () => {
  const bytes = controlFile(1300, 288, (view) => view.setBigUint64(136, 0n, true));
  expect(parsePgControl(bytes)).toMatchObject({ minRecoveryLsn: null });
});

test('what cannot be trusted is refused, and told why', () => {
  const reason = (bytes: Uint8Array) => {
    const parsed = parsePgControl(bytes);
    return parsed.kind === 'invalid-input' ? parsed.reason : parsed.kind;
  };
  expect(reason(new Uint8Array(4))).toMatch(/too short/);
  expect(reason(controlFile(1300, 288).subarray(0, 200))).toMatch(/too short/);
  expect(reason(controlFile(1900, 288))).toMatch(/unknown pg_control version 1900/);
  expect(reason(controlFile(1300, 288, (view) => view.setUint32(16, 99, true)))).toMatch(/unknown state/);
  expect(reason(controlFile(1300, 288, (view) => view.setFloat64(208, 1, true)))).toMatch(/unknown layout/);
  // The 18 layout under 17's number: its checksum is elsewhere.
  expect(reason(controlFile(1700, 292))).toMatch(/CRC/);
  const torn = controlFile(1300, 288);
  torn[35] = 0xff;
  expect(reason(torn)).toMatch(/CRC/);
});
