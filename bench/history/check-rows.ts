/**
 * Whether the table that the final primary has is what the clients were told: nothing acknowledged is missing, nothing is there
 * twice, nothing that was refused is there, and what was executed after another append was acknowledged comes after it.
 * Pure; linear but for sorting.
 */
import type { Append, Row, Violation } from './history.ts';

export interface RowsVerdict {
  /** Acknowledged and not in the table. */
  readonly lost: readonly Append[];
  /** Everything but losses, which a mode may allow. */
  readonly violations: readonly Violation[];
}

/** So many examples name a violation; there may be thousands. */
const maxExamples = 5;

/** `appends` must hold every append that may be in `rows`; the rows must have been read after the last of them ended. */
export function checkRows(appends: readonly Append[], rows: readonly Row[]): RowsVerdict {
  const known = new Map(appends.map((append) => [keyOf(append), append]));
  const positions = new Map<string, number>();
  const doubled: string[] = [];
  const unsent: string[] = [];
  const refused: string[] = [];
  for (const row of rows) {
    const key = keyOf(row);
    if (positions.has(key)) doubled.push(key);
    positions.set(key, row.position);
    const append = known.get(key);
    if (append === undefined) unsent.push(key);
    else if (append.outcome === 'failed') refused.push(key);
  }
  const acknowledged = appends.filter(({ outcome }) => outcome === 'acknowledged');
  return {
    lost: acknowledged.filter((append) => !positions.has(keyOf(append))),
    violations: [
      ...violation('write-doubled', doubled),
      ...violation('unsent-write-present', unsent),
      ...violation('refused-write-present', refused),
      ...violation('write-out-of-order', outOfOrder(acknowledged, positions)),
    ],
  };
}

/**
 * Appends that were sent after the acknowledgement of another one and executed before it: going back through the table, none
 * may have been sent after one behind it had ended. That covers each client's own order.
 */
function outOfOrder(acknowledged: readonly Append[], positions: ReadonlyMap<string, number>): string[] {
  const present = acknowledged
    .flatMap((append) => {
      const position = positions.get(keyOf(append));
      return position === undefined ? [] : [{ append, position }];
    })
    .sort((left, right) => right.position - left.position);
  const found: string[] = [];
  let earliestEnd = Number.POSITIVE_INFINITY;
  for (const { append } of present) {
    if (append.sentMs > earliestEnd) found.push(keyOf(append));
    earliestEnd = Math.min(earliestEnd, append.endedMs);
  }
  return found;
}

function violation(rule: Violation['rule'], keys: readonly string[]): Violation[] {
  if (keys.length === 0) return [];
  const examples = keys.slice(0, maxExamples).join(', ');
  return [{ rule, message: `${keys.length} (client/sequence ${examples})` }];
}

/** Names one append among all. */
export function keyOf({ client, sequence }: { client: number; sequence: number }): string {
  return `${client}/${sequence}`;
}
