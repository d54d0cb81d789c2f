/**
 * What clusters at rest cost a month, from what one of them was seen to use: what each cluster uses again and again, and what all clusters
 * of an account and region share. Pure.
 */
import type { Watching } from '../../core/health/cluster-metrics.ts';
import type { UsageLine } from '../../local/aws/usage-meter.ts';
import { type PriceName, prices } from './prices.ts';

export const hoursPerMonth = 730;
const secondsPerMonth = hoursPerMonth * 3_600;

/** One position of a bill. */
export interface CostLine {
  readonly item: string;
  readonly perMonth: number;
  readonly price: PriceName;
  readonly usd: number;
}

/** Requests, and units of capacity, a second. */
export interface TableRates {
  readonly requests: number;
  readonly readUnits: number;
  readonly writeUnits: number;
}

export interface AtRest {
  /** By what is asked of the table and by which role: `agents: lease`. */
  readonly perCluster: ReadonlyMap<string, TableRates>;
  /** How long one run of the sentinel took for this one cluster, in ms of Lambda; null: none was seen. */
  readonly sentinelMs: number | null;
  /** The same of the function that signs certificates, while no host asks for one. */
  readonly certifyMs: number | null;
}

const sentinelRunsPerMonth = secondsPerMonth / 60;
/** Of the sentinel, when all is well: record and lease, the nodes' reports, and those of proxies where there are any. */
const sentinelReads = { withProxies: 3, without: 2 } as const;
/** One after the other: the reports are read at the same time. */
const sentinelTrips = 2;
/** As `lambdas/sentinel.ts` has it: so many clusters at a time. */
const sentinelConcurrency = 20;
/** A warm read of DynamoDB from a function, taken as the upper end of what is published for single items. */
const readFromFunctionMs = 8;
const functionGb = 1;
/** One record and lease, reports and some hundred events of half a KB. */
const storedGbPerCluster = 100e-6;
/** Failing sentinel, failing certificates, failed operation, waiting rotation; the stack has one of each however many clusters there are. */
export const sharedAlarms = 4;
/** As `infra/cluster-alarms.ts` has them: what is watched unless more is asked for, and then. */
export const alarmsPerCluster = { essential: 3, full: 8 } as const;
/** What is sent even when it is 0; other metrics are billed for the hours in which something is wrong. */
export const metricsPerCluster = { essential: 0, full: 2 } as const;
/** Log lines of one run: start, end, report, and one of our own; and one of figures for each cluster. */
const sentinelLogBytes = 800;
const figuresLogBytes = 350;

/** `lines`: what the meter counted within `seconds` of rest; `hosts`: the ids of the cluster's hosts, by role. */
export function atRest(
  lines: readonly UsageLine[],
  seconds: number,
  roleOf: (who: string) => 'database agents' | 'proxy agents' | null,
): AtRest {
  const perCluster = new Map<string, TableRates>();
  for (const line of lines) {
    const role = roleOf(line.who);
    if (line.service !== 'dynamodb' || role === null) continue;
    const name = `${role}: ${line.operation} ${line.what}`;
    const sum = perCluster.get(name) ?? { requests: 0, readUnits: 0, writeUnits: 0 };
    perCluster.set(name, {
      requests: sum.requests + line.requests / seconds,
      readUnits: sum.readUnits + line.readUnits / seconds,
      writeUnits: sum.writeUnits + line.writeUnits / seconds,
    });
  }
  return { perCluster, sentinelMs: msOfOneRun(lines, 'sentinel'), certifyMs: msOfOneRun(lines, 'certify') };
}

function msOfOneRun(lines: readonly UsageLine[], name: string): number | null {
  const runs = lines.filter(({ service, what }) => service === 'lambda' && what === name);
  const invocations = total(runs.map(({ requests }) => requests));
  return invocations === 0 ? null : total(runs.map(({ ms }) => ms)) / invocations;
}

