/** What the failover suite makes of the history of clients' writes: gaps, latencies, runs in turn, verdicts. */
import { describe, expect, test } from 'vitest';
import { cellsOf, typicalRun } from '../../../bench/failover/cells.ts';
import type { Run } from '../../../bench/failover/compare.ts';
import { gapBars, gapTable, ratioToBestPeer, verdictOf } from '../../../bench/failover/gap-table.ts';
import { rebinned } from '../../../bench/failover/latency-figures.ts';
import type { MeasuredRun } from '../../../bench/failover/measure-run.ts';
import { planRuns } from '../../../bench/failover/plan-runs.ts';
import { runFigures } from '../../../bench/failover/run-figures.ts';
import { stepTable } from '../../../bench/failover/time-tables.ts';
import type { Append, Outcome } from '../../../bench/history/history.ts';
import { LatencyRecorder } from '../../../bench/measure/latency-recorder.ts';
import type { PathName, Scenario } from '../../../bench/systems/system-under-test.ts';

/** One client that is due every 100 ms from 0 on; each write takes 2 ms unless told otherwise. */
function writes(count: number, special: Record<number, Partial<Append>> = {}): Append[] {
  return Array.from({ length: count }, (_, at): Append => {
    const dueMs = at * 100;
    const plain = {
      client: 1,
      sequence: at + 1,
      dueMs,
      sentMs: dueMs,
      endedMs: dueMs + 2,
      outcome: 'acknowledged' as Outcome,
    };
    return { ...plain, ...special[at] };
  });
}

const times = { fromMs: 0, struckMs: 1000, toMs: 2000 };

describe('what clients saw of a blow', () => {
  test('the gap is between two acknowledgements, and where it lies is counted from the blow', () => {
    const late = { endedMs: 1412 };
    const figures = runFigures(
      writes(20, {
        10: late,
        11: { sentMs: 1412, endedMs: 1413 },
        12: late,
        13: late,
        14: { endedMs: 1415 },
      }),
      times,
    );
    expect(figures).toMatchObject({ gapMs: 510, gapFromMs: -98, gapToMs: 412, errors: 0, acknowledged: 20 });
  });

  test('a gap that was over before the blow is not its doing', () => {
    const late = { endedMs: 850 };
    const figures = runFigures(writes(20, { 3: late, 4: late, 5: late, 6: late, 7: late, 8: late }), times);
    expect(figures).toMatchObject({ gapMs: 100, gapFromMs: -98 });
  });

  test('a blow that clients feel late shows in the latencies during it', () => {
    const late = { sentMs: 8000, endedMs: 8500 };
    const figures = runFigures(writes(100, { 80: late }), { fromMs: 0, struckMs: 1000, toMs: 10_000 });
    expect(figures.gapFromMs).toBe(6902);
    expect(Math.max(...figures.latenciesDuringMs)).toBe(500);
  });

  test('a gap that is open at the end counts for what it has come to', () => {
    const figures = runFigures(writes(10), times);
    expect(figures.gapMs).toBe(1098);
  });

  test('waiting counts from when a write was due, not from when it was sent', () => {
    const figures = runFigures(writes(20, { 12: { sentMs: 1700, endedMs: 1702 } }), times);
    expect(Math.max(...figures.latenciesDuringMs)).toBe(502);
    expect(Math.max(...figures.latenciesBeforeMs)).toBe(2);
  });

  test("a write that failed counts until its client's next one that was acknowledged", () => {
    const figures = runFigures(
      writes(20, { 12: { outcome: 'failed' }, 13: { outcome: 'unknown', endedMs: 1390 } }),
      times,
    );
    expect(figures.errors).toBe(2);
    expect(figures.latenciesDuringMs.toSorted((a, b) => b - a).slice(0, 2)).toEqual([202, 102]);
  });

  test('a connection that was refused is an error and no write', () => {
    const refused: Append = {
      client: 0,
      sequence: 0,
      dueMs: 1500,
      sentMs: 1500,
      endedMs: 1500,
      outcome: 'failed',
    };
    const figures = runFigures([...writes(20), refused], times);
    expect(figures.errors).toBe(1);
    expect(figures.latenciesDuringMs).toHaveLength(10);
  });

  test('an error before the blow is counted apart', () => {
    const figures = runFigures(writes(20, { 3: { outcome: 'failed' } }), times);
    expect(figures).toMatchObject({ errors: 0, errorsBefore: 1 });
  });

  test('acknowledgements over time are counted from the blow in both directions', () => {
    const { timeline } = runFigures(writes(20), times);
    expect(timeline.startMs).toBe(-1000);
    expect(timeline.counts.reduce((sum, count) => sum + count, 0)).toBe(20);
    expect(timeline.counts.slice(0, 4)).toEqual([1, 0, 1, 0]);
  });

  test('wider bins hold what was in the narrow ones', () => {
    const narrow = { startMs: -100, binMs: 50, counts: [1, 2, 3, 4, 5, 6] };
    expect(rebinned(narrow, { binMs: 100, startMs: -200, endMs: 500 })).toEqual({
      startMs: -100,
      counts: [3, 7, 11],
    });
  });
});

