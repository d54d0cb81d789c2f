/** The tables of the cost suite, from what was measured. Pure. */
import type { UsageLine } from '../../local/aws/usage-meter.ts';
import type { Table } from '../report/bench-result.ts';
import type { ClusterUse, Window } from './measure-cluster.ts';
import { type AtRest, atRest, type CostLine, monthlyCost, ratesOf, sumOf } from './monthly-cost.ts';
import { type OperationCost, operationCost } from './operation-cost.ts';
import { type PriceName, prices, pricesAsOf, pricesRegion } from './prices.ts';

/** The design's: agent and guard of a node at rest; the control plane of three nodes with a heartbeat of a second. */
export const budgets = { rssMiB: 80, rssAimMiB: 60, cpuSecondsAMinute: 0.3, usdAMonth: 3 } as const;
/** The heartbeat for which the last one is stated. */
const budgetHeartbeatMs = 1_000;
const clusterCounts = [1, 10, 100, 1_000, 10_000];
const mebibyte = 1024 ** 2;
/** How the bench's own requests to AWS are named. */
export const benchName = 'bench';

/** Roles by the id that a host's requests carry. */
export function roleIn(use: Pick<ClusterUse, 'nodes' | 'proxies'>) {
  return (who: string): 'database agents' | 'proxy agents' | null => {
    if (use.nodes.includes(who)) return 'database agents';
    return use.proxies.includes(who) ? 'proxy agents' : null;
  };
}

export function restOf(use: ClusterUse, options: { readonly proxies: boolean }): AtRest {
  const roleOf = roleIn(options.proxies ? use : { nodes: use.nodes, proxies: [] });
  return atRest(use.idle.aws, use.idle.seconds, roleOf);
}

/** Agent, guard and Run Command's worker of each host. */
export function processTable(uses: readonly ClusterUse[]): Table {
  const rows = uses.flatMap((use) =>
    (['idle', 'loaded'] as const).flatMap((name) => processRows(use, name, use[name])),
  );
  return {
    title: 'Agents and guards: CPU time and memory',
    explanation:
      `Of one host, from /proc. CPU seconds a minute hold the programs that an agent starts (its disk probe). Budget for agent and guard together at rest: at most ` +
      `${budgets.cpuSecondsAMinute} CPU seconds a minute and ${budgets.rssMiB} MiB RSS (aim ${budgets.rssAimMiB}). PSS divides what processes share: the program text of Node is counted ` +
      'once over all agents of this machine, so on a host of its own an agent has its RSS.',
    columns: [
      { name: 'heartbeat', unit: 'ms' },
      { name: 'state' },
      { name: 'host' },
      { name: 'process' },
      { name: 'CPU', unit: 's/min' },
      { name: 'RSS', unit: 'MiB' },
      { name: 'PSS', unit: 'MiB' },
      { name: 'budget' },
    ],
    rows,
  };
}

function processRows(use: ClusterUse, state: 'idle' | 'loaded', window: Window): Table['rows'] {
  const { groups, seconds } = window.processes;
  const named = new Map(groups.map((group) => [group.group, group]));
  return [...use.nodes, ...use.proxies].flatMap((host) => {
    const parts = ['agent', 'guard'].flatMap((part) => {
      const group = named.get(`${part} ${host}`);
      if (group === undefined) return [];
      const cpu = (group.cpuSeconds / seconds) * 60;
      return [{ part, cpu, rss: mib(group.rssBytes?.median), pss: mib(group.pssBytes?.median) }];
    });
    const role = host === use.primary ? ' (primary)' : use.proxies.includes(host) ? ' (proxy)' : '';
    const judged = state === 'idle' && role !== ' (proxy)';
    const verdict = judged ? verdictOf(parts) : null;
    return parts.map(({ part, cpu, rss, pss }) => [
      use.times.heartbeatMs,
      state,
      `${host}${role}`,
      part,
      rounded(cpu, 2),
      rss,
      pss,
      part === 'agent' ? verdict : null,
    ]);
  });
}

