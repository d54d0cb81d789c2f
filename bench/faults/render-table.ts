/** The fault table as Markdown: one row a cell. Pure. */
import type { SynchronousMode } from '../history/check-losses.ts';
import type { CellResult } from './cell.ts';

const head = [
  'fault',
  'state',
  'longest gap',
  'errors',
  'lost',
  'old primary writes until',
  'new primary after',
  'whole after undo',
  'verdict',
  'what came of it',
];

export function renderTable(mode: SynchronousMode, cells: readonly CellResult[]): string {
  const rows = cells.map((cell) => [cell.fault, cell.state, ...figures(cell), verdict(cell), cell.story]);
  const lines = [head, head.map(() => '---'), ...rows].map((cells_) => `| ${cells_.join(' | ')} |`);
  return `Mode \`${mode}\`\n\n${lines.join('\n')}\n`;
}

function figures(cell: CellResult): string[] {
  if (cell.outcome !== 'measured') return ['-', '-', '-', '-', '-', '-'];
  return [
    milliseconds(cell.gapMs),
    String(cell.errors),
    String(cell.lost),
    milliseconds(cell.oldPrimaryUntilMs),
    milliseconds(cell.newPrimaryAfterMs),
    milliseconds(cell.wholeAfterMs),
  ];
}

function milliseconds(value: number | null): string {
  return value === null ? '-' : `${value} ms`;
}

function verdict({ outcome, violations }: CellResult): string {
  if (outcome === 'missed') return 'missed: too fast';
  if (violations.length === 0) return 'ok';
  return violations.map(({ rule, message }) => `${rule}: ${message}`).join('; ');
}
