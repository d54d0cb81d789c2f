/** The fault table: which cells are asked for, and that a row shows what was violated. */
import { describe, expect, it } from 'vitest';
import type { CellResult } from '../../../bench/faults/cell.ts';
import { cellStates, chooseFaults, chooseStates, planCells } from '../../../bench/faults/plan-cells.ts';
import { renderMatrix } from '../../../bench/faults/render-matrix.ts';
import { renderTable } from '../../../bench/faults/render-table.ts';
import { singleFaults } from '../../../local/faults/all-faults.ts';

describe('the cells of a fault table', () => {
  it('are every fault in every state of an operation, and in none', () => {
    expect(cellStates).toEqual([
      'none',
      'initiated',
      'waiting_for_catchup',
      'demoting_old_primary',
      'promoting_new_primary',
      'reconfiguring_replicas',
    ]);
    expect(planCells(singleFaults, chooseStates('all'))).toHaveLength(6 * singleFaults.length);
  });

  it('are those whose names were given, or begin as was given', () => {
    const ids = chooseFaults('dynamodb-*,primary-guard-killed', singleFaults).map(({ id }) => id);
    expect(ids).toEqual(['dynamodb-away', 'dynamodb-hangs', 'primary-guard-killed']);
    expect(chooseStates('none,initiated')).toEqual(['none', 'initiated']);
  });

  it('are refused when a name stands for nothing, with what there is', () => {
    expect(() => chooseFaults('meteor', singleFaults)).toThrow(/--fault meteor: there is .*dynamodb-away/);
    expect(() => chooseStates('resting')).toThrow(/--state resting: all, or of none, initiated/);
  });
});

describe('a row', () => {
  const cell: CellResult = {
    fault: 'dynamodb-away',
    state: 'none',
    outcome: 'measured',
    gapMs: 12,
    errors: 1,
    lost: 2,
    wholeAfterMs: 300,
    oldPrimaryUntilMs: null,
    newPrimaryAfterMs: null,
    story: 'node2 lease_sealed',
    events: [],
    violations: [],
  };

  it('has the figures, and says that all is well', () => {
    expect(renderTable('strict', [cell])).toContain(
      '| dynamodb-away | none | 12 ms | 1 | 2 | - | - | 300 ms | ok | node2 lease_sealed |',
    );
  });

  it('says what was violated, and where nothing could be measured', () => {
    const violations = [{ rule: 'acknowledged-write-lost' as const, message: '2 (client/sequence 1/7)' }];
    expect(renderTable('strict', [{ ...cell, violations }])).toContain('| acknowledged-write-lost: 2 (');
    expect(renderTable('strict', [{ ...cell, outcome: 'missed' }])).toContain(
      '| - | - | - | - | - | - | missed',
    );
  });

  it('stands beside its other states in a matrix, with what was violated', () => {
    const violations = [{ rule: 'not-whole-again' as const, message: 'after 60 s: node2' }];
    const matrix = renderMatrix('off', [
      cell,
      { ...cell, fault: 'proxy-agent-killed', outcome: 'not-whole-again', violations },
      { ...cell, state: 'demoting_old_primary', outcome: 'missed' },
    ]);
    expect(matrix.split('\n').slice(2)).toEqual([
      '| fault | none | demoting_old_primary |',
      '| --- | --- | --- |',
      '| dynamodb-away | 12 / 1 / 2 / 300 | too fast |',
      '| proxy-agent-killed | **not-whole-again** | - |',
      '',
    ]);
  });
});
