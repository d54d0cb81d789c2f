/**
 * May a drill begin now? An ordered table: the first row that matches says no, with a reason for people. A drill moves the primary of
 * a cluster that people use, so whatever is not known to be well is a reason to leave it alone: silence too, which is why the
 * reports of two looks are compared.
 */
import { type Reports, whatIsUnwell } from '../health/unwell-hosts.ts';
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Drill } from '../model/drill.ts';
import type { Lease } from '../model/lease.ts';
import { type DrillWindow, isInWindow } from './drill-window.ts';

export interface DrillFacts {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  /** Some seconds before `reports`, by which silence is seen. */
  readonly earlier: Reports;
  readonly reports: Reports;
  /** The newest one; null: there was none yet. */
  readonly last: Drill | null;
  /** When it began, in ms since 1970. */
  readonly lastStartedMs: number;
  readonly window: DrillWindow | null;
  /** Wall clock, in ms since 1970. */
  readonly nowMs: number;
  /** Somebody has looked at the last drill, which failed, and wants another one. */
  readonly again: boolean;
}

export type DrillRule =
  | 'not-bootstrapped'
  | 'outside-window'
  | 'paused'
  | 'under-way'
  | 'no-primary'
  | 'drill-under-way'
  | 'last-drill-failed'
  | 'no-standby'
  | 'host-unwell'
  | 'go';

export interface DrillDecision {
  readonly rule: DrillRule;
  readonly go: boolean;
  readonly reason: string;
}

/** A drill takes a minute or two; one that says `running` after this long has lost whoever ran it. */
export const drillLimitMs = 30 * 60_000;

export function decideDrill(facts: DrillFacts): DrillDecision {
  const { record, lease } = facts;
  if (record === null || lease === null) return no('not-bootstrapped', 'the cluster has no primary yet');
  if (!isInWindow(facts.window, facts.nowMs))
    return no('outside-window', 'it is outside of the window for drills');
  if (record.paused) return no('paused', 'the cluster is paused');
  if (record.operation !== null || record.failoverState !== 'stable')
    return no('under-way', `operation ${record.operation?.id ?? ''} is under way (${record.failoverState})`);
  if (lease.state !== 'held') return no('no-primary', `the lease is ${lease.state}`);
  const former = judgeLast(facts);
  if (former !== null) return former;
  if (!record.members.some((node) => node !== lease.holder))
    return no('no-standby', 'there is no standby to switch over to');
  const unwell = whatIsUnwell(facts, record, lease);
  if (unwell.length > 0) return no('host-unwell', unwell.join('; '));
  return { rule: 'go', go: true, reason: 'the cluster is well' };
}

function no(rule: Exclude<DrillRule, 'go'>, reason: string): DrillDecision {
  return { rule, go: false, reason };
}

function judgeLast({ last, lastStartedMs, nowMs, again }: DrillFacts): DrillDecision | null {
  if (last === null || last.status === 'succeeded') return null;
  if (last.status === 'running' && nowMs - lastStartedMs < drillLimitMs)
    return no('drill-under-way', `drill ${last.id} is under way since ${last.startedAt}`);
  if (again) return null;
  const how = last.status === 'running' ? 'never ended' : `failed: ${last.outcome}`;
  return no('last-drill-failed', `the last drill, ${last.id} of ${last.startedAt}, ${how}`);
}
