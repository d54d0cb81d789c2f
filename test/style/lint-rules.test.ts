/**
 * Shows that Biome, as configured, finds what the house forbids: one small bad file for each rule, in the folder where it holds.
 * A rule that is turned off, or that a new version of Biome renames, fails here.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What is wrong, the file it stands in, its text, the rule that must say so. */
type BadFile = [what: string, path: string, text: string, rule: string];

const hundredLines = `export function a() {\n${'  a();\n'.repeat(100)}}`;

const badFiles: BadFile[] = [
  ['a clock in core', 'core/clock.ts', 'export const a = Date.now();', 'noRestrictedGlobals'],
  [
    'a monotonic clock in core',
    'core/monotonic.ts',
    'export const a = performance.now();',
    'noRestrictedGlobals',
  ],
  ['a timer in core', 'core/timer.ts', 'setTimeout(() => undefined, 1);', 'noRestrictedGlobals'],
  ['chance in core', 'core/chance.ts', 'export const a = Math.random();', 'noJsRestrictedProperties'],
  [
    'a Node module in core',
    'core/node.ts',
    "import fs from 'node:fs';\nexport const a = fs;",
    'noRestrictedImports',
  ],
  ['printing in core', 'core/print.ts', "console.log('a');", 'noConsole'],
  ['printing in an adapter', 'adapters/print.ts', "console.log('a');", 'noConsole'],
  ['a default export', 'agent/default.ts', 'const a = 1;\nexport default a;', 'noDefaultExport'],
  ['a barrel', 'agent/barrel.ts', "export * from './any.ts';", 'noReExportAll'],
  ['any', 'agent/any.ts', 'export const a: any = 1;', 'noExplicitAny'],
  ['an unexplained !', 'agent/sure.ts', 'export const a = (b?: string) => b!.length;', 'noNonNullAssertion'],
  ['an enum', 'agent/enum.ts', 'export enum A { B }', 'noEnum'],
  ['a file name in camel case', 'agent/someThing.ts', 'export const a = 1;', 'useFilenamingConvention'],
  [
    'an import without its ending',
    'agent/ending.ts',
    "import { a } from './any';\nexport const b = a;",
    'useImportExtensions',
  ],
  [
    'an undeclared package',
    'agent/package.ts',
    "import a from 'left-pad';\nexport const b = a;",
    'noUndeclaredDependencies',
  ],
  [
    'a promise nobody waits for',
    'agent/promise.ts',
    'async function a() {}\nexport function b() {\n  a();\n}',
    'noFloatingPromises',
  ],
  [
    'files that import one another',
    'agent/cycle.ts',
    "import { a } from './cycle-too.ts';\nexport const b = a;",
    'noImportCycles',
  ],
  [
    'its other half',
    'agent/cycle-too.ts',
    "import { b } from './cycle.ts';\nexport const a = b;",
    'noImportCycles',
  ],
  ['a test that runs alone', 'test/unit/only.test.ts', "test.only('a', () => undefined);", 'noFocusedTests'],
  [
    'a test skipped without a reason',
    'test/unit/skip.test.ts',
    "test.skip('a', () => undefined);",
    'noSkippedTests',
  ],
  ['a function of a hundred lines', 'agent/long.ts', hundredLines, 'noExcessiveLinesPerFunction'],
];

const cleanFile = 'core/clean.ts';

/** Lints all files in one run, in a folder that has nothing else but the project's configuration. */
function lint(files: readonly { path: string; text: string }[]): Map<string, string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-lint-'));
  try {
    for (const name of ['biome.json', 'package.json']) copyFileSync(join(root, name), join(folder, name));
    for (const { path, text } of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), `${text}\n`);
    }
    const biome = join(root, 'node_modules', '.bin', 'biome');
    const args = ['lint', '--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none', '.'];
    const run = spawnSync(biome, args, { cwd: folder, encoding: 'utf8', timeout: 30_000 });
    const { diagnostics } = JSON.parse(run.stdout) as {
      diagnostics: { severity: string; category: string; location: { path: string } }[];
    };
    const broken = new Map<string, string[]>();
    for (const { severity, category, location } of diagnostics) {
      if (severity !== 'error') continue;
      const path = location.path.replace(/^\.\//, '');
      broken.set(path, [...(broken.get(path) ?? []), category.split('/').at(-1) ?? category]);
    }
    return broken;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const broken = lint([
  ...badFiles.map(([, path, text]) => ({ path, text })),
  { path: cleanFile, text: '/** A number. */\nexport const a = 1;' },
]);

test.each(badFiles)('Biome refuses %s', (_what, path, _text, rule) => {
  expect(broken.get(path)).toContain(rule);
});

test('Biome finds nothing in a clean file', () => {
  expect(broken.get(cleanFile)).toBeUndefined();
});
