/**
 * What the documents name exists: linked files, paths in the tree, npm scripts and CLI commands. A document that points at what was
 * renamed or never came fails here, not at a reader.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const inTree =
  /^(?:core|adapters|agent|lambdas|infra|cli|local|bench|spec|test|bin|docs|examples|\.ci)\/[\w./-]+$/;

interface Page {
  path: string;
  text: string;
}

function pages(): Page[] {
  const top = readdirSync(root).filter((name) => name.endsWith('.md'));
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  return [...top, ...docs, 'spec/invariants.md'].map((path) => ({
    path,
    text: readFileSync(join(root, path), 'utf8'),
  }));
}

/** GitHub's anchor of a heading. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

const all = pages();

const help = spawnSync(process.execPath, [join(root, 'cli', 'main.ts'), '--help'], { encoding: 'utf8' });
const captured = (text: string, form: RegExp) => Array.from(text.matchAll(form), (match) => match[1] ?? '');
const commands = captured(help.stdout, /^ {2}([a-z-]+)/gm);

function deadLinks({ path, text }: Page): string[] {
  return captured(text, /\]\(([^)]+)\)/g).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [file = '', heading] = link.split('#');
    const target = file === '' ? join(root, path) : join(root, dirname(path), file);
    if (!existsSync(target)) return true;
    if (heading === undefined) return false;
    return !captured(readFileSync(target, 'utf8'), /^#+ (.+)$/gm)
      .map(anchor)
      .includes(heading);
  });
}

test('there are documents to judge, and a CLI to judge them by', () => {
  expect(all.map(({ path }) => path)).toContain('docs/design.md');
  expect(commands).toContain('status');
});

test.each(all)('$path links only to what exists', (page) => {
  expect(deadLinks(page)).toEqual([]);
});

test.each(all)('$path names only paths that exist', ({ text }) => {
  const named = captured(text, /`([^`\n]+)`/g).filter((path) => inTree.test(path));
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test.each(all)('$path names only npm scripts that exist', ({ text }) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };
  const named = captured(text, /npm run ([a-z:-]+)/g);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test.each(all)('$path names only commands that the CLI has', ({ text }) => {
  const named = captured(text, /npx leasehold ([a-z-]+)/g);
  expect(named.filter((name) => !commands.includes(name))).toEqual([]);
});

test('each invariant has a number of its own, and code cites only numbers that there are', () => {
  const numbers = captured(readFileSync(join(root, 'spec', 'invariants.md'), 'utf8'), /^\| ([A-Z]\d+) \|/gm);
  expect(numbers.filter((one, index) => numbers.indexOf(one) !== index)).toEqual([]);
  const cited = ['core', 'agent', 'adapters', 'local', 'cli'].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) =>
        captured(readFileSync(join(root, room, name), 'utf8'), /(?:Upholds|invariants?) ([A-Z]\d+)\b/g),
      ),
  );
  expect(cited.length).toBeGreaterThan(20);
  expect(cited.filter((one) => !numbers.includes(one))).toEqual([]);
});

test('a dead link is found', () => {
  expect(
    deadLinks({ path: 'docs/a.md', text: '[a](nowhere.md) [b](design.md#no-such-heading)' }),
  ).toHaveLength(2);
  expect(
    deadLinks({ path: 'docs/a.md', text: '[a](design.md#five-rules) [b](https://example.org)' }),
  ).toEqual([]);
});
