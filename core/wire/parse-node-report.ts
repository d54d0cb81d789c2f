/**
 * A database node's report, read from and written to DynamoDB. It may come from an agent that is ill or out of date, so
 * each field is checked before anyone chooses a candidate by it.
 */
import type {
  AgentRelease,
  NodeActivity,
  NodeAddresses,
  NodeHealth,
  NodeReport,
  NodeRole,
  NodeTags,
  PostgresState,
} from '../model/node-report.ts';
import { InvalidInput, readInteger } from './fields.ts';
import {
  boolean,
  count,
  type Item,
  id,
  itemShape,
  listOf,
  lsn,
  nonEmpty,
  nullable,
  number,
  oneOf,
  optional,
  plain,
  positive,
  systemIdentifier,
  text,
} from './item-shape.ts';
import { hostSecretUseShape } from './parse-cluster-secrets.ts';

const roles: readonly NodeRole[] = ['primary', 'standby', 'none'];
const postgresStates: readonly PostgresState[] = [
  'absent',
  'stopped',
  'unreachable',
  'starting_up',
  'query_failed',
  'running',
];
const activities: readonly NodeActivity[] = [
  'none',
  'bootstrapping',
  'cloning',
  'rewinding',
  'rebuilding',
  'refused',
  'waiting',
];

const healths: readonly NodeHealth[] = [
  'ok',
  'disk-full',
  'disk-read-only',
  'disk-frozen',
  'disk-failed',
  'postgres-hung',
];

/** 0: not listening (yet). */
export const portOrNone = plain((value, field) => readInteger(value, field, 0, 65_535));

const sha256 = plain((value, field) => {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw new InvalidInput(field, value, '64 hexadecimal digits');
});

export const agentRelease = optional(itemShape<AgentRelease>({ version: nonEmpty, sha256 }));

const reportShape = itemShape<NodeReport>({
  node: id,
  incarnation: nonEmpty,
  instanceId: nonEmpty,
  seq: count,
  role: oneOf(roles),
  postgres: oneOf(postgresStates),
  activity: oneOf(activities),
  detail: text,
  systemIdentifier: nullable(systemIdentifier),
  timeline: nullable(positive),
  epoch: nullable(positive),
  lsn: nullable(lsn),
  replayLsn: nullable(lsn),
  lagBytes: nullable(number),
  streaming: boolean,
  upstream: nullable(id),
  slots: listOf(text),
  tags: itemShape<NodeTags>({ nofailover: boolean, failoverPriority: number }),
  health: optional(oneOf(healths)),
  diskLow: optional(boolean),
  failsafe: optional(boolean),
  secrets: optional(hostSecretUseShape),
  addresses: itemShape<NodeAddresses>({
    host: nonEmpty,
    port: portOrNone,
    restPort: portOrNone,
    wakePort: portOrNone,
  }),
  version: text,
  agent: agentRelease,
});

/** Throws InvalidInput, naming the attribute as `node_report.<attribute>`. */
export function parseNodeReport(item: unknown): NodeReport {
  return reportShape.read(item, 'node_report');
}

export function nodeReportToItem(report: NodeReport): Item {
  return reportShape.write(report);
}
