/**
 * What the design allows, in one place: for clients of the endpoint (HAProxy, then PgBouncer), on this runtime and with AWS's latencies.
 * A median that is over its budget is reported as such; no test fails for it.
 */

export interface Budget {
  /** The longest time without any acknowledged write. */
  readonly gapMs: number;
  /** Null: any number. */
  readonly errors: number | null;
  readonly lost: number | null;
}

export const budgetedScenarios = ['switchover', 'host-killed', 'postgres-killed', 'agent-killed'] as const;
export type BudgetedScenario = (typeof budgetedScenarios)[number];

/** `runtime`: heartbeat 0.5 s, ttl 2 s. `aws`: 1 s and 5 s, and every service answers as late as AWS's. */
export type BudgetProfile = 'runtime' | 'aws';

/** An agent that is killed and is back in time costs nothing; else it is as if its host were killed. */
export const budgets: Readonly<Record<BudgetProfile, Readonly<Record<BudgetedScenario, Budget>>>> = {
  runtime: {
    switchover: { gapMs: 150, errors: 0, lost: 0 },
    'host-killed': { gapMs: 2500, errors: null, lost: null },
    'postgres-killed': { gapMs: 400, errors: null, lost: null },
    'agent-killed': { gapMs: 2500, errors: null, lost: null },
  },
  aws: {
    switchover: { gapMs: 500, errors: 0, lost: 0 },
    'host-killed': { gapMs: 8000, errors: null, lost: null },
    'postgres-killed': { gapMs: 2500, errors: null, lost: null },
    'agent-killed': { gapMs: 8000, errors: null, lost: null },
  },
};

/** Null where the design has no budget. In synchronous mode no single fault may lose anything. */
export function budgetOf(scenario: string, profile: BudgetProfile, synchronous: boolean): Budget | null {
  const known = budgetedScenarios.find((name) => name === scenario);
  if (known === undefined) return null;
  const budget = budgets[profile][known];
  return synchronous ? { ...budget, lost: 0 } : budget;
}
