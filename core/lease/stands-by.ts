/**
 * Whether a node only stands by while others pass the lease on: it neither has to give it nor to take it, and what it will be told by reading
 * it can wait until clients are served again. Only about when to read; no decision rests on it.
 */
import { type ClusterRecord, epochRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';

/** True from the announcement of a successor until its epoch is recorded, for all but the two; the old holder too, once it has released. */
export function standsBy(lease: Lease | null, record: ClusterRecord | null, node: NodeId): boolean {
  if (lease === null || record === null || lease.successor === node) return false;
  const held = lease.state === 'held';
  if (held && lease.holder === node) return false;
  return lease.successor !== null || (held && epochRecord(record, lease.epoch) === null);
}
