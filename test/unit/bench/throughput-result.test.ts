/** What the throughput suite says of its measurements: what pgbench printed, who the bottleneck was, what the agent costs. */
import { describe, expect, it } from 'vitest';
import { agentTable } from '../../../bench/throughput/agent-table.ts';
import { checkClient, judgeAgent } from '../../../bench/throughput/client-check.ts';
import { type Cell, type CellFigures, medianLatencies } from '../../../bench/throughput/measure-cell.ts';
import {
  latencyAt,
  latencyPoints,
  parsePgbenchSummary,
  parseTransactionLog,
} from '../../../bench/throughput/parse-pgbench.ts';
import { throughputResult } from '../../../bench/throughput/throughput-result.ts';
import { kindOf } from '../../../bench/throughput/usage-tables.ts';
import { workloads } from '../../../bench/throughput/workloads.ts';

describe('what pgbench prints', () => {
  const fifteen = `pgbench (15.14 (Debian 15.14-0+deb12u1))
transaction type: <builtin: TPC-B (sort of)>
scaling factor: 10
query mode: simple
number of clients: 8
number of threads: 2
maximum number of tries: 1
duration: 10 s
number of transactions actually processed: 20815
number of failed transactions: 3 (0.014%)
latency average = 3.842 ms
latency stddev = 1.9 ms
initial connection time = 20.124 ms
tps = 2082.351928 (without initial connection time)
`;

  it('is read without the time of connecting', () => {
    expect(parsePgbenchSummary(fifteen)).toEqual({
      transactions: 20_815,
      failed: 3,
      tps: 2082.351928,
      latencyMeanMs: 3.842,
      aborted: false,
    });
  });

  it('is read in the form of version 13, which tells two rates', () => {
    const thirteen = fifteen
      .replace(/^number of failed.*\n/m, '')
      .replace(
        /^tps.*$/m,
        'tps = 2000.0 (including connections establishing)\ntps = 2100.5 (excluding connections establishing)',
      );
    expect(parsePgbenchSummary(thirteen)).toMatchObject({ tps: 2100.5, failed: 0 });
  });

  it('says when a client ended early, and is nothing when none could connect', () => {
    const aborted = `${fifteen}Run was aborted; the above results are incomplete.\n`;
    expect(parsePgbenchSummary(aborted)?.aborted).toBe(true);
    expect(parsePgbenchSummary('pgbench: error: connection to server failed')).toBeNull();
  });
});

describe("pgbench's log of transactions", () => {
  it('holds a latency for each but those that failed or were skipped', () => {
    const log = '0 199 2241 0 1175850568 995598\n0 200 failed 0 1 2\n1 5 skipped 0 1 2\n2 1 500 1 1 2 33\n';
    expect(parseTransactionLog(log)).toEqual([2.241, 0.5]);
  });

  it('gives no percentile that only a few transactions lie beyond', () => {
    const points = latencyPoints(Array.from({ length: 500 }, (_, at) => at + 1));
    expect(latencyAt(points, 99)).toBeCloseTo(495.01);
    expect(latencyAt(points, 99.9)).toBeNull();
    expect(latencyAt(points, 100)).toBe(500);
    expect(latencyPoints([])).toEqual([]);
  });

  it('is put together from several runs percentile by percentile', () => {
    const run = (ms: number, more = false) => [
      { percentile: 50, ms },
      ...(more ? [{ percentile: 99.9, ms: 9 }] : []),
    ];
    expect(medianLatencies([run(1), run(3, true), run(2)])).toEqual([{ percentile: 50, ms: 2 }]);
  });
});

describe('the check of the client', () => {
  const machine = { busySeconds: 10, idleSeconds: 10, diskWaitSeconds: 0, stolenSeconds: 0 };

  it('finds the client at fault when its threads had no time left', () => {
    const run = { clientCpuSeconds: 16.5, threads: 2, seconds: 10, machine };
    expect(checkClient(run)).toEqual({ clientBusy: 0.825, machineBusy: 0.5, bottleneck: 'client' });
    expect(checkClient({ ...run, clientCpuSeconds: 15 }).bottleneck).toBe('none');
  });

  it('finds the machine full when no core was idle, time that was stolen included', () => {
    const full = { busySeconds: 17, idleSeconds: 0.5, diskWaitSeconds: 0, stolenSeconds: 2.5 };
    expect(checkClient({ clientCpuSeconds: 4, threads: 2, seconds: 10, machine: full })).toMatchObject({
      machineBusy: 0.975,
      bottleneck: 'machine',
    });
  });
});

function figures(rate: number, more: Partial<CellFigures> = {}): CellFigures {
  return {
    rate,
    seconds: 10,
    failedTransactions: 0,
    latencyMeanMs: 4,
    latencies: [
      { percentile: 95, ms: 7 },
      { percentile: 99, ms: 9 },
    ],
    check: { clientBusy: 0.2, machineBusy: 0.5, bottleneck: 'none' },
    databaseShare: 0.75,
    primary: 'node1',
    usageSeconds: 10.2,
    groups: [],
    ...more,
  };
}

