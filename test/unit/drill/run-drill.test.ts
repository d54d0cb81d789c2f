/**
 * One drill with a store in memory and a canary that sees what it is told to: what is written down, what makes it fail, and what it leaves
 * alone.
 */
import { describe, expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import type { Canary } from '../../../adapters/drill/canary-writer.ts';
import { type DrillDeps, type DrillRequest, runDrill } from '../../../adapters/drill/run-drill.ts';
import type { CanaryFigures } from '../../../core/model/drill.ts';
import type { OperationStatus } from '../../../core/model/operation.ts';
import { createMemoryStore, createMemoryTable } from '../../support/memory-store.ts';
import {
  sampleDrill,
  sampleLease,
  sampleNodeReport,
  sampleOperation,
  sampleRecord,
} from '../../support/samples.ts';

const request: DrillRequest = {
  ...{ cluster: 'main', kind: 'switchover', requestedBy: 'test', window: null, again: false, everyMs: 10 },
};
const quiet = { gapMs: 120, acknowledged: 500, failed: 0, unknown: 0 };

interface Told {
  readonly seen?: Partial<Omit<CanaryFigures, 'lost'>>;
  readonly lost?: number | Error;
  readonly canWrite?: boolean;
  readonly status?: OperationStatus | null;
  readonly startFails?: boolean;
  readonly silent?: boolean;
  /** After a fault: who takes over; null: nobody. An error: it could not be injected. */
  readonly takesOver?: string | null | Error;
  readonly mode?: 'off' | 'strict';
}

/** A whole cluster whose hosts report at each look, and a state machine whose execution ends at once. */
function given(told: Told = {}) {
  const table = createMemoryTable();
  const members = ['node1', 'node2'];
  table.record = { ...sampleRecord, members, proxies: [], operation: null, failoverState: 'stable' };
  const sync = { ...sampleLease.sync, mode: told.mode ?? 'off' };
  table.lease = { ...sampleLease, state: 'held', holder: 'node1', sync };
  let seq = 1;
  const write = () => {
    seq += told.silent ? 0 : 1;
    for (const node of members)
      table.nodes.set(node, {
        ...sampleNodeReport,
        ...{ node, seq, role: node === 'node1' ? 'primary' : 'standby', streaming: node !== 'node1' },
      });
  };
  write();
  const store = createMemoryStore({ table });
  const begun: string[] = [];
  let nowMs = 0;
  let ids = 0;
  let acknowledged = 0;
  let stopped = 0;
  const canary: Canary = {
    errorTexts: ['connection terminated'],
    start: async () => {
      if (told.canWrite === false) throw new Error('connection refused');
    },
    mark: () => undefined,
    figures: () => {
      acknowledged += 1;
      return { ...quiet, acknowledged: quiet.acknowledged + acknowledged, ...told.seen };
    },
    stop: async () => {
      stopped += 1;
    },
    countLost: async () => {
      if (told.lost instanceof Error) throw told.lost;
      return told.lost ?? 0;
    },
  };
  const deps: DrillDeps = {
    store,
    start: async (name, input) => {
      begun.push(`${name} ${input}`);
      if (told.startFails) return { kind: 'unreachable', message: 'Step Functions is away' };
      const { status = 'succeeded' } = told;
      if (status !== null)
        table.operations.set('op', {
          ...sampleOperation,
          ...{ id: 'op', status, executionArn: 'arn:e', outcome: `it ${status}` },
        });
      if (table.lease !== null && status === 'succeeded') table.lease = { ...table.lease, holder: 'node2' };
      return ok('arn:e');
    },
    status: async () => ok('ended' as const),
    canary: () => canary,
    inject: async ({ node, instanceId }) => {
      begun.push(`broken ${node} ${instanceId}`);
      const { takesOver = 'node2' } = told;
      if (takesOver instanceof Error) throw takesOver;
      const { record, lease } = table;
      if (takesOver === null || record === null || lease === null) return;
      table.lease = { ...lease, holder: takesOver, epoch: lease.epoch + 1 };
      const moved = { operation: 'by-agents', reason: '', time: '', from: 'node1', to: takesOver };
      table.record = { ...record, lastFailover: moved };
    },
    now: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
      write();
    },
    wallMs: () => Date.parse('2026-11-29T03:00:00.000Z') + nowMs,
    newId: () => {
      ids += 1;
      return `01JD${String(ids).padStart(22, '0')}`;
    },
    who: 'test',
    say: () => undefined,
  };
  return { deps, table, begun, stops: () => stopped };
}

