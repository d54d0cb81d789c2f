/** Runs side by side: one cell a scenario, mode and path, in it the runs of each system. Pure. */
import type { Run } from './compare.ts';
import type { MeasuredRun } from './measure-run.ts';

export interface SystemRuns {
  readonly system: string;
  readonly runs: readonly Run[];
  /** Those that were measured. */
  readonly measured: readonly MeasuredRun[];
}

export interface Cell extends Pick<Run, 'scenario' | 'mode' | 'path'> {
  /** In the order in which they first ran. */
  readonly systems: readonly SystemRuns[];
}

/** In the order of their first runs. */
export function cellsOf(runs: readonly Run[]): Cell[] {
  const cells = Map.groupBy(runs, ({ scenario, mode, path }) => [scenario, mode, path].join('\n'));
  return [...cells.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined) return [];
    const { scenario, mode, path } = first;
    const systems = [...Map.groupBy(own, ({ system }) => system)].map(([system, its]) => ({
      system,
      runs: its,
      measured: its.flatMap((run) => (run.outcome === 'measured' ? [run.measured] : [])),
    }));
    return [{ scenario, mode, path, systems }];
  });
}

/** `switchover, mode off, endpoint`. */
export function nameOf({ scenario, mode, path }: Pick<Cell, 'scenario' | 'mode' | 'path'>): string {
  return `${scenario}, mode ${mode}, ${path}`;
}

/** The run whose gap is the median, the better of two in the middle: the one to show where only one can be shown. */
export function typicalRun({ measured }: SystemRuns): MeasuredRun | null {
  const byGap = measured.toSorted((left, right) => left.gapMs - right.gapMs);
  return byGap[Math.floor((byGap.length - 1) / 2)] ?? null;
}