function cell(path: string, run: number, outcome: number | string, more: Partial<Cell> = {}): Cell {
  const name = {
    mode: 'off',
    condition: 'with-agent',
    run,
    workload: 'tpcb',
    unit: 'transactions/s',
    path,
    clients: 8,
  } as const;
  const came =
    typeof outcome === 'number'
      ? { outcome: 'measured' as const, figures: figures(outcome) }
      : { outcome: 'failed' as const, reason: outcome };
  return { ...name, ...came, ...more } as Cell;
}

describe('the verdict on the agent', () => {
  it('is by the median, and sure only where three pairs of runs or more agree', () => {
    expect(judgeAgent([0.985, 0.99, 1.01])).toEqual({ verdict: 'met', agreement: 'yes' });
    expect(judgeAgent([0.95, 0.99, 1.01])).toEqual({
      verdict: 'met',
      agreement: 'no: noise is larger than the difference',
    });
    expect(judgeAgent([0.88, 0.9, 0.97])).toEqual({ verdict: 'not met', agreement: 'yes' });
    expect(judgeAgent([1.2, 1.2])).toEqual({ verdict: 'met', agreement: 'no: too few runs' });
    expect(judgeAgent([])).toBeNull();
  });

  it('compares the two of one run, and leaves out a run that lacks one', () => {
    const without = { condition: 'without-agent' } as const;
    const { rows } = agentTable([
      cell('direct', 1, 990),
      cell('direct', 1, 1000, without),
      cell('direct', 2, 'lost its primary'),
      cell('direct', 2, 500, without),
      cell('both', 1, 1),
    ]);
    expect(rows).toEqual([['off', 'tpcb', 8, 990, 750, 0.99, 0.99, 0.99, 'met', 'no: too few runs']]);
  });
});

describe('the result', () => {
  const wanted = {
    workloads: workloads.filter(({ name }) => name === 'tpcb'),
    paths: ['direct', 'both'],
    clients: [8],
    modes: ['off'],
    runs: 3,
    seconds: 10,
    warmUpSeconds: 2,
    scale: 10,
    rate: null,
    sampling: 0.2,
    switches: { indexes: false, foreignKeys: false, explicitTransactions: false },
    withoutAgent: false,
    sharedBuffers: null,
    given: [],
  } as const;
  const facts = {
    version: '15.14',
    sharedBuffersBytes: 2 ** 27,
    fsync: true,
    synchronousCommit: 'on',
    scale: 10,
    dataBytes: 2 ** 28,
  };
  const machine = { processor: 'p', cores: 2, memoryBytes: 1, kernel: 'k', versions: {} };
  const circumstances = { madeAt: '2026-11-25T00:00:00Z', command: 'c', commit: null, machine };
  const resultOf = (cells: readonly Cell[]) =>
    throughputResult({ wanted, cells, facts, notes: [] }, circumstances);
  const cells = [
    cell('direct', 1, 1000),
    cell('both', 1, 800),
    cell('direct', 2, 1100),
    cell('both', 2, 'connection refused'),
    cell('direct', 3, 1200),
    cell('both', 3, 900),
  ];

  it('has a row for each path with its spread, its ratio to the direct one, and runs that failed', () => {
    const [table] = resultOf(cells).tables;
    expect(table?.rows.map((row) => [row[3], ...row.slice(4, 7), row.at(-1)])).toEqual([
      ['direct', 1100, 1000, 1200, '3'],
      ['both', 850, 800, 900, 'failed: 1 of 3'],
    ]);
    expect(table?.rows[1]?.[8]).toBeCloseTo(850 / 1100);
    for (const row of table?.rows ?? []) expect(row).toHaveLength(table?.columns.length ?? 0);
  });

  it('marks a row whose client was the bottleneck in a single run, and says so in words', () => {
    const bound = figures(5, { check: { clientBusy: 0.9, machineBusy: 0.6, bottleneck: 'client' } });
    const result = resultOf([...cells, { ...cell('both', 4, 1), outcome: 'measured', figures: bound }]);
    expect(result.tables[0]?.rows[1]?.at(-2)).toBe('the client');
    expect(result.notes.join(' ')).toMatch(/In 1 rows the client was the bottleneck/);
    expect(result.notes.join(' ')).toMatch(/Failed: tpcb by both, run 2: connection refused/);
  });

  it('has nulls, not zeros, where nothing was measured', () => {
    const [table] = resultOf([cell('direct', 1, 'no server'), cell('both', 1, 900)]).tables;
    expect(table?.rows[0]?.slice(4, 7)).toEqual([null, null, null]);
    expect(table?.rows[1]?.[8]).toBeNull();
  });

  it('has a plot of bars with the spread, and one of the latencies', () => {
    expect(resultOf(cells).plots).toEqual([
      expect.objectContaining({ kind: 'bars', groups: ['8 clients'] }),
      expect.objectContaining({ kind: 'percentiles' }),
    ]);
  });

  it('tells processes by kind: servers by who was primary, the rest by name', () => {
    const kinds = ['postgres node1', 'postgres node2', 'agent proxy1', 'pgbouncer bench', 'client', 'x y'];
    expect(kinds.map((group) => kindOf(group, 'node1'))).toEqual([
      'primary',
      'standbys',
      'agents',
      'pgbouncer',
      'client',
      null,
    ]);
  });
});
