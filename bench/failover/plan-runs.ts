/**
 * Which runs a comparison has, and in which order: run by run, not system by system, so that what changes on the machine meanwhile
 * strikes all systems alike. Pure.
 */
import type { PathName, Scenario } from '../systems/system-under-test.ts';

export interface PlannedRun<System> {
  readonly system: System;
  readonly scenario: Scenario;
  readonly path: PathName;
  /** From 1. */
  readonly round: number;
}

/** What a system can do; runs that it cannot do are not planned. */
export interface Able {
  readonly scenarios: ReadonlySet<Scenario>;
  readonly paths: Readonly<Partial<Record<PathName, unknown>>>;
}

export function planRuns<System extends Able>(
  systems: readonly System[],
  scenarios: readonly Scenario[],
  paths: readonly PathName[],
  rounds: number,
): PlannedRun<System>[] {
  return Array.from({ length: rounds }, (_, at) => at + 1).flatMap((round) =>
    scenarios.flatMap((scenario) =>
      paths.flatMap((path) =>
        systems
          .filter((system) => system.scenarios.has(scenario) && system.paths[path] !== undefined)
          .map((system) => ({ system, scenario, path, round })),
      ),
    ),
  );
}
