/** Recording a cluster whose first data is to be adopted: named once, with the record, and never over data that is there. */
import { beforeEach, describe, expect, test } from 'vitest';
import { AdoptionRefused, ensureClusterRecord } from '../../../adapters/workflow/record-cluster.ts';
import { defaultSpec } from '../../../core/model/cluster-record.ts';
import { systemIdentifierOf } from '../../../core/model/system-identifier.ts';
import { createMemoryStore, createMemoryTable } from '../../support/memory-store.ts';

const file = { cluster: 'main', spec: defaultSpec, proxies: [] };
const system = systemIdentifierOf(7_000_000_000_000_000_001n);
const other = systemIdentifierOf(7_000_000_000_000_000_002n);
const adoption = { node: 'node-1', systemIdentifier: system };
let table = createMemoryTable();
const record = (order: Parameters<typeof ensureClusterRecord>[2] = null) =>
  ensureClusterRecord(createMemoryStore({ table }), file, order);

beforeEach(() => {
  table = createMemoryTable();
});

test('a new cluster has the order from its first moment, so that nobody makes data in between', async () => {
  expect(await record(adoption)).toBe('created');
  expect(table.record?.bootstrap).toMatchObject({ node: 'node-1', adopts: system });
  expect(table.record?.bootstrap?.nonce).toMatch(/^adopt-/);
  expect(table.record?.systemIdentifier).toBeNull();
  const nonce = table.record?.bootstrap?.nonce;
  expect(await record(adoption)).toBe('as-it-was');
  expect(await record()).toBe('as-it-was');
  expect(table.record?.bootstrap?.nonce).toBe(nonce);
});

test('a cluster that was recorded, and in which nobody has begun, takes the order', async () => {
  expect(await record()).toBe('created');
  expect(await record(adoption)).toBe('changed');
  expect(table.record?.bootstrap).toMatchObject({ node: 'node-1', adopts: system });
});

test('an order that was not carried out may be replaced, and has another nonce', async () => {
  await record(adoption);
  const nonce = table.record?.bootstrap?.nonce;
  expect(await record({ node: 'node-2', systemIdentifier: other })).toBe('changed');
  expect(table.record?.bootstrap).toMatchObject({ node: 'node-2', adopts: other });
  expect(table.record?.bootstrap?.nonce).not.toBe(nonce);
});

describe('it is refused', () => {
  test('where somebody makes the first data directory', async () => {
    await record();
    if (table.record !== null)
      table.record = { ...table.record, bootstrap: { node: 'node-2', nonce: 'n', seq: 2 } };
    await expect(record(adoption)).rejects.toThrow(AdoptionRefused);
    expect(table.record?.bootstrap?.nonce).toBe('n');
  });

  test('where the cluster has data, of whichever system', async () => {
    await record(adoption);
    for (const has of [system, other]) {
      if (table.record !== null)
        table.record = {
          ...table.record,
          systemIdentifier: has,
          bootstrap: { node: 'node-2', nonce: 'n', seq: 2 },
        };
      await expect(record(adoption)).rejects.toThrow(AdoptionRefused);
    }
  });

  test('where other data was adopted', async () => {
    await record({ node: 'node-2', systemIdentifier: other });
    if (table.record !== null) table.record = { ...table.record, systemIdentifier: other };
    await expect(record(adoption)).rejects.toThrow(AdoptionRefused);
    expect(table.record?.bootstrap?.node).toBe('node-2');
  });

  test('not when it was carried out before', async () => {
    await record(adoption);
    if (table.record !== null) table.record = { ...table.record, systemIdentifier: system };
    expect(await record(adoption)).toBe('as-it-was');
  });
});