/** Of agent and guard of one host together. Null where a figure is missing. */
export function verdictOf(
  parts: readonly { readonly cpu: number; readonly rss: number | null }[],
): string | null {
  if (parts.length === 0 || parts.some(({ rss }) => rss === null)) return null;
  const cpu = parts.reduce((sum, part) => sum + part.cpu, 0);
  const rss = parts.reduce((sum, part) => sum + (part.rss ?? 0), 0);
  const over = [
    ...(cpu > budgets.cpuSecondsAMinute ? ['CPU'] : []),
    ...(rss > budgets.rssMiB ? ['RSS'] : []),
  ];
  return over.length === 0 ? 'met' : `not met: ${over.join(', ')}`;
}

/** Requests of the table by operation, items and role, an hour. */
export function requestTable(uses: readonly ClusterUse[]): Table {
  const rows = uses.flatMap((use) =>
    (['idle', 'loaded'] as const).flatMap((state) => {
      const { aws, seconds } = use[state];
      const perHour = (value: number) => Math.round((value / seconds) * 3_600);
      return byRole(aws, roleOrFunctions(use)).map((line) => [
        use.times.heartbeatMs,
        state,
        line.role,
        line.operation,
        line.what,
        perHour(line.requests),
        perHour(line.refused),
        perHour(line.readUnits),
        perHour(line.writeUnits),
      ]);
    }),
  );
  return {
    title: 'DynamoDB: requests and units an hour',
    explanation:
      "Counted at the embedded endpoint by the service's own ReturnConsumedCapacity. `functions` are the sentinel's reads, once a minute. A refused " +
      'write counts as one unit. The bench itself is left out.',
    columns: [
      { name: 'heartbeat', unit: 'ms' },
      { name: 'state' },
      { name: 'by' },
      { name: 'operation' },
      { name: 'of' },
      { name: 'requests', unit: '/h' },
      { name: 'refused', unit: '/h' },
      { name: 'read units', unit: '/h' },
      { name: 'write units', unit: '/h' },
    ],
    rows,
  };
}

/** What is neither a host's nor the bench's own. */
function roleOrFunctions(use: ClusterUse) {
  const roleOf = roleIn(use);
  return (who: string) => roleOf(who) ?? (who === benchName ? null : 'functions');
}

