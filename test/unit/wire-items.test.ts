/** Items of DynamoDB: what is written is read back, under the attribute names that others rely on; what is wrong is named. */
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../core/wire/fields.ts';
import type { Item } from '../../core/wire/item-shape.ts';
import { actionToItem, parseAction } from '../../core/wire/parse-action.ts';
import { clusterRecordToItem, parseClusterRecord } from '../../core/wire/parse-cluster-record.ts';
import { eventKinds, eventToItem, parseEvent } from '../../core/wire/parse-event.ts';
import { leaseToItem, parseLease } from '../../core/wire/parse-lease.ts';
import { nodeReportToItem, parseNodeReport } from '../../core/wire/parse-node-report.ts';
import { operationToItem, parseOperation } from '../../core/wire/parse-operation.ts';
import { parseProxyReport, proxyReportToItem } from '../../core/wire/parse-proxy-report.ts';
import {
  sampleAction,
  sampleEvent,
  sampleLease,
  sampleNodeReport,
  sampleOperation,
  sampleProxyReport,
  sampleRecord,
} from '../support/samples.ts';

interface Case {
  readonly value: object;
  readonly item: Item;
  readonly parse: (item: unknown) => object;
}

const result = {
  ok: true,
  error: '',
  message: 'm',
  ms: 1.5,
  timeline: 4,
  releasedAtLsn: '0/1',
  neverPromoted: true,
};

const cases: Readonly<Record<string, Case>> = {
  lease: { value: sampleLease, item: leaseToItem(sampleLease), parse: parseLease },
  record: { value: sampleRecord, item: clusterRecordToItem(sampleRecord), parse: parseClusterRecord },
  node_report: { value: sampleNodeReport, item: nodeReportToItem(sampleNodeReport), parse: parseNodeReport },
  proxy_report: {
    value: sampleProxyReport,
    item: proxyReportToItem(sampleProxyReport),
    parse: parseProxyReport,
  },
  action: {
    value: { ...sampleAction, result },
    item: actionToItem({ ...sampleAction, result }),
    parse: parseAction,
  },
  operation: { value: sampleOperation, item: operationToItem(sampleOperation), parse: parseOperation },
  event: { value: sampleEvent, item: eventToItem(sampleEvent), parse: parseEvent },
};

const names = Object.keys(cases);
const caseOf = (name: string): Case => cases[name] ?? expect.fail(name);

