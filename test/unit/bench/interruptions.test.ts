/** The moments at which the sweep of interruptions strikes, and its cases: what is named is what is meant. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { journalled, logged, openVerbs, reached } from '../../../bench/interruptions/moments.ts';
import { leftBehind } from '../../../bench/interruptions/run-case.ts';
import { allCases, caseOf, operationNames } from '../../../bench/interruptions/scene.ts';

let folder: string;
let host: { folder: string; logFile: string };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-moments-'));
  for (const name of ['state', 'data']) mkdirSync(join(folder, name));
  host = { folder, logFile: join(folder, 'agent.log') };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const writeJournal = (open: readonly object[]) =>
  writeFileSync(join(folder, 'state', 'journal.json'), JSON.stringify({ open, closed: [] }));

describe('a moment', () => {
  it('is a line that was logged since the watch began, whole, with all of its parts', () => {
    writeFileSync(host.logFile, '{"message":"lease_acquired","node":"node1"}\n');
    const isThere = logged('"message":"lease_acquired"', '"node":"node1"')(host);
    expect(isThere()).toBe(false);
    appendFileSync(host.logFile, '{"message":"lease_acquired","node":"node2"}\n{"message":"lease_acq');
    expect(isThere()).toBe(false);
    appendFileSync(host.logFile, 'uired","node":"node1"}');
    expect(isThere()).toBe(false);
    appendFileSync(host.logFile, '\n');
    expect(isThere()).toBe(true);
  });

  it('is a step of an open entry of the journal, and of none that is not there yet', () => {
    const isThere = journalled('rebuild', 'copied')(host);
    expect(isThere()).toBe(false);
    writeJournal([{ verb: 'rebuild', steps: [{ step: 'copying' }] }]);
    expect(isThere()).toBe(false);
    writeJournal([{ verb: 'rebuild', steps: [{ step: 'copying' }, { step: 'copied' }] }]);
    expect(isThere()).toBe(true);
  });

  it('that does not come is not waited for longer than asked', async () => {
    expect(await reached(() => false, 30)).toBe(false);
    expect(await reached(() => true, 0)).toBe(true);
  });
});

it('what is left on a host is named: half copies, a quarantine, work in its journal; a kept directory is none', () => {
  for (const name of ['pgdata', 'pgdata.kept-0123abcd']) mkdirSync(join(folder, 'data', name));
  expect(leftBehind([folder])).toEqual([]);
  mkdirSync(join(folder, 'data', 'pgdata.rebuilding-0123abcd'));
  writeFileSync(join(folder, 'data', 'pgdata.quarantine'), '');
  writeJournal([
    { verb: 'rewind', steps: [] },
    { verb: 'follow', steps: [] },
  ]);
  expect(openVerbs(folder)).toEqual(['rewind', 'follow']);
  expect(leftBehind([folder]).map((line) => line.split(': ')[1])).toEqual([
    'pgdata.quarantine',
    'pgdata.rebuilding-0123abcd',
    'rewind',
  ]);
});

describe('the cases', () => {
  it('are each one of its kind, and cover every operation', () => {
    const names = allCases.map(({ operation, step, victim }) => `${operation} | ${step.name} | ${victim}`);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(allCases.map(({ operation }) => operation))).toEqual(new Set(operationNames));
  });

  it('that are asked for and not there are refused with what there is', () => {
    expect(() => caseOf('rewind', 'pg_rewind ran', 'comer agent')).toThrow('pg_rewind runs');
    expect(caseOf('rewind', 'pg_rewind runs', 'comer agent').operation).toBe('rewind');
  });
});