test('a drill that went well is in the history, with what the canary saw and both ends of the move', async () => {
  const { deps, table, begun, stops } = given();
  const run = await runDrill(deps, request);
  expect(run).toMatchObject({
    kind: 'ended',
    drill: {
      ...{ status: 'succeeded', from: 'node1', to: 'node2', operation: 'op', everyMs: 10 },
      canary: { gapMs: 120, failed: 0, unknown: 0, lost: 0 },
    },
  });
  expect([...table.drills.values()]).toEqual([run.kind === 'ended' ? run.drill : null]);
  expect(begun).toHaveLength(1);
  expect(begun[0]).toMatch(/^drill-01JD\S+ \{"cluster":"main","kind":"switchover","reason":"drill 01JD/);
  expect([...table.events.values()].map(({ kind }) => kind)).toEqual(['drill_started', 'drill_ended']);
  expect([...table.events.values()][1]?.details).toMatchObject({ gap_ms: 120, lost: 0 });
  expect(stops()).toBeGreaterThan(0);
});

test.each<[string, Told, RegExp]>([
  ['a row that was acknowledged is lost', { lost: 1 }, /1 acknowledged rows are lost/],
  ['rows cannot be looked for', { lost: new Error('away') }, /could not be looked for/],
  ['a client saw an error', { seen: { unknown: 1 } }, /1 writes got an error: connection terminated/],
  ['a client was refused', { seen: { failed: 2 } }, /2 writes got an error/],
  ['the operation was aborted', { status: 'aborted' }, /it aborted/],
  ['the execution was refused', { status: null }, /was refused or left no operation/],
  ['Step Functions is away', { startFails: true }, /could not be started: Step Functions is away/],
])('it fails when %s, and the next one is refused until somebody has looked', async (_what, told, why) => {
  const { deps, begun } = given(told);
  const run = await runDrill(deps, request);
  expect(run).toMatchObject({ kind: 'ended', drill: { status: 'failed' } });
  expect(run.kind === 'ended' ? run.drill.outcome : '').toMatch(why);
  expect(await runDrill(deps, request)).toMatchObject({ decision: { rule: 'last-drill-failed' } });
  expect(begun).toHaveLength(1);
});

test('where the canary cannot write, nothing is moved', async () => {
  for (const told of [{ canWrite: false }, { seen: { acknowledged: 0 } }]) {
    const { deps, begun, table } = given(told);
    expect(await runDrill(deps, request)).toMatchObject({ drill: { status: 'failed', operation: null } });
    expect(begun).toEqual([]);
    expect(table.lease?.holder).toBe('node1');
  }
});

test('hosts that do not report between two looks are silent: nothing is moved, nothing written down', async () => {
  const { deps, begun, table } = given({ silent: true });
  expect(await runDrill(deps, request)).toMatchObject({ kind: 'refused', decision: { rule: 'host-unwell' } });
  expect(begun).toEqual([]);
  expect(table.drills.size).toBe(0);
  expect(deps.now()).toBeGreaterThanOrEqual(15_000);
});

test('what forbids a drill whatever the hosts say is said without waiting for them', async () => {
  const { deps, table } = given();
  table.drills.set(sampleDrill.id, { ...sampleDrill, status: 'failed' });
  expect(await runDrill(deps, request)).toMatchObject({ decision: { rule: 'last-drill-failed' } });
  expect(deps.now()).toBe(0);
  expect(await runDrill(deps, { ...request, again: true })).toMatchObject({ drill: { status: 'succeeded' } });
});

describe('a fault', () => {
  const fault: DrillRequest = { ...request, kind: 'fault' };

  test('is a drill that ends when another one is primary; nothing is started for it', async () => {
    const { deps, begun } = given({ seen: { unknown: 3, gapMs: 2_400 }, lost: 2 });
    expect(await runDrill(deps, fault)).toMatchObject({
      drill: {
        ...{ kind: 'fault', status: 'succeeded', from: 'node1', to: 'node2', operation: 'by-agents' },
        // Clients see errors when a host dies, and an asynchronous cluster may lose what only that host had: noted, not judged.
        canary: { gapMs: 2_400, unknown: 3, lost: 2 },
      },
    });
    expect(begun).toEqual([`broken node1 ${sampleNodeReport.instanceId}`]);
  });

  test.each<[string, Told, RegExp]>([
    ['a synchronous cluster loses a row', { mode: 'strict', lost: 1 }, /1 acknowledged rows are lost/],
    ['nobody takes over', { takesOver: null }, /nobody took over/],
    ['it cannot be injected', { takesOver: new Error('no such template') }, /injected: no such template/],
  ])('fails when %s', async (_what, told, why) => {
    const run = await runDrill(given(told).deps, fault);
    expect(run.kind === 'ended' ? [run.drill.status, run.drill.outcome] : run).toEqual([
      'failed',
      expect.stringMatching(why),
    ]);
  });
});
