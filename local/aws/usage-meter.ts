/**
 * What AWS would put on a bill, counted where all of it passes: requests with the capacity that they consume, invocations with their
 * duration, events of executions. Only adds up; prices are somebody else's business.
 */

/** What was asked for, of what, by whom; '' where that says nothing. */
export interface UsageKey {
  readonly service: 'dynamodb' | 'states' | 'lambda' | 'ssm' | 'ec2' | 'events' | 'secretsmanager';
  /** AWS's name of the operation; of an event for what an execution does by itself. */
  readonly operation: string;
  /** Which items of the table, which function, which schedule. */
  readonly what: string;
  /** The application id that the client's SDK was given (`AWS_SDK_UA_APP_ID`). */
  readonly who: string;
}

export interface UsageAmounts {
  readonly requests: number;
  /** Of them: their condition did not hold. */
  readonly refused: number;
  /** Of them: turned away for being too many. */
  readonly throttled: number;
  readonly readUnits: number;
  readonly writeUnits: number;
  /** Of functions: how long they ran, and that times their memory. */
  readonly ms: number;
  readonly gbSeconds: number;
}

export type UsageLine = UsageKey & UsageAmounts;

export const noUsage: UsageAmounts = {
  requests: 0,
  refused: 0,
  throttled: 0,
  readUnits: 0,
  writeUnits: 0,
  ms: 0,
  gbSeconds: 0,
};

const amountNames = Object.keys(noUsage) as (keyof UsageAmounts)[];

/** A client may call itself what it likes: beyond so many different lines all others are counted as one. */
const mostLines = 2_000;

export class UsageMeter {
  readonly #lines = new Map<string, UsageLine>();

  /** One request, unless `amounts` says otherwise. */
  add(key: UsageKey, amounts: Partial<UsageAmounts> = {}): void {
    const known = this.#lines.has(textOf(key)) || this.#lines.size < mostLines;
    const counted = known ? key : { ...key, what: 'others', who: 'others' };
    const text = textOf(counted);
    const sum = this.#lines.get(text) ?? { ...counted, ...noUsage };
    this.#lines.set(text, { ...sum, ...addAmounts(sum, { ...noUsage, requests: 1, ...amounts }) });
  }

  /** Since the start, by service, operation, what and who. */
  lines(): UsageLine[] {
    return [...this.#lines]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([, line]) => ({ ...line }));
  }
}

/** What was added between two readings of one meter; lines without anything are left out. */
export function usageBetween(before: readonly UsageLine[], after: readonly UsageLine[]): UsageLine[] {
  const earlier = new Map(before.map((line) => [textOf(line), line]));
  return after.flatMap((line) => {
    const from = earlier.get(textOf(line)) ?? noUsage;
    const added = mapAmounts((name) => line[name] - from[name]);
    return amountNames.some((name) => added[name] !== 0) ? [{ ...line, ...added }] : [];
  });
}

function addAmounts(left: UsageAmounts, right: UsageAmounts): UsageAmounts {
  return mapAmounts((name) => left[name] + right[name]);
}

function mapAmounts(amount: (name: keyof UsageAmounts) => number): UsageAmounts {
  return Object.fromEntries(amountNames.map((name) => [name, amount(name)])) as unknown as UsageAmounts;
}

function textOf({ service, operation, what, who }: UsageKey): string {
  return JSON.stringify([service, operation, what, who]);
}
