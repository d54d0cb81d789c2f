/**
 * The cluster's record, read from and written to DynamoDB. One attribute a field; the last failover is spread over attributes
 * of its own (`last_failover_reason`, ...), so that it can be read in the AWS console.
 */
import {
  type Bootstrap,
  type ClusterRecord,
  type ClusterSpec,
  type CurrentOperation,
  defaultSpec,
  type EpochRecord,
  failoverStates,
  type LastFailover,
  type OperationKind,
  type SynchronousSpec,
} from '../model/cluster-record.ts';
import type { HistoryEntry } from '../model/timeline.ts';
import { readFields } from './fields.ts';
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
  oneOf,
  optional,
  positive,
  systemIdentifier,
  text,
  withDefault,
} from './item-shape.ts';
import { clusterSecretsShape } from './parse-cluster-secrets.ts';
import { fencedHostShape, fencingChoice } from './parse-fencing.ts';
import { synchronousMethods, synchronousModes } from './parse-lease.ts';
import { tlsSpec } from './parse-tls.ts';

export const operationKinds: readonly OperationKind[] = ['switchover', 'failover'];

const historyShape = itemShape<HistoryEntry>({ timeline: positive, switchLsn: lsn, reason: text });

const recordShape = itemShape<Omit<ClusterRecord, 'lastFailover'>>({
  cluster: id,
  uid: nonEmpty,
  version: count,
  spec: itemShape<ClusterSpec>({
    ttlMs: positive,
    heartbeatMs: positive,
    maxNodes: positive,
    sync: itemShape<SynchronousSpec>({
      mode: oneOf(synchronousModes),
      method: withDefault(oneOf(synchronousMethods), 'any'),
      k: count,
    }),
    maxLagBytes: count,
    catchUpTimeoutMs: positive,
    joinTimeoutMs: positive,
    keptDataDirectories: count,
    fencing: withDefault(fencingChoice, { mode: 'stop' }),
    failsafe: withDefault(boolean, defaultSpec.failsafe),
    tls: tlsSpec,
  }),
  members: listOf(id),
  proxies: listOf(id),
  systemIdentifier: nullable(systemIdentifier),
  bootstrap: nullable(
    itemShape<Bootstrap>({ node: id, nonce: nonEmpty, seq: count, adopts: optional(systemIdentifier) }),
  ),
  failoverState: oneOf(failoverStates),
  operation: nullable(
    itemShape<CurrentOperation>({
      id: nonEmpty,
      kind: oneOf(operationKinds),
      executionArn: nullable(nonEmpty),
    }),
  ),
  attempt: count,
  intendedPrimary: nullable(id),
  failoverTargetPrimary: nullable(id),
  epochs: listOf(
    itemShape<EpochRecord>({
      epoch: positive,
      node: id,
      timeline: positive,
      forkLsn: nullable(lsn),
      history: listOf(historyShape),
    }),
  ),
  paused: boolean,
  fencedHosts: withDefault(listOf(fencedHostShape), []),
  secrets: optional(clusterSecretsShape),
});

const lastFailoverShape = itemShape<LastFailover>({
  operation: nonEmpty,
  reason: text,
  time: nonEmpty,
  from: id,
  to: id,
});

const prefix = 'last_failover_';
const lastFailoverAttributes = ['operation', 'reason', 'time', 'from', 'to'];

/** Throws InvalidInput, naming the attribute as `record.<attribute>`. */
export function parseClusterRecord(item: unknown): ClusterRecord {
  const fields = readFields(item, 'record');
  return { ...recordShape.read(fields, 'record'), lastFailover: readLastFailover(fields) };
}

function readLastFailover(fields: Readonly<Record<string, unknown>>): LastFailover | null {
  const operation = fields[`${prefix}operation`];
  if (operation === undefined || operation === null) return null;
  const found = Object.fromEntries(lastFailoverAttributes.map((name) => [name, fields[prefix + name]]));
  return lastFailoverShape.read(found, 'record.last_failover');
}

/** The attributes of a record, or of those fields that an update sets. */
export function clusterRecordToItem(record: Partial<ClusterRecord>): Item {
  const { lastFailover, ...rest } = record;
  const item = recordShape.writePart(rest);
  if (lastFailover === undefined) return item;
  const written = lastFailover === null ? {} : lastFailoverShape.write(lastFailover);
  for (const name of lastFailoverAttributes) item[prefix + name] = written[name] ?? null;
  return item;
}
