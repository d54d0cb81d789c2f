/** What clusters cost a month and an operation costs once, from what was counted. */
import { describe, expect, it } from 'vitest';
import {
  alarmsPerCluster,
  atRest,
  metricsPerCluster,
  monthlyCost,
  ratesOf,
  sumOf,
} from '../../../bench/cost/monthly-cost.ts';
import { operationCost } from '../../../bench/cost/operation-cost.ts';
import { prices } from '../../../bench/cost/prices.ts';
import { type HealthFigures, healthMetrics, worthSending } from '../../../core/health/cluster-metrics.ts';
import { noUsage, type UsageLine } from '../../../local/aws/usage-meter.ts';

const hour = 3_600;
const secondsPerMonth = 730 * hour;

const line = (fields: Partial<UsageLine>): UsageLine => ({
  service: 'dynamodb',
  operation: 'UpdateItem',
  what: 'lease',
  who: 'node1',
  ...noUsage,
  ...fields,
});

const roleOf = (who: string) => (who.startsWith('node') ? ('database agents' as const) : null);

/** One hour: a renewal a second, a read a second of each of two watchers, and sixty runs of the sentinel. */
const seen = [
  line({ requests: hour, writeUnits: hour }),
  line({ operation: 'Query', what: 'lease and record', who: 'node2', requests: hour, readUnits: hour }),
  line({ operation: 'Query', what: 'lease and record', who: 'node3', requests: hour, readUnits: hour }),
  line({ operation: 'Query', what: 'lease and record', who: '', requests: 120, readUnits: 120 }),
  line({ operation: 'Query', what: 'lease and record', who: 'bench', requests: 99, readUnits: 99 }),
  line({ service: 'lambda', operation: 'Invoke', what: 'sentinel', who: '', requests: 60, ms: 3_000 }),
];

describe('what clusters at rest cost a month', () => {
  it('counts the requests of agents a second, those of one kind together, and no others', () => {
    const { perCluster, sentinelMs } = atRest(seen, hour, roleOf);
    expect([...perCluster]).toEqual([
      ['database agents: UpdateItem lease', { requests: 1, readUnits: 0, writeUnits: 1 }],
      ['database agents: Query lease and record', { requests: 2, readUnits: 2, writeUnits: 0 }],
    ]);
    expect(sentinelMs).toBe(50);
  });

  it('prices renewals by write units and reads by read units', () => {
    const lines = monthlyCost(atRest(seen, hour, roleOf), 1);
    const usdOf = (item: string) => lines.find((one) => one.item === item)?.usd;
    expect(usdOf('database agents: UpdateItem lease')).toBeCloseTo(
      secondsPerMonth * prices.dynamoDbWriteUnit.usd,
    );
    expect(usdOf('database agents: Query lease and record')).toBeCloseTo(
      2 * secondsPerMonth * prices.dynamoDbReadUnit.usd,
    );
  });

  it('multiplies what each cluster uses, and not what all share', () => {
    const rest = atRest(seen, hour, roleOf);
    const [one, many] = [1, 1_000].map((clusters) => monthlyCost(rest, clusters));
    const usdOf = (lines: typeof one, item: string) => lines?.find((each) => each.item === item)?.usd ?? 0;
    expect(usdOf(many, 'alarms')).toBe(usdOf(one, 'alarms'));
    expect(usdOf(many, 'sentinel: invocations')).toBe(usdOf(one, 'sentinel: invocations'));
    expect(usdOf(many, 'sentinel: reads of each cluster')).toBeCloseTo(
      1_000 * usdOf(one, 'sentinel: reads of each cluster'),
    );
    expect(sumOf(many ?? [])).toBeLessThan(1_000 * sumOf(one ?? []));
  });

  it('has the alarms and metrics of each cluster that the stack has', () => {
    const well = Object.fromEntries(Object.keys(healthMetrics).map((name) => [name, 0])) as HealthFigures;
    for (const watching of ['essential', 'full'] as const) {
      const lines = monthlyCost(atRest(seen, hour, roleOf), 10, watching);
      const perMonth = (item: string) => lines.find((one) => one.item === item)?.perMonth ?? 0;
      expect(metricsPerCluster[watching]).toBe(Object.keys(worthSending(well, watching)).length);
      expect(perMonth('alarms of each cluster')).toBe(10 * alarmsPerCluster[watching]);
      expect(perMonth('metrics of each cluster')).toBe(10 * metricsPerCluster[watching]);
      expect(perMonth('alarms: dashboard')).toBe(watching === 'full' ? 1 : 0);
    }
    // All but `Trouble`, which stands for six of them where each has no alarm of its own.
    expect(alarmsPerCluster.full).toBe(Object.keys(healthMetrics).length - 1);
    expect(alarmsPerCluster.essential).toBe(3);
  });

  it("reads the proxies' reports only where there are proxies", () => {
    const withProxy = [
      ...seen,
      line({ operation: 'PutItem', what: 'proxies', who: 'proxy1', requests: 360 }),
    ];
    const role = (who: string) => (who === 'proxy1' ? ('proxy agents' as const) : roleOf(who));
    const reads = (rest: ReturnType<typeof atRest>) =>
      monthlyCost(rest, 1).find(({ item }) => item === 'sentinel: reads of each cluster')?.perMonth ?? 0;
    const more = reads(atRest(withProxy, hour, role)) - reads(atRest(seen, hour, roleOf));
    expect(more).toBeCloseTo(secondsPerMonth / 60);
  });

  it('lets the sentinel run longer for more clusters, twenty at a time', () => {
    const rest = atRest(seen, hour, roleOf);
    const durationOf = (clusters: number) =>
      monthlyCost(rest, clusters).find(({ item }) => item === 'sentinel: duration')?.perMonth ?? 0;
    const runs = secondsPerMonth / 60;
    expect(durationOf(1)).toBeCloseTo(0.05 * runs);
    expect(durationOf(21)).toBeCloseTo((0.05 + 0.016) * runs);
  });

  it('says how many requests a second arrive, the sentinel among them', () => {
    const { requests, readUnits, writeUnits } = ratesOf(atRest(seen, hour, roleOf), 60);
    expect([requests, readUnits, writeUnits]).toEqual([182, 122, 60]);
  });
});

