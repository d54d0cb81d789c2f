/**
 * Holds every source file to the house rules, and shows for each rule a file that breaks it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { breaches, importedModules, longestFile, rooms } from './house-rules.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

function sourceFiles(): string[] {
  return Object.keys(rooms).flatMap((room) => {
    try {
      return readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(ts|tsx|js)$/.test(name) && !name.includes('node_modules'))
        .map((name) => `${room}/${name}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // a folder that is still to come
      throw error;
    }
  });
}

const head = '/** What it is for. */\n';

describe('the tree', () => {
  const files = sourceFiles();

  test('is seen at all', () => {
    expect(files).toContain('test/style/house-rules.ts');
    expect(files).toContain('bin/setup.js');
  });

  test('breaks no house rule', () => {
    const found = files.flatMap((path) =>
      breaches(path, readFileSync(join(root, path), 'utf8')).map((breach) => `${path} ${breach}`),
    );
    expect(found).toEqual([]);
  });
});

describe('a breach is found when', () => {
  test.each([
    ['core imports an adapter', 'core/model/lease.ts', "import { now } from '../../adapters/clock.ts';"],
    [
      'core imports only a type of an adapter',
      'core/a.ts',
      "import type { Clock } from '../adapters/clock.ts';",
    ],
    ['core imports over several lines', 'core/a.ts', "import {\n  now,\n} from '../adapters/clock.ts';"],
    ['core re-exports from elsewhere', 'core/a.ts', "export { now } from '../adapters/clock.ts';"],
    ['core imports for the side effect', 'core/a.ts', "import '../adapters/clock.ts';"],
    ['core imports at run time', 'core/a.ts', "const clock = await import('../adapters/clock.ts');"],
    ['core imports a Node module', 'core/a.ts', "import { readFileSync } from 'node:fs';"],
    ['core imports a package', 'core/a.ts', "import jsonata from 'jsonata';"],
    [
      'an adapter imports the agent',
      'adapters/aws/lease-store.ts',
      "import { loop } from '../../agent/loop.ts';",
    ],
    ['the agent imports the CLI', 'agent/loop.ts', "import { print } from '../cli/print.ts';"],
    ['a Lambda imports the agent', 'lambdas/decide.ts', "import { loop } from '../agent/loop.ts';"],
    ['the CLI imports the embedded runtime', 'cli/up.ts', "import { start } from '../local/main-job.ts';"],
    ['infra imports a handler', 'infra/app.ts', "import { handler } from '../lambdas/decide.ts';"],
    [
      'the console imports rules of core',
      'console/view.ts',
      "import { decide } from '../core/failover/decide.ts';",
    ],
    ['a set-up script imports a package', 'bin/setup.js', "import pg from 'pg';"],
    [
      'a folder whose name only begins alike is imported',
      'core/a.ts',
      "import { a } from '../core-extra/a.ts';",
    ],
    ['core speaks of masters', 'core/a.ts', 'export const isMaster = true; // the master'],
  ])('%s', (_rule, path, line) => {
    expect(breaches(path, `${head}${line}\n`)).toHaveLength(1);
  });

  test('a file has an empty name', () => {
    expect(breaches('core/utils.ts', head)).toEqual(['has a name that says nothing']);
    expect(breaches('adapters/aws/index.ts', head)).toEqual(['has a name that says nothing']);
  });

  test('a file is too long', () => {
    expect(breaches('core/a.ts', head + '\n'.repeat(longestFile))).toEqual([
      `has ${longestFile + 1} lines; ${longestFile} is the most`,
    ]);
  });

  test('a file does not say what it is for', () => {
    expect(breaches('core/a.ts', 'export const a = 1;\n')).toHaveLength(1);
  });
});

describe('no breach is found when', () => {
  test.each([
    ['core imports core', 'core/failover/decide.ts', "import { Lease } from '../model/lease.ts';"],
    ['the agent imports adapters', 'agent/loop.ts', "import { monotonic } from '../adapters/clock.ts';"],
    ['the embedded runtime imports the agent', 'local/agents.ts', "import { loop } from '../agent/loop.ts';"],
    ['a comment shows an import', 'core/a.ts', " * import { a } from '../adapters/a.ts'"],
    ['a compatible wire format keeps its words', 'agent/compat/node-api.ts', "export const role = 'master';"],
    ['a health check keeps its path', 'core/host/health.ts', "  '/master': isPrimary,"],
    ['a line names the compatible interface', 'cli/a.ts', "post('/api/v1/jobs/postgres/promote-master');"],
  ])('%s', (_rule, path, line) => {
    expect(breaches(path, `${head}${line}\n`)).toEqual([]);
  });
});

test('every form of import is read', () => {
  const text = [
    "import a from 'one';",
    "import type { B } from 'two';",
    "export * from 'three';",
    "import 'four';",
    "const c = await import('five');",
    "const d = require('six');",
  ].join('\n');
  expect(importedModules(text)).toEqual(['one', 'two', 'three', 'four', 'five', 'six']);
});
