/** The tables of the scale suite, and what stopped each step. Pure. */
import { readNodesEveryMs } from '../../agent/node-directory.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import type { CellValue, Table } from '../report/bench-result.ts';
import type { StepFigures } from './run-step.ts';

/** What DynamoDB allows, as its documentation has it; per partition, and so per item, whatever the table's mode. */
export const dynamoDbLimits = {
  partitionReadUnits: 3_000,
  partitionWriteUnits: 1_000,
  /** A new on-demand table serves so much at once, and twice its former peak from then on. */
  newTableReadUnits: 12_000,
  newTableWriteUnits: 4_000,
  /** Default quota of an on-demand table; more on request. */
  tableReadUnits: 40_000,
  tableWriteUnits: 40_000,
} as const;

/** One thread that is busy for so much of the time answers later and later. */
const busyCpu = 0.85;
/** Requests of agents come by the clock: with fewer than this share of them the step is over its limit. */
const leastShare = 0.9;
const agentsPerCluster = 4;

/**
 * How many requests a second the agents of one cluster make when nothing holds them up: a renewal a heartbeat; a read a heartbeat of two
 * standbys and a proxy, and every fourth of the holder; the directory's two queries and a report of each of the four.
 */
export function dueRate(heartbeatMs: number): number {
  const beats = 1_000 / heartbeatMs;
  return (
    beats * (1 + 3 + 1 / 4) + agentsPerCluster * (2_000 / readNodesEveryMs.quiet + 1_000 / reportPaceMs.quiet)
  );
}

/** What held this step up, in words; `nothing` where all requests were made in time. */
export function limitOf(step: StepFigures, due: number): string {
  const { outcomes, deadlines, overdue, clusters, requestsPerSecond } = step;
  const late = deadlines.missed + deadlines.unready + overdue > 0;
  const short = requestsPerSecond < leastShare * due * clusters;
  if (!late && !short && outcomes.failed === 0 && outcomes.throttled === 0) return 'nothing';
  if (outcomes.throttled > 0) return 'the table throttles';
  if (step.endpointCpu !== null && step.endpointCpu >= busyCpu)
    return 'the stand-in, whose one thread is busy';
  if (step.agentsCpu >= busyCpu) return 'the process that plays the agents';
  return 'this machine, on which others work too';
}

/** The most clusters of a step that nothing held up; null: not even the smallest. */
export function mostUnhindered(steps: readonly StepFigures[], due: number): number | null {
  const fine = steps.filter((step) => limitOf(step, due) === 'nothing').map(({ clusters }) => clusters);
  return fine.length === 0 ? null : Math.max(...fine);
}

/** `due`: requests a second of one cluster. */
export function stepTable(steps: readonly StepFigures[], due: number, where: string): Table {
  return {
    title: 'Many clusters against one table',
    explanation:
      `Each of 3 nodes and a proxy, whose agents renew, watch, report and read as the real ones do, without PostgreSQL; ${where}. Latency is what an agent waits, its own process's ` +
      'queue included. Late: acknowledged after 60 % of the ttl; missed: after the deadline, or overdue at the end: there a real primary would have stopped.',
    columns: [
      { name: 'clusters' },
      { name: 'agents' },
      { name: 'requests', unit: '/s' },
      { name: 'of those due', unit: '%' },
      { name: 'refused' },
      { name: 'throttled' },
      { name: 'failed' },
      { name: 'renewal p50', unit: 'ms' },
      { name: 'renewal p99', unit: 'ms' },
      { name: 'renewal max', unit: 'ms' },
      { name: 'read p50', unit: 'ms' },
      { name: 'read p99', unit: 'ms' },
      { name: 'renewals' },
      { name: 'late' },
      { name: 'missed' },
      { name: 'endpoint', unit: 'cores' },
      { name: 'agents', unit: 'cores' },
      { name: 'held up by' },
    ],
    rows: steps.map((step) => stepRow(step, due)),
  };
}

function stepRow(step: StepFigures, due: number): CellValue[] {
  const { clusters, outcomes, deadlines, latencyMs } = step;
  const renewal = latencyMs['write of the lease'];
  const read = latencyMs['read of lease and record'];
  return [
    clusters,
    clusters * agentsPerCluster,
    rounded(step.requestsPerSecond, 0),
    rounded((100 * step.requestsPerSecond) / (due * clusters), 0),
    outcomes.refused,
    outcomes.throttled,
    outcomes.failed,
    ...[renewal.p50, renewal.p99, renewal.most, read.p50, read.p99].map((ms) => rounded(ms, 1)),
    deadlines.renewals,
    deadlines.unready,
    deadlines.missed + step.overdue,
    rounded(step.endpointCpu, 2),
    rounded(step.agentsCpu, 2),
    limitOf(step, due),
  ];
}

/** What the documented limits mean for such clusters; null where units were not counted. */
export function limitsTable(step: StepFigures): Table | null {
  if (step.units === null) return null;
  const read = step.units.read / step.clusters;
  const write = step.units.write / step.clusters;
  const row = (what: string, readUnits: number, writeUnits: number) => [
    what,
    readUnits,
    writeUnits,
    Math.floor(Math.min(readUnits / read, writeUnits / write)),
  ];
  const { partitionReadUnits, partitionWriteUnits, newTableReadUnits, newTableWriteUnits } = dynamoDbLimits;
  return {
    title: "DynamoDB's own limits",
    explanation:
      `One cluster consumes ${rounded(read, 2)} read units and ${rounded(write, 2)} write units a second here. Its lease and record share a partition key, its reports have others: no cluster comes near what one ` +
      'partition serves, and clusters do not share keys, so that a table grows by more partitions. Limits as documented, not tried.',
    columns: [
      { name: 'limit' },
      { name: 'read units', unit: '/s' },
      { name: 'write units', unit: '/s' },
      { name: 'so many such clusters' },
    ],
    rows: [
      row('one partition, were all clusters in it', partitionReadUnits, partitionWriteUnits),
      row('a new on-demand table, at once', newTableReadUnits, newTableWriteUnits),
      row('default quota of a table', dynamoDbLimits.tableReadUnits, dynamoDbLimits.tableWriteUnits),
    ],
  };
}

function rounded<Value extends number | null>(value: Value, digits: number): number | Value {
  return value === null ? value : Number(value.toFixed(digits));
}
