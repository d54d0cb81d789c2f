/**
 * The house rules that no linter knows: which folder may import which, which file names say nothing, how long a file may be, and
 * that it opens by saying what it is for. Pure: `breaches` judges one file's path and text, so that each rule can be shown to fail.
 */
import { posix } from 'node:path';

/** What a folder's files may import: other folders of the project (itself included), and whether npm packages and Node modules. */
interface Room {
  mayImport: readonly string[];
  packages: boolean;
  node: boolean;
}

const anything = { mayImport: ['*'], packages: true, node: true };

/** The table of docs/style.md. A folder that is not here is not checked. */
export const rooms: Readonly<Record<string, Room>> = {
  core: { mayImport: ['core'], packages: false, node: false },
  adapters: { mayImport: ['core', 'adapters'], packages: true, node: true },
  agent: { mayImport: ['core', 'adapters', 'agent'], packages: true, node: true },
  lambdas: { mayImport: ['core', 'adapters', 'lambdas'], packages: true, node: true },
  cli: { mayImport: ['core', 'adapters', 'cli'], packages: true, node: true },
  console: { mayImport: ['core/model', 'core/wire', 'console'], packages: true, node: false },
  infra: { mayImport: ['core', 'infra'], packages: true, node: true },
  examples: { mayImport: ['infra'], packages: true, node: true },
  bin: { mayImport: ['bin'], packages: false, node: true },
  local: anything,
  bench: anything,
  spec: anything,
  test: anything,
};

/** Lines after which a file should have been two. */
export const longestFile = 400;

/** Names that say where code was put, not what it does. */
const emptyNames = /^(utils?|helpers?|types|common|misc|index)\.(ts|js)$/;

/** Folders whose own words must be primary and standby. Compatible wire formats keep the words of their origin. */
const plainWords = new Set(['core', 'agent', 'lambdas', 'infra', 'cli']);
const otherWords = /\b(master|slave)s?\b/i;
const compatible = /compat|wire|api\/pg\/v1|promote-master|'\/(?:master|slave)'/i;

const importForms = [
  /^[ \t]*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^[ \t]*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]/g,
  /\brequire\(\s*['"]([^'"]+)['"]/g,
];

/** Every module that a file names in an import or export, type imports included. */
export function importedModules(text: string): string[] {
  return importForms.flatMap((form) => Array.from(text.matchAll(form), (match) => match[1] ?? ''));
}

function importBreach(path: string, room: Room, target: string): string | undefined {
  if (target.startsWith('node:')) return room.node ? undefined : `imports ${target}`;
  if (!target.startsWith('.')) return room.packages ? undefined : `imports the package ${target}`;
  const resolved = posix.join(posix.dirname(path), target);
  const allowed = room.mayImport.some((folder) => folder === '*' || resolved.startsWith(`${folder}/`));
  return allowed ? undefined : `imports ${resolved}; its folder may import ${room.mayImport.join(', ')}`;
}

function wordBreaches(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, at) =>
      otherWords.test(line) && !compatible.test(line) ? [`line ${at + 1} says master or slave`] : [],
    );
}

/** What one file breaks, in words; empty when nothing. `path` is relative to the project, with forward slashes. */
export function breaches(path: string, text: string): string[] {
  const [folder = ''] = path.split('/');
  const room = rooms[folder];
  if (!room) return [];
  const found = importedModules(text).flatMap((target) => importBreach(path, room, target) ?? []);
  if (emptyNames.test(posix.basename(path))) found.push('has a name that says nothing');
  const lines = text.split('\n').length - 1;
  if (lines > longestFile) found.push(`has ${lines} lines; ${longestFile} is the most`);
  if (!/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(text))
    found.push('does not open with a comment that says what it is for');
  if (plainWords.has(folder) && !compatible.test(path)) found.push(...wordBreaches(text));
  return found;
}