describe('latencies', () => {
  test('keep three digits and say nothing of a percentile with too few values', () => {
    const recorder = new LatencyRecorder(Array.from({ length: 200 }, (_, at) => at + 1));
    expect(recorder.percentileMs(50)).toBeCloseTo(100, 0);
    expect(recorder.percentileMs(99)).toBeCloseTo(198, 0);
    expect(recorder.percentileMs(99.9)).toBeNull();
    expect(recorder.points().at(-1)).toMatchObject({ percentile: 100 });
  });

  test('nothing recorded has no percentile', () => {
    const recorder = new LatencyRecorder();
    expect([recorder.percentileMs(50), recorder.maxMs(), recorder.points()]).toEqual([null, null, []]);
  });

  test('what took longer than can be told is told as the longest', () => {
    expect(new LatencyRecorder([3_600_000]).maxMs()).toBeCloseTo(600_000, -4);
  });
});

describe('the plan', () => {
  const able = (name: string, scenarios: Scenario[], paths: PathName[]) => ({
    name,
    scenarios: new Set(scenarios),
    paths: Object.fromEntries(paths.map((path) => [path, []])),
  });

  test('systems take turns within each scenario and path, round by round', () => {
    const plan = planRuns(
      [able('ours', ['switchover', 'host-killed'], ['endpoint']), able('peer', ['switchover'], ['endpoint'])],
      ['switchover', 'host-killed'],
      ['endpoint'],
      2,
    );
    expect(plan.map(({ system, scenario, round }) => `${round} ${scenario} ${system.name}`)).toEqual([
      '1 switchover ours',
      '1 switchover peer',
      '1 host-killed ours',
      '2 switchover ours',
      '2 switchover peer',
      '2 host-killed ours',
    ]);
  });

  test('a path that a system does not have is not planned for it', () => {
    const plan = planRuns(
      [able('peer', ['switchover'], ['haproxy'])],
      ['switchover'],
      ['endpoint', 'haproxy'],
      1,
    );
    expect(plan.map(({ path }) => path)).toEqual(['haproxy']);
  });
});

function run(system: string, gapMs: number, more: Partial<MeasuredRun> = {}): Run {
  const measured: MeasuredRun = {
    gapMs,
    gapFromMs: 0,
    gapToMs: gapMs,
    errors: 0,
    errorsBefore: 0,
    acknowledged: 100,
    latenciesBeforeMs: [],
    latenciesDuringMs: [],
    timeline: { startMs: 0, binMs: 50, counts: [] },
    lost: 0,
    doubled: 0,
    violations: [],
    redundantAfterMs: 1000,
    recoveredByItself: true,
    primaryBefore: 'node1',
    primaryAfter: 'node2',
    errorTexts: [],
    history: null,
    ...more,
  };
  const id = { system, mode: 'off', scenario: 'switchover', path: 'endpoint', round: 1 } as const;
  return { ...id, outcome: 'measured', measured };
}

