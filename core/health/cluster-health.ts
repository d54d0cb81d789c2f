/**
 * What two looks at a cluster say of its health. Silence is seen by comparing: a report or a lease whose sequence stands still between two
 * looks a minute apart was not written in that time. Only the clock of who looks is used, and only for distances, so that a host
 * whose clock is wrong looks neither dead nor alive for it. Pure; nothing is decided by these figures but whom an alarm wakes.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Lease } from '../model/lease.ts';
import type { NodeReport, ProxyReport } from '../model/node-report.ts';
import { reportPaceMs } from '../model/report-pace.ts';
import { type HealthFigures, troublesIn } from './cluster-metrics.ts';

export interface ClusterLook {
  /** On the clock of who looked, in ms. */
  readonly atMs: number;
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  /** Null: they could not be read. */
  readonly nodes: readonly NodeReport[] | null;
  readonly proxies: readonly ProxyReport[] | null;
  /** Of the operation under way, in ms since 1970; null: there is none, or it could not be read. */
  readonly operationSinceMs: number | null;
}

/** Each host has reported within this time: of two looks that are closer nothing follows. */
export const leastApartMs = 1.5 * reportPaceMs.quiet;
/** Below this, renewals are only late. */
const leastMissedPercent = 10;

/** `before`: an earlier look, or null when there was none; then what only a comparison can tell is unknown. */
export function clusterHealth(before: ClusterLook | null, now: ClusterLook): HealthFigures {
  const apartMs = before === null ? 0 : now.atMs - before.atMs;
  const earlier = before !== null && apartMs >= leastApartMs ? before : null;
  const failsafe = isFailsafe(earlier, now);
  const figures = {
    NoPrimary: countOf(hasNoPrimary(earlier, now, failsafe === true)),
    ReplicationLagBytes: worstLag(now),
    RenewalsMissedPercent: earlier === null ? null : renewalsMissed(earlier, now),
    HostsOut: hostsOut(earlier, now),
    FailsafeActive: countOf(failsafe),
    SplitBrainSuspected: earlier === null ? null : countOf(twoPrimaries(earlier, now)),
    DiskTrouble: diskTrouble(earlier, now),
    OperationRunningSeconds:
      now.operationSinceMs === null
        ? null
        : Math.max(0, Math.round((now.atMs - now.operationSinceMs) / 1_000)),
  };
  const mostLagBytes = now.record?.spec.maxLagBytes ?? Number.POSITIVE_INFINITY;
  return { ...figures, Trouble: troublesIn(figures, mostLagBytes).length };
}

/** The look to compare the next one with: too close to one another, the older one stays. */
export function lookToKeep(before: ClusterLook | null, now: ClusterLook): ClusterLook {
  const tooClose = before !== null && now.atMs >= before.atMs && now.atMs - before.atMs < leastApartMs;
  return tooClose ? before : now;
}

function countOf(fact: boolean | null): number | null {
  return fact === null ? null : Number(fact);
}

/** A lease that is held by somebody who does not renew it has no primary either, but for a failsafe one. */
function hasNoPrimary(earlier: ClusterLook | null, { lease, atMs }: ClusterLook, failsafe: boolean): boolean {
  if (lease === null || lease.state !== 'held') return true;
  if (earlier?.lease == null || failsafe) return false;
  const standsStill = earlier.lease.epoch === lease.epoch && earlier.lease.seq === lease.seq;
  return standsStill && atMs - earlier.atMs > 2 * lease.ttlMs;
}

function renewalsMissed(earlier: ClusterLook, { record, lease, atMs }: ClusterLook): number | null {
  const before = earlier.lease;
  if (record === null || lease === null || before === null) return null;
  // Another holder, or another agent of it, renewed for a part of the time only.
  const same = lease.epoch === before.epoch && lease.incarnation === before.incarnation;
  if (!same || lease.state !== 'held' || before.state !== 'held') return null;
  const due = (atMs - earlier.atMs) / record.spec.heartbeatMs;
  const missed = Math.round(100 * Math.max(0, 1 - (lease.seq - before.seq) / due));
  return missed < leastMissedPercent ? 0 : missed;
}

