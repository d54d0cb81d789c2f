/** Tables, option values and the names of clusters: the small things a person at the terminal meets. */
import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { clusterFolder } from '../../cli/cluster/cluster-folder.ts';
import { wholeNumber } from '../../cli/option-values.ts';
import { table } from '../../cli/terminal.ts';

describe('a table', () => {
  it('aligns words to the left and numbers to the right, and leaves no blanks at the end', () => {
    const text = table([
      ['node', 'lag', 'role'],
      ['a', 5, 'x'],
      ['node2', 12345, null],
    ]);
    expect(text).toBe('node   lag    role\na          5  x\nnode2  12345  -');
  });
});

describe('an option that takes a whole number', () => {
  it.each(['0', '11', 'x', '', '1.5', '-1', '1e1'])('refuses %j outside 1 to 10', (text) => {
    expect(() => wholeNumber(1, 10)(text)).toThrow(InvalidArgumentError);
  });

  it('takes both bounds', () => {
    expect([wholeNumber(1, 10)('1'), wholeNumber(1, 10)('10')]).toEqual([1, 10]);
  });
});

describe('the folder of a cluster', () => {
  it.each(['', '..', 'a/b', 'build', '.'])('is refused for the name %j', (name) => {
    expect(() => clusterFolder('/project', name)).toThrow(/cluster/);
  });

  it('is below .leasehold in the project', () => {
    expect(clusterFolder('/project', 'main').endpoints).toBe('/project/.leasehold/main/endpoints.json');
  });
});