const failed: Run = {
  system: 'leasehold',
  mode: 'off',
  scenario: 'switchover',
  path: 'endpoint',
  round: 9,
  outcome: 'failed',
  why: 'not whole',
};

/** The only cell of such runs, and its first system. */
function only(runs: readonly Run[]) {
  const [cell] = cellsOf(runs);
  const [system] = cell?.systems ?? [];
  if (cell === undefined || system === undefined) throw new Error('no cell');
  return { cell, system };
}

describe('the comparison', () => {
  test('the ratio is to the best of the other systems', () => {
    const { cell, system } = only([run('leasehold', 100), run('patroni', 2000), run('patroni-tuned', 400)]);
    expect(ratioToBestPeer(cell, system)).toBe(0.25);
  });

  test('there is no ratio without another system', () => {
    const { cell, system } = only([run('leasehold', 100)]);
    expect(ratioToBestPeer(cell, system)).toBeNull();
  });

  test('a median over its budget, errors and losses are named', () => {
    const { cell, system } = only([run('leasehold', 180, { errors: 2, lost: 1 })]);
    expect(verdictOf(cell, system, 'runtime')).toBe('not met: gap 180 > 150 ms, errors 2 > 0, lost 1 > 0');
    expect(verdictOf(cell, system, 'aws')).toBe('not met: errors 2 > 0, lost 1 > 0');
  });

  test('a median within its budget is met though one run was over', () => {
    const { cell, system } = only([run('leasehold', 90), run('leasehold', 100), run('leasehold', 900)]);
    expect(verdictOf(cell, system, 'runtime')).toBe('met');
  });

  test('peers have no budget', () => {
    const { cell, system } = only([run('patroni', 9000)]);
    expect(verdictOf(cell, system, 'runtime')).toBeNull();
  });

  test('a run that failed is counted and enters no median', () => {
    const { cell } = only([run('leasehold', 90), failed]);
    const [row] = gapTable([cell], 'runtime').rows;
    expect(row?.slice(3, 9)).toEqual(['leasehold', 2, 1, 90, 90, 90]);
  });

  test('nothing but failed runs gives no figure, not zero', () => {
    const { cell } = only([failed]);
    const table = gapTable([cell], 'runtime');
    const column = (name: string) => table.rows[0]?.[table.columns.findIndex((known) => known.name === name)];
    expect([column('median gap'), column('lost'), column('verdict')]).toEqual([null, null, null]);
    expect(gapBars([cell])[0]?.series[0]?.values).toEqual([null]);
  });

  test('percentiles over runs stand only where there are enough', () => {
    const runs = Array.from({ length: 20 }, (_, at) => run('leasehold', at));
    const table = gapTable([only(runs).cell], 'runtime');
    const column = (name: string) => table.rows[0]?.[table.columns.findIndex((known) => known.name === name)];
    expect([column('p95'), column('p99')]).toEqual([18, null]);
  });

  test('the run that stands for all is that of the median', () => {
    const { system } = only([run('leasehold', 900), run('leasehold', 90), run('leasehold', 100)]);
    expect(typicalRun(system)?.gapMs).toBe(100);
  });

  test('the three longest steps of an operation are ranked by their medians', () => {
    const operation = (ms: number[]) => ({
      kind: 'switchover' as const,
      ms: 100,
      steps: ['initiated', 'waiting', 'demoting', 'promoting'].map((name, at) => ({ name, ms: ms[at] ?? 0 })),
      actions: [],
    });
    const history = { operations: [operation([10, 40, 30, 20])], events: [] };
    const { cell } = only([run('leasehold', 90, { history })]);
    const steps = stepTable([cell])?.rows.filter((row) => row[3] === 'step');
    expect(steps?.map((row) => [row[4], row.at(-1)])).toEqual([
      ['initiated', null],
      ['waiting', 1],
      ['demoting', 2],
      ['promoting', 3],
    ]);
  });
});
