/**
 * What `leasehold status` shows: the record, the lease and every node's own report, put side by side. Pure. A report is what a
 * node said last, positions in it up to half a minute ago where hardly anything is written.
 */
import type { ClusterRecord, FailoverState } from '../core/model/cluster-record.ts';
import type { Lease, LeaseState, SynchronousSet } from '../core/model/lease.ts';
import { formatLsn } from '../core/model/lsn.ts';
import type { NodeReport, NodeRole, PostgresState } from '../core/model/node-report.ts';
import { describeRule } from '../core/synchronous/synchronous-rule.ts';
import { table } from './terminal.ts';

export interface NodeStatus {
  readonly id: string;
  /** `none` also for a node that has never reported. */
  readonly role: NodeRole;
  /** `streaming` for a standby that does; else what its agent is doing (`cloning`, ...), else PostgreSQL's state. */
  readonly state: PostgresState | Exclude<NodeReport['activity'], 'none'> | 'streaming';
  readonly timeline: number | null;
  readonly lsn: string | null;
  readonly lagBytes: number | null;
  /** Its flush is waited for: `sync`; null for the primary. */
  readonly sync: 'sync' | 'async' | null;
}

export interface ClusterStatus {
  readonly cluster: string;
  readonly failoverState: FailoverState;
  /** 0 before the first lease. */
  readonly epoch: number;
  readonly lease: {
    readonly holder: string | null;
    readonly state: LeaseState | 'absent';
    readonly msLeft: number;
  };
  /** By which rule commits are acknowledged, and the one that it is being changed to. */
  readonly synchronous: SynchronousSet | null;
  readonly nodes: readonly NodeStatus[];
}

export function clusterStatus(
  head: { readonly record: ClusterRecord; readonly lease: Lease | null; readonly msLeft: number },
  reports: readonly NodeReport[],
): ClusterStatus {
  const { record, lease, msLeft } = head;
  const byId = new Map(reports.map((report) => [report.node, report]));
  const ids = [...new Set([...record.members, ...byId.keys()])].sort();
  return {
    cluster: record.cluster,
    failoverState: record.failoverState,
    epoch: lease?.epoch ?? 0,
    lease: { holder: lease?.holder ?? null, state: lease?.state ?? 'absent', msLeft },
    synchronous: lease?.sync ?? null,
    nodes: ids.map((id) => nodeStatus(id, byId.get(id), lease)),
  };
}

function nodeStatus(id: string, report: NodeReport | undefined, lease: Lease | null): NodeStatus {
  if (report === undefined) {
    return { id, role: 'none', state: 'absent', timeline: null, lsn: null, lagBytes: null, sync: null };
  }
  const waitedFor = lease !== null && lease.sync.mode !== 'off' && lease.sync.names.includes(id);
  return {
    id,
    role: report.role,
    state: stateOf(report),
    timeline: report.timeline,
    lsn: report.lsn === null ? null : formatLsn(report.lsn),
    lagBytes: report.lagBytes,
    sync: report.role === 'standby' ? (waitedFor ? 'sync' : 'async') : null,
  };
}

function stateOf(report: NodeReport): NodeStatus['state'] {
  if (report.activity !== 'none') return report.activity;
  return report.role === 'standby' && report.streaming ? 'streaming' : report.postgres;
}

function describeSynchronous(sync: SynchronousSet | null): string {
  if (sync === null || (sync.mode === 'off' && sync.next === null)) return 'off';
  const next = sync.next === null ? '' : `, changing to ${describeRule(sync.next)}`;
  return `${sync.mode}, ${describeRule(sync)}${next}`;
}

/** For a terminal. */
export function renderStatus(status: ClusterStatus): string {
  const { lease } = status;
  const held = lease.state === 'held' ? `${lease.msLeft} ms left` : lease.state;
  return [
    `cluster ${status.cluster}: ${status.failoverState}, epoch ${status.epoch}`,
    `lease: ${lease.holder ?? 'nobody'}, ${held}`,
    `synchronous: ${describeSynchronous(status.synchronous)}`,
    '',
    table([
      ['node', 'role', 'state', 'timeline', 'lsn', 'lag bytes', 'sync'],
      ...status.nodes.map((node) => [
        node.id,
        node.role,
        node.state,
        node.timeline,
        node.lsn,
        node.lagBytes,
        node.sync,
      ]),
    ]),
  ].join('\n');
}
