/**
 * All that is kept of one cluster in DynamoDB, as typed calls. Operating errors and failed conditions are values; reads are strongly
 * consistent unless a caller says that an older answer will do; an item that is malformed throws `InvalidInput`, naming its attribute. Upholds that every invariant lives in
 * one item: each write here is one conditional call.
 */
import type { LeaseWrite } from '../../core/lease/lease-write.ts';
import type { ClusterEvent } from '../../core/model/cluster-event.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import { clusterRecordToItem, parseClusterRecord } from '../../core/wire/parse-cluster-record.ts';
import { eventToItem, parseEvent } from '../../core/wire/parse-event.ts';
import { parseLease } from '../../core/wire/parse-lease.ts';
import { nodeReportToItem, parseNodeReport } from '../../core/wire/parse-node-report.ts';
import { parseProxyReport, proxyReportToItem } from '../../core/wire/parse-proxy-report.ts';
import { createDrillStore, type DrillStore } from './drill-items.ts';
import { createItemCalls, type DocumentClient, type ItemCalls, type ReadOptions } from './item-calls.ts';
import { leaseUpdate } from './lease-item.ts';
import { createOperationStore, mapOk, type OperationStore } from './operation-items.ts';
import { type RecordChange, recordUpdate } from './record-item.ts';
import type { Answer, CallOptions, Conditional } from './store-answer.ts';

/** Both may be missing: a cluster that is not there, or one without its first primary. */
export interface ClusterHead {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
}

export interface ClusterStore extends OperationStore, DrillStore {
  /** Record and lease. */
  readHead(o?: ReadOptions): Promise<Answer<ClusterHead>>;
  /** The lease after the write. After `unreachable` the write may still land. */
  writeLease(write: LeaseWrite, o?: CallOptions): Promise<Conditional<Lease>>;
  /** Only if there is none. */
  createRecord(record: ClusterRecord, o?: CallOptions): Promise<Conditional<ClusterRecord>>;
  /** Raises the version by one. */
  updateRecord(change: RecordChange, o?: CallOptions): Promise<Conditional<ClusterRecord>>;
  /** Refused when another EC2 instance reports under that node id. */
  putNodeReport(report: NodeReport, o?: CallOptions): Promise<Conditional<void>>;
  putProxyReport(report: ProxyReport, o?: CallOptions): Promise<Conditional<void>>;
  /** Only what was read: refused when the host has said something new since, or another has its name. */
  removeReport(report: NodeReport | ProxyReport, o?: CallOptions): Promise<Conditional<void>>;
  readNodes(o?: ReadOptions): Promise<Answer<readonly NodeReport[]>>;
  readProxies(o?: ReadOptions): Promise<Answer<readonly ProxyReport[]>>;
  putEvent(event: ClusterEvent, o?: CallOptions): Promise<Answer<void>>;
  /** Newest first. */
  listEvents(limit: number, o?: CallOptions): Promise<Answer<readonly ClusterEvent[]>>;
}

export type { ReadOptions };

const eventRetentionSeconds = 90 * 24 * 3600;

export function createClusterStore(deps: {
  client: DocumentClient;
  tableName: string;
  cluster: string;
}): ClusterStore {
  const calls = createItemCalls(deps);
  const pk = `cluster#${deps.cluster}`;
  return {
    ...headCalls(calls, pk),
    ...reportCalls(calls, pk),
    ...eventCalls(calls, `${pk}#events`),
    ...createOperationStore(calls, deps.cluster),
    ...createDrillStore(calls, deps.cluster),
  };
}

function partition(pk: string) {
  return { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': pk } };
}

function headCalls(calls: ItemCalls, pk: string) {
  return {
    async readHead(o: ReadOptions = {}): Promise<Answer<ClusterHead>> {
      return mapOk(await calls.query(partition(pk), o), (items) => {
        const record = items.find(({ sk }) => sk === 'record');
        const lease = items.find(({ sk }) => sk === 'lease');
        return {
          record: record === undefined ? null : parseClusterRecord(record),
          lease: lease === undefined ? null : parseLease(lease),
        };
      });
    },
    async writeLease(write: LeaseWrite, o?: CallOptions): Promise<Conditional<Lease>> {
      return mapOk(await calls.update({ pk, sk: 'lease' }, leaseUpdate(write), o), parseLease);
    },
    async createRecord(record: ClusterRecord, o?: CallOptions): Promise<Conditional<ClusterRecord>> {
      const item = { ...clusterRecordToItem(record), pk, sk: 'record' };
      return mapOk(
        await calls.put(item, { ConditionExpression: 'attribute_not_exists(pk)' }, o),
        () => record,
      );
    },
    async updateRecord(change: RecordChange, o?: CallOptions): Promise<Conditional<ClusterRecord>> {
      return mapOk(await calls.update({ pk, sk: 'record' }, recordUpdate(change), o), parseClusterRecord);
    },
  };
}

function reportCalls(calls: ItemCalls, pk: string) {
  const sameInstance = (instanceId: string) => ({
    ConditionExpression: 'attribute_not_exists(pk) OR instance_id = :instance_id',
    ExpressionAttributeValues: { ':instance_id': instanceId },
  });
  return {
    putNodeReport(report: NodeReport, o?: CallOptions): Promise<Conditional<void>> {
      const item = { ...nodeReportToItem(report), pk: `${pk}#nodes`, sk: report.node };
      return calls.put(item, sameInstance(report.instanceId), o);
    },
    putProxyReport(report: ProxyReport, o?: CallOptions): Promise<Conditional<void>> {
      const item = { ...proxyReportToItem(report), pk: `${pk}#proxies`, sk: report.proxy };
      return calls.put(item, sameInstance(report.instanceId), o);
    },
    removeReport(report: NodeReport | ProxyReport, o?: CallOptions): Promise<Conditional<void>> {
      const [kind, sk] = 'node' in report ? ['nodes', report.node] : ['proxies', report.proxy];
      const condition = {
        ConditionExpression: 'instance_id = :instance_id AND incarnation = :incarnation AND seq = :seq',
        ExpressionAttributeValues: {
          ':instance_id': report.instanceId,
          ':incarnation': report.incarnation,
          ':seq': report.seq,
        },
      };
      return calls.remove({ pk: `${pk}#${kind}`, sk }, condition, o);
    },
    async readNodes(o: ReadOptions = {}): Promise<Answer<readonly NodeReport[]>> {
      return mapOk(await calls.query(partition(`${pk}#nodes`), o), (items) => items.map(parseNodeReport));
    },
    async readProxies(o: ReadOptions = {}): Promise<Answer<readonly ProxyReport[]>> {
      return mapOk(await calls.query(partition(`${pk}#proxies`), o), (items) => items.map(parseProxyReport));
    },
  };
}

function eventCalls(calls: ItemCalls, pk: string) {
  return {
    async putEvent(event: ClusterEvent, o?: CallOptions): Promise<Answer<void>> {
      const expires_at = Math.floor(Date.parse(event.time) / 1000) + eventRetentionSeconds;
      const answer = await calls.put({ ...eventToItem(event), pk, sk: event.id, expires_at }, {}, o);
      if (answer.kind === 'refused') throw new Error('a put without a condition was refused');
      return answer;
    },
    async listEvents(limit: number, o: CallOptions = {}): Promise<Answer<readonly ClusterEvent[]>> {
      const answer = await calls.query({ ...partition(pk), ScanIndexForward: false }, { ...o, limit });
      return mapOk(answer, (items) => items.map(parseEvent));
    },
  };
}
