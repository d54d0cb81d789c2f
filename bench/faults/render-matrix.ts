/** The fault table of several states side by side, as Markdown: one row a fault, one column a state. Pure. */
import type { SynchronousMode } from '../history/check-losses.ts';
import type { CellResult } from './cell.ts';
import { type CellState, cellStates } from './plan-cells.ts';

/** Each cell: longest gap in ms, errors, lost writes, ms from the undo to a whole cluster. */
export function renderMatrix(mode: SynchronousMode, cells: readonly CellResult[]): string {
  const states = cellStates.filter((state) => cells.some((cell) => cell.state === state));
  const faults = [...new Set(cells.map(({ fault }) => fault))];
  const head = ['fault', ...states];
  const rows = faults.map((fault) => [fault, ...states.map((state) => figures(cells, fault, state))]);
  const lines = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  return `Mode \`${mode}\`; each cell: longest gap in ms / errors / lost / ms to a whole cluster\n\n${lines.join('\n')}\n`;
}

/** Of the last cell of that fault and state; a dash where there is none. */
function figures(cells: readonly CellResult[], fault: string, state: CellState): string {
  const cell = cells.findLast((one) => one.fault === fault && one.state === state);
  if (cell === undefined) return '-';
  const broken = cell.violations.map(({ rule }) => `**${rule}**`);
  if (cell.outcome === 'missed') return ['too fast', ...broken].join(' ');
  if (cell.outcome === 'not-whole-again') return broken.join(' ');
  return [`${cell.gapMs} / ${cell.errors} / ${cell.lost} / ${cell.wholeAfterMs}`, ...broken].join(' ');
}
