/** Whether a drill may begin, its window, and what the history of drills comes to. */
import { describe, expect, test } from 'vitest';
import { renderDrills } from '../../../cli/drill-history.ts';
import { type DrillFacts, type DrillRule, decideDrill } from '../../../core/drill/decide-drill.ts';
import { nearestRank, summariseDrills } from '../../../core/drill/drill-history.ts';
import { isInWindow, parseDrillWindow } from '../../../core/drill/drill-window.ts';
import type { NodeReport, ProxyReport } from '../../../core/model/node-report.ts';
import {
  sampleDrill,
  sampleLease,
  sampleNodeReport,
  sampleProxyReport,
  sampleRecord,
} from '../../support/samples.ts';

const lease = { ...sampleLease, state: 'held' as const, holder: 'node1' };
const record = {
  ...sampleRecord,
  members: ['node1', 'node2'],
  operation: null,
  failoverState: 'stable' as const,
};
const primary: NodeReport = {
  ...sampleNodeReport,
  ...{ node: 'node1', role: 'primary', streaming: false, lagBytes: null },
};
const standby: NodeReport = { ...sampleNodeReport, node: 'node2' };
const proxy: ProxyReport = { ...sampleProxyReport, paused: false, epoch: lease.epoch, routesTo: 'node1' };
const next = <T extends { readonly seq: number }>(report: T): T => ({ ...report, seq: report.seq + 1 });

const nowMs = Date.parse('2026-11-29T03:00:00.000Z');
const well: DrillFacts = {
  record,
  lease,
  earlier: { nodes: [primary, standby], proxies: [proxy] },
  reports: { nodes: [next(primary), next(standby)], proxies: [next(proxy)] },
  last: null,
  lastStartedMs: 0,
  window: null,
  nowMs,
  again: false,
};

test('a cluster that is well may be drilled', () => {
  expect(decideDrill(well)).toMatchObject({ rule: 'go', go: true });
});

const failed = { ...sampleDrill, status: 'failed' as const, outcome: 'a row was lost' };
const running = { ...sampleDrill, status: 'running' as const };
const minutesAgo = (minutes: number) => nowMs - minutes * 60_000;

test.each<[DrillRule, Partial<DrillFacts>]>([
  ['not-bootstrapped', { lease: null }],
  ['outside-window', { window: parseDrillWindow('mon 03:00-04:00') }],
  ['paused', { record: { ...record, paused: true } }],
  ['under-way', { record: { ...record, operation: { id: 'x', kind: 'failover', executionArn: null } } }],
  ['under-way', { record: { ...record, failoverState: 'reconfiguring_replicas' } }],
  ['no-primary', { lease: { ...lease, state: 'sealed' } }],
  ['drill-under-way', { last: running, lastStartedMs: minutesAgo(5) }],
  ['last-drill-failed', { last: running, lastStartedMs: minutesAgo(31) }],
  ['last-drill-failed', { last: failed }],
  ['no-standby', { record: { ...record, members: ['node1'] } }],
])('%s: nothing is touched', (rule, change) => {
  const decision = decideDrill({ ...well, ...change });
  expect(decision).toMatchObject({ rule, go: false });
  expect(decision.reason).not.toBe('');
});

test('after a drill that failed another one needs somebody who says so; after one that succeeded it does not', () => {
  expect(decideDrill({ ...well, last: failed, again: true }).go).toBe(true);
  expect(decideDrill({ ...well, last: running, lastStartedMs: minutesAgo(5), again: true }).go).toBe(false);
  expect(decideDrill({ ...well, last: sampleDrill }).go).toBe(true);
});

