/**
 * Which standbys a primary should wait for, by who streams from it and for how long. Upholds S3: `strict` never waits for fewer than k; `on` waits
 * for as many as there are, up to k. A name that is gone is dropped after a while, so that an election need not hear from it; sooner when
 * commits hang for want of it. Who may not be promoted is never named: it could be the only one with a commit.
 */
import type { SynchronousSpec } from '../model/cluster-record.ts';
import { alone, type NodeId, type SynchronousRule } from '../model/lease.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Sender } from './barrier.ts';
import { type RankedNode, ranked } from './synchronous-rule.ts';

/** A standby must have streamed for so long before commits wait for it, unless they lack one. */
export const joinAfterMs = 1_000;
/** A name that does not stream is kept for so long: a restart of a standby changes nothing. */
export const keepGoneMs = 3_000;
/** The same while commits hang for want of it. */
export const hangMs = 1_000;
/** A standby that has been sent more, and has flushed nothing new for so long, counts as gone: its host may be frozen. */
export const stallMs = 2_000;

/** What is known of one standby from several looks at the primary's walsenders. */
export interface TrackedStandby {
  readonly streams: boolean;
  /** Since when `streams` is what it is. */
  readonly sinceMs: number;
  readonly flushLsn: Lsn | null;
  /** Since when `flushLsn` has not moved, or all had been flushed. */
  readonly movedMs: number;
}

export type Standbys = ReadonlyMap<NodeId, TrackedStandby>;

/** One more look. `writtenLsn` is how far the primary had written by then. */
export function trackStandbys(
  former: Standbys,
  look: {
    readonly nodes: readonly NodeId[];
    readonly senders: readonly Sender[];
    readonly writtenLsn: Lsn | null;
  },
  nowMs: number,
): Standbys {
  return new Map(look.nodes.map((node) => [node, track(former.get(node), node, look, nowMs)]));
}

function track(
  former: TrackedStandby | undefined,
  node: NodeId,
  look: { readonly senders: readonly Sender[]; readonly writtenLsn: Lsn | null },
  nowMs: number,
): TrackedStandby {
  const sender = look.senders.find(({ name, state }) => name === node && state === 'streaming');
  const flushLsn = sender?.flushLsn ?? null;
  const done = flushLsn !== null && look.writtenLsn !== null && flushLsn >= look.writtenLsn;
  const moved = former === undefined || done || former.flushLsn !== flushLsn;
  const movedMs = moved ? nowMs : former.movedMs;
  const streams = sender !== undefined && nowMs - movedMs < stallMs;
  const sinceMs = former?.streams === streams ? former.sinceMs : nowMs;
  return { streams, sinceMs, flushLsn, movedMs };
}

export interface WantedView {
  readonly spec: SynchronousSpec;
  /** What the primary waits for now, or will once the change under way is through. */
  readonly current: SynchronousRule;
  /** The other members that may be promoted. */
  readonly others: readonly RankedNode[];
  readonly standbys: Standbys;
  readonly nowMs: number;
}

export function wantedRule(view: WantedView): SynchronousRule {
  const { spec, current, others } = view;
  if (spec.mode === 'off') return alone;
  const { method, k } = spec;
  const streams = (node: NodeId) => view.standbys.get(node)?.streams ?? false;
  const hanging = current.names.filter(streams).length < current.k;
  const wanted = others.filter(({ node }) =>
    current.names.includes(node) ? isKept(node, view, hanging) : isJoining(node, view, hanging),
  );
  if (spec.mode === 'on') {
    const names = ranked(wanted);
    return names.length === 0 ? alone : { method, k: Math.min(k, names.length), names };
  }
  const enough = wanted.filter(({ node }) => streams(node)).length >= k;
  const kept = others.filter((other) => current.names.includes(other.node) || wanted.includes(other));
  return { method, k, names: ranked(enough ? wanted : kept) };
}

function isKept(node: NodeId, { standbys, nowMs }: WantedView, hanging: boolean): boolean {
  const known = standbys.get(node);
  if (known === undefined || known.streams) return known !== undefined;
  return nowMs - known.sinceMs < (hanging ? hangMs : keepGoneMs);
}

function isJoining(node: NodeId, { spec, current, standbys, nowMs }: WantedView, hanging: boolean): boolean {
  const known = standbys.get(node);
  if (known === undefined || !known.streams) return false;
  return hanging || current.k < spec.k || nowMs - known.sinceMs >= joinAfterMs;
}
