/**
 * What can be said of one rule of acknowledgement, `ANY 2 (a, b, c)`, without looking at anything else: how PostgreSQL writes it,
 * whether two are the same, and which single rule says no more than either of two (used where it is not known which of them was in
 * force, invariant S1). By PostgreSQL's documentation of `synchronous_standby_names`.
 */
import { alone, type NodeId, type SynchronousRule } from '../model/lease.ts';

/** No node's id can have an underscore: while nobody is named yet, a commit waits for a standby that never comes. */
const nobody = 'leasehold_nobody';

/** The value of `synchronous_standby_names`; names are quoted, never `*`. */
export function ruleText({ method, k, names }: SynchronousRule): string {
  if (k === 0) return '';
  const quoted = (names.length === 0 ? [nobody] : names).map((name) => `"${name}"`);
  return `${method === 'any' ? 'ANY' : 'FIRST'} ${k} (${quoted.join(', ')})`;
}

/** For people: `ANY 1 of node2, node3`. */
export function describeRule({ method, k, names }: SynchronousRule): string {
  if (k === 0) return 'the primary alone';
  return `${method === 'any' ? 'ANY' : 'FIRST'} ${k} of ${names.join(', ') || 'nobody yet'}`;
}

/** The order of names counts only with `first`. */
export function sameRule(one: SynchronousRule, other: SynchronousRule): boolean {
  if (one.k === 0 || other.k === 0) return one.k === other.k;
  if (one.method !== other.method || one.k !== other.k || one.names.length !== other.names.length)
    return false;
  if (one.method === 'first') return one.names.every((name, index) => name === other.names[index]);
  return one.names.every((name) => other.names.includes(name));
}

/**
 * What holds for a commit that was acknowledged by one rule or by the other, it is not known which: it is on the smaller k of all the
 * names together. An election that satisfies the result satisfies both.
 */
export function coverOf(one: SynchronousRule, other: SynchronousRule | null): SynchronousRule {
  if (other === null || sameRule(one, other)) return ruleOf(one);
  if (one.k === 0 || other.k === 0) return alone;
  const names = [...new Set([...one.names, ...other.names])];
  return { method: 'any', k: Math.min(one.k, other.k), names };
}

/** The rule itself, of something that carries more. */
export function ruleOf({ method, k, names }: SynchronousRule): SynchronousRule {
  return { method, k, names };
}

export interface RankedNode {
  readonly node: NodeId;
  readonly failoverPriority: number;
}

/** In the order of `FIRST k`: by priority, then by name. */
export function ranked(nodes: readonly RankedNode[]): readonly NodeId[] {
  return nodes
    .toSorted((a, b) => b.failoverPriority - a.failoverPriority || (a.node < b.node ? -1 : 1))
    .map(({ node }) => node);
}