function refusal(read: () => unknown): InvalidInput {
  try {
    read();
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
  return expect.fail('it was accepted');
}

describe.each(names)('%s', (name) => {
  const { value, item, parse } = caseOf(name);

  test('is read back as it was written, through JSON', () => {
    expect(parse(JSON.parse(JSON.stringify(item)))).toEqual(value);
  });

  test('keeps what a newer version has added out of the value', () => {
    expect(parse({ ...item, pk: 'p', sk: 's', from_the_future: 1 })).toEqual(value);
  });

  // step_names is derived; the last failover is absent as a whole; nothing else may change unnoticed.
  const attributes = Object.keys(item).filter(
    (attribute) => attribute !== 'step_names' && !attribute.startsWith('last_failover'),
  );

  test.each(attributes)('refuses a %s of a wrong type by its name', (attribute) => {
    const wrong = refusal(() => parse({ ...item, [attribute]: { odd: true } }));
    expect(wrong.field.startsWith(`${name}.${attribute}`)).toBe(true);
  });

  test.each(attributes.filter((attribute) => item[attribute] !== null))(
    'does not invent a missing %s',
    (attribute) => {
      const { [attribute]: _left, ...rest } = item;
      const optional = readOrRefuse(() => parse(rest));
      if (optional instanceof InvalidInput) expect(optional.field).toBe(`${name}.${attribute}`);
      else
        expect(optional).toEqual({
          ...value,
          [keyOf(attribute)]: attribute in fallbacks ? fallbacks[attribute] : null,
        });
    },
  );
});

/** What an item says that was written before the attribute existed, where that is not null; undefined: it is missing in the value too. */
const fallbacks: Readonly<Record<string, unknown>> = {
  ...{ fenced_hosts: [], accept_data_loss: false, agent: undefined },
};

function keyOf(attribute: string): string {
  return attribute.replaceAll(/_[a-z]/g, (found) => found.slice(1).toUpperCase());
}

function readOrRefuse(read: () => object): object | InvalidInput {
  try {
    return read();
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
}

test('attributes have the names that the table is documented with', () => {
  expect(Object.keys(leaseToItem(sampleLease)).sort()).toEqual([
    ...['epoch', 'holder', 'incarnation', 'members', 'never_promoted', 'operation', 'released_at_lsn'],
    ...['seq', 'state', 'successor', 'sync', 'timeline', 'ttl_ms'],
  ]);
  expect(clusterRecordToItem(sampleRecord)).toMatchObject({
    failover_state: 'waiting_for_catchup',
    failover_target_primary: 'node2',
    last_failover_operation: 'u1-e2-a1',
    last_failover_reason: '',
    last_failover_time: '2026-11-21T08:00:00.000Z',
    last_failover_from: 'node2',
    last_failover_to: 'node1',
    system_identifier: '18446744073709551614',
    spec: { ttl_ms: 5000, catch_up_timeout_ms: 30_000 },
    epochs: [{ fork_lsn: null }, { fork_lsn: '0/3000060', history: [{ switch_lsn: '0/3000060' }] }],
  });
  expect(leaseToItem(sampleLease)['released_at_lsn']).toBe('16/B374D848');
});

test('a lease and a specification from before there was a method or a change under way are read as such', () => {
  const { sync: _sync, ...rest } = leaseToItem(sampleLease);
  const read = parseLease({ ...rest, sync: { mode: 'on', k: 1, names: ['node2'] } });
  expect(read.sync).toEqual({ mode: 'on', method: 'any', k: 1, names: ['node2'], next: null });
  const record = clusterRecordToItem(sampleRecord);
  const spec = { ...(record['spec'] as object), sync: { mode: 'on', k: 1 } };
  expect(parseClusterRecord({ ...record, spec }).spec.sync).toEqual({ mode: 'on', method: 'any', k: 1 });
});

test('a part of a record sets only its own attributes', () => {
  expect(clusterRecordToItem({ failoverState: 'stable', operation: null })).toEqual({
    failover_state: 'stable',
    operation: null,
  });
  const cleared = clusterRecordToItem({ lastFailover: null });
  expect(Object.entries(cleared)).toHaveLength(5);
  expect(Object.values(cleared).every((value) => value === null)).toBe(true);
  expect(parseClusterRecord({ ...clusterRecordToItem(sampleRecord), ...cleared }).lastFailover).toBeNull();
});

test('a last failover that is not whole is refused', () => {
  const item = { ...clusterRecordToItem(sampleRecord), last_failover_to: 7 };
  expect(refusal(() => parseClusterRecord(item)).field).toBe('record.last_failover.to');
});

test('an argument that this version does not know is refused, not ignored', () => {
  const item = { ...actionToItem(sampleAction), args: { node: 'node2', only_if: 'x' } };
  expect(refusal(() => parseAction(item)).field).toBe('action.args.only_if');
});

test('fields that are optional stay away', () => {
  const bare = { ...sampleAction, args: {}, result: { ok: false, error: 'e', message: '', ms: 0 } };
  expect(actionToItem(bare)).toMatchObject({ args: {} });
  expect(parseAction(actionToItem(bare))).toEqual(bare);
});

test('an id that could break a setting or a slot is refused', () => {
  const item = { ...leaseToItem(sampleLease), members: ['node1', "x', *"] };
  expect(refusal(() => parseLease(item)).field).toBe('lease.members[1]');
});

test('every kind of event is known by name', () => {
  expect(eventKinds).toContain('wal_discarded');
  expect(new Set(eventKinds).size).toBe(eventKinds.length);
  expect(
    refusal(() => parseEvent({ ...eventToItem(sampleEvent), kind: 'primary_demoted_by_magic' })).field,
  ).toBe('event.kind');
});

test('a record from before hosts could be fenced in several ways stops them, and has none to undo', () => {
  const { fenced_hosts: _none, ...item } = clusterRecordToItem(sampleRecord);
  const { fencing: _unsaid, ...spec } = item['spec'] as Record<string, unknown>;
  expect(parseClusterRecord({ ...item, spec })).toEqual({
    ...sampleRecord,
    spec: { ...sampleRecord.spec, fencing: { mode: 'stop' } },
    fencedHosts: [],
  });
});