describe('a host that is not well is named', () => {
  const nodes = (change: Partial<NodeReport>) => ({
    ...well.reports,
    nodes: [next(primary), { ...next(standby), ...change }],
  });
  const proxies = (change: Partial<ProxyReport>) => ({
    ...well.reports,
    proxies: [{ ...next(proxy), ...change }],
  });
  test.each<[string, DrillFacts['reports']]>([
    ['node2 is silent', nodes({ seq: standby.seq })],
    ['PostgreSQL of node2 is starting_up', nodes({ postgres: 'starting_up' })],
    ['node2 reports disk-full', nodes({ health: 'disk-full' })],
    ['node2 does not stream', nodes({ streaming: false })],
    ['node2 is 99999999 bytes behind', nodes({ lagBytes: 99_999_999 })],
    ['node1 is no primary', { ...well.reports, nodes: [{ ...next(primary), role: 'none' }, next(standby)] }],
    ['node2 has never reported', { ...well.reports, nodes: [next(primary)] }],
    ['proxy1 is silent', { ...well.reports, proxies: [proxy] }],
    ['proxy1 has never reported', { ...well.reports, proxies: [] }],
    ['proxy1 does not route to node1', proxies({ routesTo: 'node2' })],
    ['proxy1 does not route to node1', proxies({ epoch: 2 })],
    ['proxy1 is paused', proxies({ paused: true })],
  ])('%s', (reason, reports) => {
    expect(decideDrill({ ...well, reports })).toEqual({ rule: 'host-unwell', go: false, reason });
  });
});

describe('a window', () => {
  const at = (text: string) => Date.parse(`${text}:00Z`);
  // 28 November 2026 is a Saturday.
  test.each<[string, string, boolean]>([
    ['always', '2026-11-25T12:00', true],
    ['sat,sun 02:00-04:30', '2026-11-28T02:00', true],
    ['sat,sun 02:00-04:30', '2026-11-29T04:29', true],
    ['sat,sun 02:00-04:30', '2026-11-28T04:30', false],
    ['sat,sun 02:00-04:30', '2026-11-30T03:00', false],
    ['daily 03:00-04:00', '2026-11-25T03:59', true],
    // Past midnight it belongs to the day on which it began.
    ['sat 23:00-01:00', '2026-11-28T23:30', true],
    ['sat 23:00-01:00', '2026-11-29T00:59', true],
    ['sat 23:00-01:00', '2026-11-28T00:30', false],
    ['sun 22:00-24:00', '2026-11-29T23:59', true],
  ])('%s, at %s: %s', (window, moment, inside) => {
    expect(isInWindow(parseDrillWindow(window), at(moment))).toBe(inside);
  });

  test.each([
    '',
    'sometime',
    'sat',
    'sat 2-4',
    'caturday 02:00-03:00',
    'sat 25:00-26:00',
    'sat 02:60-03:00',
    'sat 02:00-02:00',
    5,
  ])('%j is none, and the refusal names the field', (value) => {
    expect(() => parseDrillWindow(value, 'drills.window')).toThrow(/^drills\.window was /);
  });
});

describe('the history', () => {
  const drill = (gapMs: number, status: 'succeeded' | 'failed' = 'succeeded') => ({
    ...sampleDrill,
    status,
    canary: { gapMs, acknowledged: 1, failed: 0, unknown: 0, lost: 0 },
  });

  test('percentiles are gaps that were really seen, and a failed drill does not count among them', () => {
    const drills = [...Array.from({ length: 100 }, (_, at) => drill(100 - at)), drill(9_999, 'failed')];
    expect(summariseDrills(drills).switchover).toEqual({
      drills: 101,
      succeeded: 100,
      failed: 1,
      gapMs: { p50: 50, p99: 99, max: 100 },
    });
    expect(nearestRank([7], 50)).toBe(7);
    expect(nearestRank([1, 2, 3], 99)).toBe(3);
    expect(() => nearestRank([], 50)).toThrow(RangeError);
  });

  test('those of faults are apart: they would hide what a switchover takes', () => {
    const drills = [drill(100), { ...drill(2_500), kind: 'fault' as const }];
    const { switchover, fault } = summariseDrills(drills);
    expect([switchover.gapMs?.max, fault.gapMs?.max]).toEqual([100, 2_500]);
    const text = renderDrills(drills, { switchover, fault });
    expect(text).toContain('switchover: gap p50 100 ms');
    expect(text).toContain('fault: gap p50 2500 ms');
  });

  test('without a drill that succeeded there is no percentile', () => {
    expect(summariseDrills([drill(5, 'failed')]).switchover.gapMs).toBeNull();
    expect(renderDrills([], summariseDrills([]))).toBe('no drill yet');
    expect(renderDrills([drill(120)], summariseDrills([drill(120)]))).toContain('p50 120 ms, p99 120 ms');
  });
});