interface Signed {
  readonly incarnation: string;
  readonly seq: number;
}

function isSilent(report: Signed, earlier: Signed | undefined): boolean {
  return earlier !== undefined && earlier.incarnation === report.incarnation && earlier.seq === report.seq;
}

function nodeIn(look: ClusterLook | null, node: string): NodeReport | undefined {
  return look?.nodes?.find((report) => report.node === node);
}

function proxyIn(look: ClusterLook | null, proxy: string): ProxyReport | undefined {
  return look?.proxies?.find((report) => report.proxy === proxy);
}

/** The members' reports that are not known to be old. */
function freshReports(earlier: ClusterLook | null, now: ClusterLook): readonly NodeReport[] {
  const members = now.record?.members ?? [];
  return (now.nodes ?? []).filter(
    (report) => members.includes(report.node) && !isSilent(report, nodeIn(earlier, report.node)),
  );
}

function hostsOut(earlier: ClusterLook | null, now: ClusterLook): number | null {
  const { record, nodes, proxies } = now;
  if (record === null || nodes === null || proxies === null) return null;
  const out = record.members.filter((node) => {
    const report = nodeIn(now, node);
    return report === undefined || isSilent(report, nodeIn(earlier, node)) || !isAtWork(report);
  });
  const proxiesOut = record.proxies.filter((proxy) => {
    const report = proxyIn(now, proxy);
    return report === undefined || isSilent(report, proxyIn(earlier, proxy));
  });
  return out.length + proxiesOut.length;
}

function isAtWork({ postgres, role, streaming }: NodeReport): boolean {
  return postgres === 'running' && (role === 'primary' || (role === 'standby' && streaming));
}

/** By what each standby says of itself: its own position against the one that its upstream had reported last. */
function worstLag(now: ClusterLook): number | null {
  const members = now.record?.members ?? [];
  const lags = (now.nodes ?? []).flatMap(({ node, role, lagBytes }) =>
    members.includes(node) && role === 'standby' && lagBytes !== null ? [lagBytes] : [],
  );
  return lags.length === 0 ? null : Math.max(...lags);
}

/** A primary in failsafe mode cannot say so here; a standby that has promised, and reaches DynamoDB, can. */
function isFailsafe(earlier: ClusterLook | null, now: ClusterLook): boolean | null {
  if (now.nodes === null) return null;
  return freshReports(earlier, now).some(({ failsafe }) => failsafe === true);
}

function diskTrouble(earlier: ClusterLook | null, now: ClusterLook): number | null {
  if (now.nodes === null) return null;
  return freshReports(earlier, now).filter(
    ({ health = 'ok', diskLow }) => health.startsWith('disk-') || diskLow === true,
  ).length;
}

/**
 * Two hosts each reported an open primary before the earlier look and again after it. Each of them was one from its older report to
 * its newer one, and both stretches hold the moment of the earlier look: so both were at once, unless one of them was demoted and
 * promoted again in between. One report of each would prove nothing: a host that died leaves its last word behind.
 */
function twoPrimaries(earlier: ClusterLook, now: ClusterLook): boolean | null {
  if (now.nodes === null || earlier.nodes === null) return null;
  const open = now.nodes.filter((report) => {
    const before = nodeIn(earlier, report.node);
    return (
      isOpenPrimary(report) &&
      before !== undefined &&
      isOpenPrimary(before) &&
      before.incarnation === report.incarnation &&
      report.seq > before.seq
    );
  });
  return open.length >= 2;
}

function isOpenPrimary({ role, postgres }: NodeReport): boolean {
  return role === 'primary' && postgres === 'running';
}