function byRole(lines: readonly UsageLine[], roleOf: (who: string) => string | null) {
  const table = lines.flatMap((line) => {
    const role = line.service === 'dynamodb' ? roleOf(line.who) : null;
    return role === null ? [] : [{ ...line, role }];
  });
  const groups = Map.groupBy(table, ({ role, operation, what }) => `${role}|${operation}|${what}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const sum = (name: 'requests' | 'refused' | 'readUnits' | 'writeUnits') =>
      group.reduce((all, line) => all + line[name], 0);
    return [
      {
        ...first,
        requests: sum('requests'),
        refused: sum('refused'),
        readUnits: sum('readUnits'),
        writeUnits: sum('writeUnits'),
      },
    ];
  });
}

export function operationTable(uses: readonly ClusterUse[]): Table {
  const rows = uses.flatMap((use) => {
    const roleOf = roleOrFunctions(use);
    return use.operations.map((operation) => {
      const start = [use.times.heartbeatMs, operation.scenario];
      if (operation.failure !== null) return [...start, ...Array<null>(figureCount).fill(null)];
      const counts = (who: string) => roleOf(who) !== null;
      return [
        ...start,
        ...figuresOf(operationCost(operation.aws, operation.seconds, restOf(use, { proxies: true }), counts)),
      ];
    });
  });
  return {
    title: 'What one operation asks of AWS',
    explanation:
      'From the ask or the blow until every node streams again, less what the cluster asks for at rest in the same time. Failed functions and retries are in it. ' +
      'Function time is of this machine, and Lambda bills that of its own.',
    columns: [
      { name: 'heartbeat', unit: 'ms' },
      { name: 'operation' },
      { name: 'DynamoDB requests' },
      { name: 'refused' },
      { name: 'read units' },
      { name: 'write units' },
      { name: 'state transitions' },
      { name: 'function invocations' },
      { name: 'function time', unit: 'GB s' },
      { name: 'SSM commands' },
      { name: 'EC2 calls' },
      { name: 'cost', unit: 'USD' },
    ],
    rows,
  };
}

const figureCount = 10;

function figuresOf(cost: OperationCost): number[] {
  return [
    Math.round(cost.requests),
    cost.refused,
    Math.round(cost.readUnits),
    Math.round(cost.writeUnits),
    cost.stateTransitions,
    cost.invocations,
    rounded(cost.gbSeconds, 1),
    cost.commands,
    cost.ec2Calls,
    rounded(cost.usd, 6),
  ];
}

/** Where one cluster's money goes. */
export function billTable(use: ClusterUse): Table {
  const lines = monthlyCost(restOf(use, { proxies: true }), 1).toSorted((a, b) => b.usd - a.usd);
  const row = ({ item, perMonth, price, usd }: CostLine) => [
    item,
    rounded(perMonth, 3),
    prices[price].unit,
    rounded(usd, 4),
  ];
  return {
    title: `One cluster at rest, heartbeat ${use.times.heartbeatMs} ms: the bill of a month`,
    explanation: `${use.nodes.length} nodes and ${use.proxies.length} proxy; ${pricesRegion}, prices as of ${pricesAsOf}, without free allowances; EC2, EBS and traffic between zones are not in it.`,
    columns: [{ name: 'item' }, { name: 'a month' }, { name: 'of' }, { name: 'cost', unit: 'USD' }],
    rows: [...lines.map(row), ['all', null, '', rounded(sumOf(lines), 2)]],
  };
}

export function clustersTable(uses: readonly ClusterUse[]): Table {
  const rows = uses.flatMap((use) =>
    [false, true].flatMap((proxies) =>
      clusterCounts.map((clusters) => {
        const rest = restOf(use, { proxies });
        const usd = sumOf(monthlyCost(rest, clusters));
        const { requests, readUnits, writeUnits } = ratesOf(rest, clusters);
        const judged = clusters === 1 && use.times.heartbeatMs === budgetHeartbeatMs && !proxies;
        return [
          use.times.heartbeatMs,
          proxies ? use.proxies.length : 0,
          clusters,
          rounded(requests, 1),
          rounded(readUnits, 1),
          rounded(writeUnits, 1),
          rounded(usd, 2),
          rounded(usd / clusters, 3),
          judged ? (usd <= budgets.usdAMonth ? 'met' : 'not met') : null,
        ];
      }),
    ),
  );
  return {
    title: 'From one cluster to ten thousand: requests and cost at rest',
    explanation:
      `Clusters of ${uses[0]?.nodes.length ?? 0} nodes in one table of one account and region: the measured rates of one, times their number, and what all share (the sentinel, the function that signs certificates, four alarms), watched as it is when nothing is said. The ` +
      `sentinel's time grows by 16 ms for every 20 clusters. Budget: ${budgets.usdAMonth} USD a month for the control plane of 3 nodes with a heartbeat of 1 s.`,
    columns: [
      { name: 'heartbeat', unit: 'ms' },
      { name: 'proxies each' },
      { name: 'clusters' },
      { name: 'requests', unit: '/s' },
      { name: 'read units', unit: '/s' },
      { name: 'write units', unit: '/s' },
      { name: 'cost', unit: 'USD/month' },
      { name: 'each', unit: 'USD/month' },
      { name: 'budget' },
    ],
    rows,
  };
}

export function priceTable(): Table {
  return {
    title: `Prices, ${pricesRegion}, ${pricesAsOf}`,
    explanation:
      'Without free allowances. `recalled`: from memory, to be checked on that page; `read elsewhere`: as other publications of 2025 quote that page.',
    columns: [{ name: 'what' }, { name: 'price', unit: 'USD' }, { name: 'source' }, { name: 'page' }],
    rows: (Object.keys(prices) as PriceName[]).map((name) => {
      const { unit, usd, source, page } = prices[name];
      return [unit, usd, source, page];
    }),
  };
}

function mib(bytes: number | undefined): number | null {
  return bytes === undefined ? null : rounded(bytes / mebibyte, 1);
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
