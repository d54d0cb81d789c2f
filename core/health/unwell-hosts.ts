/**
 * Which hosts of a cluster are not well, by what they say of themselves. Silence is a reason of its own: the reports of two looks are
 * compared, because one look cannot tell a host that lives from one that has died.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Lease } from '../model/lease.ts';
import type { NodeReport, ProxyReport } from '../model/node-report.ts';

export interface Reports {
  readonly nodes: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
}

/** One reason a host, none when all is well. */
export function whatIsUnwell(
  facts: { readonly earlier: Reports; readonly reports: Reports },
  record: ClusterRecord,
  lease: Lease,
): readonly string[] {
  const nodes = record.members.map((node) => {
    const report = facts.reports.nodes.find((one) => one.node === node);
    if (report === undefined) return `${node} has never reported`;
    if (
      !isNewer(
        report,
        facts.earlier.nodes.find((one) => one.node === node),
      )
    )
      return `${node} is silent`;
    return unwellNode(report, record, lease);
  });
  const proxies = record.proxies.map((proxy) => {
    const report = facts.reports.proxies.find((one) => one.proxy === proxy);
    if (report === undefined) return `${proxy} has never reported`;
    const before = facts.earlier.proxies.find((one) => one.proxy === proxy);
    if (!isNewer(report, before)) return `${proxy} is silent`;
    if (report.routesTo !== lease.holder || report.epoch !== lease.epoch)
      return `${proxy} does not route to ${lease.holder}`;
    return report.paused ? `${proxy} is paused` : null;
  });
  return [...nodes, ...proxies].filter((reason) => reason !== null);
}

function unwellNode(report: NodeReport, record: ClusterRecord, lease: Lease): string | null {
  const { node, health = 'ok' } = report;
  if (report.postgres !== 'running') return `PostgreSQL of ${node} is ${report.postgres}`;
  if (health !== 'ok') return `${node} reports ${health}`;
  if (node === lease.holder) return report.role === 'primary' ? null : `${node} is no primary`;
  if (report.role !== 'standby' || !report.streaming) return `${node} does not stream`;
  const lag = report.lagBytes ?? 0;
  return lag > record.spec.maxLagBytes ? `${node} is ${lag} bytes behind` : null;
}

export interface Signed {
  readonly incarnation: string;
  readonly seq: number;
}

/** The host has written since the earlier look. */
export function isNewer(report: Signed, earlier: Signed | undefined): boolean {
  return earlier === undefined || earlier.incarnation !== report.incarnation || report.seq > earlier.seq;
}

/** Whether every host that the record names has written since the earlier look: then there is nothing to wait for. */
export function allHaveReported(record: ClusterRecord, earlier: Reports, reports: Reports): boolean {
  const node = (of: Reports, id: string) => of.nodes.find((one) => one.node === id);
  const proxy = (of: Reports, id: string) => of.proxies.find((one) => one.proxy === id);
  const newer = (report: Signed | undefined, before: Signed | undefined) =>
    report !== undefined && isNewer(report, before);
  return (
    record.members.every((id) => newer(node(reports, id), node(earlier, id))) &&
    record.proxies.every((id) => newer(proxy(reports, id), proxy(earlier, id)))
  );
}
