/** When this host lets go of the bars of another cluster: only for a claim that was read, and that still stands when the data is prepared. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adoptDirectory } from '../../agent/database/adopt-directory.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { DiskState } from '../../agent/disk-state.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';
import { createMemoryStore, createMemoryTable, type MemoryTable } from '../support/memory-store.ts';
import { sampleRecord } from '../support/samples.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-adopt-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const adopts = systemIdentifierOf(7_551_234_567_890_123_456n);
const claim = { node: 'node1', nonce: 'adopt-1', seq: 1, adopts };
const record = { ...sampleRecord, systemIdentifier: null, bootstrap: claim, epochs: [] };
type While = (table: MemoryTable) => void;

/** `answers`: whether DynamoDB answers the first, the second, ... look; those after do. */
function bench(whilePreparing: While = () => undefined, answers: readonly boolean[] = []) {
  const table = createMemoryTable();
  table.record = record;
  const store = createMemoryStore({ table });
  const disk = new DiskState(folder);
  disk.enterEpoch(7);
  disk.bar(6);
  let view = { record: table.record, watch: { lease: table.lease } };
  let looks = 0;
  let prepared = 0;
  const context = {
    ...{ config: { node: 'node1' }, disk, store, emit: () => undefined, log: () => undefined },
    keeper: {
      view: () => view,
      learnRecord: () => undefined,
      refresh: async () => {
        looks += 1;
        if (answers[looks - 1] === false) return false;
        if (table.record !== null) view = { record: table.record, watch: { lease: table.lease } };
        return true;
      },
    },
    server: {
      node: {
        adopt: async () => {
          prepared += 1;
          whilePreparing(table);
          return { kind: 'adopted', timeline: 3 };
        },
      },
    },
  } as unknown as HostContext;
  return { table, disk, adopt: () => adoptDirectory(context), prepared: () => prepared };
}

const keepsItsBars = (disk: DiskState) => {
  expect(disk.facts()).toMatchObject({ highestEpoch: 7, fencedEpoch: 6, bootstrapNonce: null });
  expect(existsSync(join(folder, 'barred', '6'))).toBe(true);
};

test("data that is prepared for a claim that stands is the cluster's, and the bars are set aside", async () => {
  const { table, disk, adopt } = bench();
  await adopt();
  expect(table.record?.systemIdentifier).toBe(adopts);
  expect(disk.facts()).toMatchObject({ highestEpoch: 0, fencedEpoch: 0, bootstrapNonce: 'adopt-1' });
});

test('nothing is prepared by what was known before, when DynamoDB does not answer', async () => {
  const { table, disk, adopt, prepared } = bench(undefined, [false]);
  await adopt();
  expect(prepared()).toBe(0);
  keepsItsBars(disk);
  expect(table.record?.systemIdentifier).toBeNull();
});

test('the bars stay when DynamoDB does not answer after the preparation; the next round ends it', async () => {
  const { table, disk, adopt } = bench(undefined, [true, false]);
  await adopt();
  keepsItsBars(disk);
  expect(table.record?.systemIdentifier).toBeNull();
  await adopt();
  expect(table.record?.systemIdentifier).toBe(adopts);
});

test.each<[string, While]>([
  ['replaced', (table) => (table.record = { ...record, bootstrap: { ...claim, nonce: 'adopt-2' } })],
  [
    'given to another node',
    (table) => (table.record = { ...record, bootstrap: { ...claim, node: 'node2', nonce: 'adopt-2' } }),
  ],
  ['carried out by another', (table) => (table.record = { ...record, systemIdentifier: adopts })],
])('the bars stay when the claim is %s meanwhile', async (_what, change) => {
  const { disk, adopt } = bench(change);
  await adopt();
  keepsItsBars(disk);
});
