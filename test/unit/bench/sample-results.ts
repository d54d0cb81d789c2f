/** Results as suites hand them over: long names, figures that are missing, a run that failed, text that would be markup. Invented figures. */
import type {
  BenchResult,
  MachineFacts,
  PercentilePlot,
  TimelinePlot,
} from '../../../bench/report/bench-result.ts';

const machine: MachineFacts = {
  processor: 'AMD EPYC 7B13 64-Core Processor',
  cores: 2,
  memoryBytes: 8_323_325_952,
  kernel: '6.1.0-28-cloud-amd64',
  versions: {
    node: '24.21.0',
    postgres: '15.14',
    haproxy: '2.6.12',
    pgbouncer: '1.18.0',
    patroni: '3.0.2',
    etcd: '3.4.23',
    pg_auto_failover: '2.0',
  },
};

const systems = [
  { name: 'leasehold', gaps: [118, 2_310, 402], errors: 0 },
  { name: 'patroni, defaults', gaps: [6_204, 30_117, 8_391], errors: 213 },
  {
    name: 'patroni, tuned below its documented minimum (ttl 5, loop_wait 1, retry_timeout 2)',
    gaps: [2_088, 5_311, 1_507],
    errors: 3,
  },
  { name: 'pg_auto_failover, defaults', gaps: [6_190, 57_020, null], errors: 559 },
  { name: 'pg_auto_failover, tuned', gaps: [1_902, 9_014, 1_049], errors: 3 },
] as const;

const scenarios = ['switchover', 'host-killed', 'postgres-killed'] as const;
const budgets = [150, 2_500, 400] as const;

/** As a suite would plot it: writes every 20 ms, none in the gap, more than usual after it. */
export function timelineOf(binMs: number): TimelinePlot {
  return {
    kind: 'timeline',
    title: 'Acknowledged writes around a switchover',
    binMs,
    series: systems.slice(0, 3).map(({ name, gaps }, at) => ({
      name,
      startMs: -1_500 + at * 7,
      counts: Array.from({ length: Math.round(8_000 / binMs) }, (_one, bin) => {
        const ms = -1_500 + bin * binMs;
        const [gap] = gaps;
        if (ms >= 0 && ms < gap) return 0;
        if (ms >= gap && ms < gap + 2 * binMs) return Math.round(binMs / 2);
        return Math.round(binMs / 5) + ((bin * 7 + at) % 3) - 1;
      }),
    })),
    marks: [
      { atMs: 0, label: 'switchover asked for' },
      { atMs: 22, label: 'proxies paused (leasehold)' },
      { atMs: 61, label: 'the old primary has stopped and released its lease (leasehold)' },
      { atMs: 118, label: 'first write acknowledged again (leasehold)' },
      { atMs: 2_088, label: 'first write acknowledged again (patroni, tuned)' },
    ],
  };
}

export function percentilesOf(names: readonly string[]): PercentilePlot {
  const levels = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100];
  return {
    kind: 'percentiles',
    title: 'Latency of writes, the event included',
    series: names.map((name, at) => ({
      name,
      points: levels.map((percentile, rank) => ({
        percentile,
        ms: Number((0.9 * (1 + at * 0.15) * 1.9 ** (rank + (rank > 7 ? at * 1.2 : 0))).toFixed(3)),
      })),
    })),
  };
}

export const failoverSample: BenchResult = {
  suite: 'failover',
  madeAt: '2026-11-25T02:14:09.120Z',
  command:
    'npm run bench -- failover --scenarios switchover,host-killed,postgres-killed --peers patroni,pgaf --runs 5 --paths endpoint',
  commit: '9b8c073',
  machine,
  settings: {
    rate: 200,
    clients: 4,
    runs: 5,
    'store away ms': 20_000,
    hosts: 'loopback',
    'leasehold ttl': '2 s',
    'leasehold heartbeat': '0.5 s',
    'patroni, defaults': 'ttl 30, loop_wait 10, retry_timeout 10',
    'synchronous commits wait': false,
  },
  tables: [
    {
      title: 'Longest gap',
      explanation:
        'The longest time without any acknowledged write, over all clients: one row a scenario and system. The median of `--runs` runs.',
      columns: [
        { name: 'scenario' },
        { name: 'mode' },
        { name: 'path' },
        { name: 'system' },
        { name: 'median gap', unit: 'ms' },
        { name: 'lowest', unit: 'ms' },
        { name: 'highest', unit: 'ms' },
        { name: 'errors' },
        { name: 'lost' },
        { name: 'redundant again', unit: 's' },
        { name: 'budget', unit: 'ms' },
        { name: 'verdict' },
      ],
      rows: scenarios.flatMap((scenario, at) =>
        systems.map(({ name, gaps, errors }) => {
          const gap = gaps[at] ?? null;
          const isOurs = name === 'leasehold';
          const budget = isOurs ? (budgets[at] ?? null) : null;
          return [
            scenario,
            'off',
            'endpoint',
            name,
            gap,
            gap === null ? null : Math.round(gap * 0.93),
            gap === null ? null : Math.round(gap * 1.21),
            gap === null ? null : errors,
            gap === null ? null : 0,
            gap === null ? null : Number((1.31 + at * 2.4).toFixed(2)),
            budget,
            budget === null || gap === null
              ? gap === null
                ? 'failed: 5 of 5 runs: the node did not join again within 60 s'
                : null
              : gap <= budget
                ? 'met'
                : 'not met',
          ];
        }),
      ),
    },
    {
      title: 'Where the milliseconds of a switchover go',
      explanation:
        "Each step's time, from the operation's history; medians of 5 runs. Steps overlap, so they do not add up to the gap.",
      columns: [{ name: 'step' }, { name: 'median', unit: 'ms' }, { name: 'share of the gap', unit: '%' }],
      rows: [
        ['old primary stops', 39.4, 33.4],
        ['promotion until the first write', 26.1, 22.1],
        ['standby replays to the end', 14.25, 12.1],
        ['proxies resume', 0.62, 0.5],
      ],
    },
  ],
  plots: [
    timelineOf(50),
    percentilesOf(['leasehold', 'patroni, defaults', 'pg_auto_failover, defaults']),
    {
      kind: 'bars',
      title: 'Longest gap, by scenario and system',
      unit: 'ms',
      groups: scenarios,
      logarithmic: true,
      series: systems.map(({ name, gaps }) => ({
        name,
        values: gaps.map((gap) =>
          gap === null ? null : { median: gap, low: Math.round(gap * 0.93), high: Math.round(gap * 1.21) },
        ),
      })),
    },
  ],
  notes: [
    '`pg_auto_failover` with defaults did not come back after its postmaster was killed: 5 of 5 runs failed, and count as failed, not as gaps.',
    'Clients are open-loop: each write has its time, and its latency counts from then, whatever the answers before it did.',
  ],
  raw: [{ scenario: 'switchover', gapMs: 118 }],
};