/** All positions for that many clusters of the measured kind, in one account and region. */
export function monthlyCost(rest: AtRest, clusters: number, watching: Watching = 'essential'): CostLine[] {
  const rates = [...rest.perCluster].flatMap(([name, { readUnits, writeUnits }]) => [
    line(name, writeUnits * secondsPerMonth * clusters, 'dynamoDbWriteUnit'),
    line(name, readUnits * secondsPerMonth * clusters, 'dynamoDbReadUnit'),
  ]);
  return [
    ...rates,
    ...sentinelCost(rest, clusters),
    ...certifyCost(rest),
    ...watchingCost(clusters, watching),
    ...tableCost(clusters),
  ].filter(({ usd }) => usd > 0);
}

function sentinelCost(rest: AtRest, clusters: number): CostLine[] {
  const moreMs = ((clusters - 1) / sentinelConcurrency) * sentinelTrips * readFromFunctionMs;
  const gbSeconds = (((rest.sentinelMs ?? 0) + moreMs) / 1_000) * functionGb * sentinelRunsPerMonth;
  const units = (sentinelReadsOf(rest) + indexUnits(1)) * clusters * sentinelRunsPerMonth;
  return [
    line('sentinel: reads of each cluster', units, 'dynamoDbReadUnit'),
    line('sentinel: invocations', sentinelRunsPerMonth, 'lambdaRequest'),
    line('sentinel: duration', gbSeconds, 'lambdaGbSecond'),
    line(
      'sentinel: logs',
      ((sentinelLogBytes + figuresLogBytes * clusters) * sentinelRunsPerMonth) / 1e9,
      'logGb',
    ),
  ];
}

/** Each minute too; what it reads of the table, the index of clusters, is as little as the sentinel's. */
function certifyCost(rest: AtRest): CostLine[] {
  const gbSeconds = ((rest.certifyMs ?? 0) / 1_000) * functionGb * sentinelRunsPerMonth;
  return [
    line('certificates: invocations', sentinelRunsPerMonth, 'lambdaRequest'),
    line('certificates: duration', gbSeconds, 'lambdaGbSecond'),
    line('certificates: logs', (sentinelLogBytes * sentinelRunsPerMonth) / 1e9, 'logGb'),
  ];
}

function sentinelReadsOf({ perCluster }: AtRest): number {
  const proxies = [...perCluster.keys()].some((name) => name.startsWith('proxy agents'));
  return proxies ? sentinelReads.withProxies : sentinelReads.without;
}

/** Keys of about 80 bytes, 4 KB a unit, half for an index that is read eventually consistent. */
function indexUnits(clusters: number): number {
  return (clusters * 80) / 4_096 / 2;
}

function watchingCost(clusters: number, watching: Watching): CostLine[] {
  const once = watching === 'full' ? 1 : 0;
  return [
    line('alarms', sharedAlarms, 'alarmMonth'),
    line('alarms: dashboard', once, 'dashboardMonth'),
    line('alarms: key of their topic', once, 'keyMonth'),
    line('alarms of each cluster', alarmsPerCluster[watching] * clusters, 'alarmMonth'),
    line('metrics of each cluster', metricsPerCluster[watching] * clusters, 'customMetricMonth'),
  ];
}

function tableCost(clusters: number): CostLine[] {
  return [
    line('table: storage', storedGbPerCluster * clusters, 'dynamoDbStorageGbMonth'),
    line('table: point-in-time recovery', storedGbPerCluster * clusters, 'dynamoDbBackupGbMonth'),
  ];
}

/** The sum in USD. */
export function sumOf(lines: readonly CostLine[]): number {
  return total(lines.map(({ usd }) => usd));
}

/** All requests of the clusters together, the sentinel's included, a second. */
export function ratesOf(rest: AtRest, clusters: number): TableRates {
  const sum = (name: keyof TableRates) => total([...rest.perCluster.values()].map((rates) => rates[name]));
  const sentinel = sentinelReadsOf(rest) / 60;
  return {
    requests: (sum('requests') + sentinel) * clusters,
    readUnits: (sum('readUnits') + sentinel) * clusters,
    writeUnits: sum('writeUnits') * clusters,
  };
}

function line(item: string, perMonth: number, price: PriceName): CostLine {
  return { item, perMonth, price, usd: perMonth * prices[price].usd };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
