/** In which order cells are measured, and where a ramp of clients comes to saturation. Pure. */
import type { Workload } from './workloads.ts';

export interface PlannedCell {
  /** From 1 on. */
  readonly run: number;
  readonly workload: Workload;
  readonly path: string;
  readonly clients: number;
}

export interface Wish {
  readonly workloads: readonly Workload[];
  readonly clients: readonly number[];
  readonly runs: number;
  /** By which ways a workload can be measured, best known first. */
  readonly pathsFor: (workload: Workload) => readonly string[];
}

/** The cells of one run. Each run begins with another path, so that none always comes first or last. */
export function cellsOfRun(run: number, wish: Wish): PlannedCell[] {
  return wish.workloads.flatMap((workload) => {
    const paths = rotated(wish.pathsFor(workload), run - 1);
    return wish.clients.flatMap((clients) => paths.map((path) => ({ run, workload, path, clients })));
  });
}

function rotated<T>(items: readonly T[], by: number): T[] {
  if (items.length === 0) return [];
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

export type Condition = 'with-agent' | 'without-agent';

/** With, without, without, with: what drifts over the time hits both alike, and the cluster changes as rarely as can be. */
export function conditionsOf(runs: number, withoutAgent: boolean): { run: number; condition: Condition }[] {
  return Array.from({ length: runs }, (_, at) => at + 1).flatMap((run) => {
    if (!withoutAgent) return [{ run, condition: 'with-agent' as const }];
    const order: Condition[] =
      run % 2 === 1 ? ['with-agent', 'without-agent'] : ['without-agent', 'with-agent'];
    return order.map((condition) => ({ run, condition }));
  });
}

/** Within this much of the best, more clients bring nothing. */
const enough = 0.95;

export type Saturation =
  | { readonly kind: 'reached'; readonly clients: number }
  /** The last step still brought more. */
  | { readonly kind: 'not-reached' }
  /** Fewer than three steps show no bend. */
  | { readonly kind: 'unknown' };

/** The fewest clients that come within 5 % of the most. `points` by ascending number of clients. */
export function saturationOf(
  points: readonly { readonly clients: number; readonly rate: number }[],
): Saturation {
  if (points.length < 3) return { kind: 'unknown' };
  const most = Math.max(...points.map(({ rate }) => rate));
  const first = points.find(({ rate }) => rate >= enough * most);
  if (first === undefined || first === points.at(-1)) return { kind: 'not-reached' };
  return { kind: 'reached', clients: first.clients };
}