export const throughputSample: BenchResult = {
  suite: 'throughput',
  madeAt: '2026-11-25T02:40:00Z',
  command: 'npm run bench -- throughput --paths direct,haproxy,pgbouncer,both --clients 1,4,16',
  commit: 'c2a484a+changes',
  machine,
  settings: { seconds: 20, runs: 3, scale: 50, indexes: true },
  tables: [
    {
      title: 'Transactions a second',
      explanation:
        'Medians of 3 runs, interleaved. "client" says whether the client may have been the limit.',
      columns: [
        { name: 'workload' },
        { name: 'path' },
        { name: 'median', unit: 'tps' },
        { name: 'p99', unit: 'ms' },
        { name: 'time in the database', unit: '%' },
        { name: 'ratio with the agent to without' },
        { name: 'client' },
      ],
      rows: [
        ['tpcb-like', 'direct', 1_841.7, 9.41, 81.2, 0.9913, 'was not the limit'],
        ['tpcb-like', 'both', 1_402.2, 12.06, 61.7, 0.9744, 'was not the limit'],
        ['select-only', 'direct', 28_110.4, 0.62, null, 1.0021, 'was the limit: pgbench used 0.97 of a core'],
      ],
    },
  ],
  plots: [
    {
      kind: 'bars',
      title: 'Transactions a second, by path',
      unit: 'tps',
      groups: ['tpcb-like', 'select-only', 'payments with jsonb and a description of 8,000 characters'],
      series: ['direct', 'haproxy', 'pgbouncer', 'both'].map((name, at) => ({
        name,
        values: [
          { median: 1_841.7 - at * 130, low: 1_790 - at * 130, high: 1_920.4 - at * 130 },
          at === 3 ? null : { median: 8_110.4 - at * 900, low: 7_800 - at * 900, high: 8_330 - at * 900 },
          { median: 640 - at * 21, low: 640 - at * 21, high: 640 - at * 21 },
        ],
      })),
    },
  ],
  notes: ['A read <b>over</b> HAProxy & PgBouncer | with "quotes".'],
  raw: null,
};

export const costSample: BenchResult = {
  suite: 'cost',
  madeAt: '2026-11-25T02:05:00Z',
  command: 'npm run bench -- cost --seconds 60',
  commit: 'c2a484a',
  machine,
  settings: { seconds: 60, 'prices of': '2026-11-25' },
  tables: [
    {
      title: 'A month, by number of clusters',
      explanation: 'Three nodes each, heartbeat 1 s, ttl 5 s, nothing happens.',
      columns: [
        { name: 'clusters' },
        { name: 'requests', unit: 'a second' },
        { name: 'cost', unit: 'USD a month' },
      ],
      rows: [
        [1, 3.3, 2.42],
        [10, 33, 24.2],
        [100, 330, 242],
        [1_000, 3_300, 2_420],
        [10_000, 33_000, 24_200],
      ],
    },
  ],
  plots: [
    {
      kind: 'bars',
      title: 'Memory of an agent',
      unit: 'MiB',
      groups: ['node1', 'node2', 'node3 (primary)', 'proxy1'],
      series: [
        {
          name: 'RSS',
          values: [80.4, 79.9, 91.2, 61].map((median) => ({ median, low: median - 1, high: median + 3 })),
        },
      ],
    },
  ],
  notes: [],
  raw: {},
};
