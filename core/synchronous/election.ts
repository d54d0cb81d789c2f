/**
 * May a standby be promoted without losing a commit that was acknowledged? A commit was acknowledged once k of n named standbys had flushed it,
 * so of any n - k + 1 of them one has it, and a candidate that is not behind any of those has it too. `FIRST k` is judged as `ANY k`: which
 * of the names were connected is not known afterwards. Judged for the recorded set and for `next` (invariants S1, S2).
 */
import type { NodeId, SynchronousRule, SynchronousSet } from '../model/lease.ts';
import type { Lsn } from '../model/lsn.ts';
import { describeRule, ruleOf } from './synchronous-rule.ts';

/** How far each standby that answered holds the current epoch's log, its receiver ended. */
export type Answers = ReadonlyMap<NodeId, Lsn>;

/** Why promoting a candidate that is at `at` could lose a commit; null: it cannot. Only for a set whose mode is not `off`. */
export function mayLose(sync: SynchronousSet, answers: Answers, at: Lsn): string | null {
  const rules = sync.next === null ? [ruleOf(sync)] : [ruleOf(sync), sync.next];
  const lacking = rules.map((rule) => lackOf(rule, answers, at)).filter((lack) => lack !== null);
  return lacking[0] ?? null;
}

function lackOf(rule: SynchronousRule, answers: Answers, at: Lsn): string | null {
  if (rule.k === 0)
    return 'the primary acknowledged commits by itself: only the last primary has them all for certain';
  const needed = neededAnswers(rule);
  const heard = rule.names.filter((name) => {
    const position = answers.get(name);
    return position !== undefined && position <= at;
  });
  if (heard.length >= needed) return null;
  const missing = rule.names.filter((name) => !heard.includes(name));
  return (
    `commits were acknowledged by ${describeRule(rule)}: ${needed} of these must have answered, ` +
    `and ${missing.join(', ')} did not, or had more than any candidate`
  );
}

/** n - k + 1; none where the rule can acknowledge nothing, having fewer names than it needs. */
export function neededAnswers({ k, names }: SynchronousRule): number {
  return Math.max(0, names.length - k + 1);
}

/**
 * Would an election that hears from these nodes be sure to lose nothing? For whoever has to decide between a restart in place and handing over
 * a primary that crashed: the standbys that streamed from it until then are those that can be expected to answer.
 */
export function electionIsSafe(sync: SynchronousSet, expected: readonly NodeId[]): boolean {
  if (sync.mode === 'off') return false;
  const rules = sync.next === null ? [ruleOf(sync)] : [ruleOf(sync), sync.next];
  return rules.every(
    (rule) =>
      rule.k > 0 &&
      rule.names.filter((name) => expected.includes(name)).length >= Math.max(1, neededAnswers(rule)),
  );
}
