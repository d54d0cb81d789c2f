/**
 * The next step of the lease's holder from the rule by which its PostgreSQL acknowledges commits to the rule that is wanted. Upholds S1,
 * after the invariant of Patroni's quorum.py: at every moment, whatever was interrupted, each commit acknowledged so far is on k of
 * the names of the set in the lease, or on k of the names of `next`. So an election that has heard n - k + 1 of both finds them all.
 *
 * A change goes: `next` is written to the lease; it is put in force and seen in force; a barrier (`barrier.ts`) proves that nothing
 * acknowledges by the old rule any more, and that what was acknowledged by it is on k of the new names; then it becomes the set. A step
 * that was interrupted is taken again from what the lease says: which of the two rules PostgreSQL has does not matter, both are recorded.
 * When something else is wanted before the end, the set becomes what covers both, and `next` the new wish. To acknowledge alone needs no
 * barrier: it promises nothing, which covers everything.
 */
import { alone, type SynchronousMode, type SynchronousRule, type SynchronousSet } from '../model/lease.ts';
import { coverOf, ruleOf, sameRule } from './synchronous-rule.ts';

export interface SynchronousView {
  /** As the lease has it. */
  readonly sync: SynchronousSet;
  readonly mode: SynchronousMode;
  readonly wanted: SynchronousRule;
  /** What this agent has seen in force in the server that runs now; null: it has not looked since. */
  readonly inForce: SynchronousRule | null;
  /** The barrier behind `next` has been passed. */
  readonly barrierPassed: boolean;
}

export type SynchronousStep =
  | { readonly kind: 'nothing' }
  /** To the lease, by a renewal that names its seq. */
  | { readonly kind: 'write'; readonly sync: SynchronousSet }
  | { readonly kind: 'apply'; readonly to: SynchronousRule }
  | { readonly kind: 'await-barrier'; readonly of: SynchronousRule };

export interface SynchronousDecision {
  readonly rule: string;
  readonly step: SynchronousStep;
}

interface Row {
  readonly rule: string;
  readonly step: (view: SynchronousView) => SynchronousStep | null;
}

/** First match wins. */
const table: readonly Row[] = [
  {
    // Elections by positions alone are allowed from here on.
    rule: 'sync-turned-off',
    step: ({ sync, mode }) =>
      when(mode === 'off' && sync.mode !== 'off', () => write({ ...alone, mode, next: null })),
  },
  {
    rule: 'sync-alone',
    step: ({ sync, mode, wanted }) =>
      when(wanted.k === 0 && (sync.k > 0 || sync.next !== null), () => write({ ...alone, mode, next: null })),
  },
  {
    rule: 'sync-other-wanted',
    step: ({ sync, wanted }) =>
      when(sync.next !== null && !sameRule(sync.next, wanted), () =>
        write({ ...coverOf(sync, sync.next), mode: sync.mode, next: wanted }),
      ),
  },
  {
    rule: 'sync-apply-next',
    step: ({ sync: { next }, inForce }) =>
      next !== null && !isInForce(next, inForce) ? { kind: 'apply', to: next } : null,
  },
  {
    rule: 'sync-settle',
    step: ({ sync: { next }, mode, barrierPassed }) =>
      next !== null && barrierPassed ? write({ ...next, mode, next: null }) : null,
  },
  {
    rule: 'sync-barrier',
    step: ({ sync: { next } }) => (next === null ? null : { kind: 'await-barrier', of: next }),
  },
  {
    rule: 'sync-apply-recorded',
    step: ({ sync, inForce }) => when(!isInForce(sync, inForce), () => ({ kind: 'apply', to: ruleOf(sync) })),
  },
  {
    rule: 'sync-change',
    step: ({ sync, wanted }) => when(!sameRule(sync, wanted), () => write({ ...sync, next: wanted })),
  },
  {
    rule: 'sync-mode',
    step: ({ sync, mode }) => when(sync.mode !== mode, () => write({ ...sync, mode })),
  },
  { rule: 'sync-in-force', step: () => ({ kind: 'nothing' }) },
];

export const synchronousRules: readonly string[] = table.map(({ rule }) => rule);

/** Total: the last row matches always. */
export function planSynchronous(view: SynchronousView): SynchronousDecision {
  for (const { rule, step } of table) {
    const found = step(view);
    if (found !== null) return { rule, step: found };
  }
  throw new Error('InvariantViolation: the synchronous table has no row for this view');
}

function when(condition: boolean, step: () => SynchronousStep): SynchronousStep | null {
  return condition ? step() : null;
}

function write(sync: SynchronousSet): SynchronousStep {
  return { kind: 'write', sync };
}

function isInForce(rule: SynchronousRule, inForce: SynchronousRule | null): boolean {
  return inForce !== null && sameRule(inForce, rule);
}
