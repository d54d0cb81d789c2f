/**
 * Which cells a fault table has: every fault that was asked for, in every state of an operation that was asked for. Pure.
 */
import { type FailoverState, failoverStates } from '../../core/model/cluster-record.ts';
import type { Fault } from '../../local/faults/fault.ts';
import { InvalidOption } from '../read-options.ts';

/** `none`: no operation is under way. */
export type CellState = 'none' | Exclude<FailoverState, 'stable'>;

export const cellStates: readonly CellState[] = [
  'none',
  ...failoverStates.filter((state): state is Exclude<FailoverState, 'stable'> => state !== 'stable'),
];

export interface PlannedCell {
  readonly fault: Fault;
  readonly state: CellState;
}

/** A name ending in `*` stands for all that begin so. Throws for one that stands for nothing. */
export function chooseFaults(names: string, known: readonly Fault[]): Fault[] {
  if (names === '') return [...known];
  const chosen = names.split(',').flatMap((name) => {
    const matching = known.filter(({ id }) =>
      name.endsWith('*') ? id.startsWith(name.slice(0, -1)) : id === name,
    );
    if (matching.length === 0) {
      throw new InvalidOption('fault', name, `there is ${known.map(({ id }) => id).join(', ')}`);
    }
    return matching;
  });
  return [...new Set(chosen)];
}

/** `all`, or names with commas. */
export function chooseStates(names: string): CellState[] {
  if (names === 'all') return [...cellStates];
  return names.split(',').map((name) => {
    const state = cellStates.find((known) => known === name);
    if (state === undefined) throw new InvalidOption('state', name, `all, or of ${cellStates.join(', ')}`);
    return state;
  });
}

/** State by state, so that the rows of one state stand together. */
export function planCells(faults: readonly Fault[], states: readonly CellState[]): PlannedCell[] {
  return states.flatMap((state) => faults.map((fault) => ({ fault, state })));
}