describe('what an operation asks of AWS', () => {
  const rest = atRest(seen, hour, roleOf);
  const counts = (who: string) => who !== 'bench';

  it('is what is asked for beyond rest in the same time', () => {
    const during = [line({ requests: 30, writeUnits: 35 }), line({ who: 'bench', requests: 500 })];
    const cost = operationCost(during, 10, rest, counts);
    // At rest 3 requests and 1 write unit a second.
    expect(cost.requests).toBe(0);
    expect(cost.writeUnits).toBe(25);
  });

  it('counts each state that is entered, and each retry of a task, as a transition', () => {
    const states = (operation: string, requests: number) =>
      line({ service: 'states', operation, what: '', who: '', requests });
    const lines = [
      states('TaskStateEntered', 5),
      states('ChoiceStateEntered', 2),
      states('TaskScheduled', 7),
      states('DescribeExecution', 40),
    ];
    const cost = operationCost(lines, 1, rest, counts);
    expect(cost.stateTransitions).toBe(9);
    expect(cost.usd).toBeCloseTo(9 * prices.stateTransition.usd);
  });

  it('leaves the sentinel out, whose schedule knows of no operation, and counts commands only as they are sent', () => {
    const lines = [
      line({ service: 'lambda', operation: 'Invoke', what: 'sentinel', who: '', requests: 1, gbSeconds: 1 }),
      line({ service: 'lambda', operation: 'Invoke', what: 'begin', who: '', requests: 1, gbSeconds: 2 }),
      line({ service: 'ssm', operation: 'SendCommand', what: '', who: '', requests: 4 }),
      line({ service: 'ssm', operation: 'GetCommandInvocation', what: '', who: '', requests: 9 }),
      line({ service: 'ec2', operation: 'DescribeInstances', what: '', who: '', requests: 2 }),
    ];
    const cost = operationCost(lines, 1, rest, counts);
    expect([cost.invocations, cost.gbSeconds, cost.commands, cost.ec2Calls]).toEqual([1, 2, 4, 2]);
  });
});
