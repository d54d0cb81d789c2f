// Finds PostgreSQL's programs and their major version. Says what is missing by name, because "not found" helps nobody who
// has the client package but not the server.

import { constants } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { runProgram } from '../process.ts';

/** What this code calls; a folder that lacks one of them is not an installation. */
export const REQUIRED_PROGRAMS = [
  'postgres',
  'initdb',
  'pg_ctl',
  'pg_basebackup',
  'pg_rewind',
  'pg_waldump',
  'pg_controldata',
] as const;

export const OLDEST_MAJOR = 13;
export const NEWEST_MAJOR = 18;
const VERSION_TIMEOUT_MS = 5_000;

export interface Installation {
  readonly kind: 'installation';
  readonly binDir: string;
  /** 13 to 18. */
  readonly major: number;
  /** As the server prints it: '15.18 (Debian 15.18-0+deb12u1)'. */
  readonly version: string;
}

export type InstallationSearch =
  | Installation
  | {
      readonly kind: 'missing';
      readonly looked: readonly string[];
      /** Folders that hold some programs but not all, with the names that lack. */
      readonly incomplete: readonly { readonly binDir: string; readonly missing: readonly string[] }[];
      /** Complete installations of a version that is not supported. */
      readonly unsupported: readonly { readonly binDir: string; readonly version: string }[];
    };

/** The newest complete installation; only `binDir` is looked at when it is given. */
export async function findInstallation(binDir?: string): Promise<InstallationSearch> {
  const looked = binDir === undefined ? await candidateFolders() : [binDir];
  const incomplete: { binDir: string; missing: readonly string[] }[] = [];
  const unsupported: { binDir: string; version: string }[] = [];
  const found: Installation[] = [];
  for (const folder of looked) {
    const missing = await missingPrograms(folder);
    if (missing.length === REQUIRED_PROGRAMS.length) continue;
    if (missing.length > 0) {
      incomplete.push({ binDir: folder, missing });
      continue;
    }
    const version = await readVersion(folder);
    const major = Number.parseInt(version, 10);
    if (major >= OLDEST_MAJOR && major <= NEWEST_MAJOR)
      found.push({ kind: 'installation', binDir: folder, major, version });
    else unsupported.push({ binDir: folder, version });
  }
  found.sort((a, b) => b.major - a.major);
  return found[0] ?? { kind: 'missing', looked, incomplete, unsupported };
}

/** One sentence for a person who has to install something. */
export function describeMissing(search: InstallationSearch & { kind: 'missing' }): string {
  const details = [
    ...search.incomplete.map(({ binDir, missing }) => `${binDir} lacks ${missing.join(', ')}`),
    ...search.unsupported.map(({ binDir, version }) => `${binDir} is version ${version || 'unknown'}`),
  ];
  const found = details.length === 0 ? `looked in ${search.looked.join(', ')}` : details.join('; ');
  return `no PostgreSQL ${OLDEST_MAJOR} to ${NEWEST_MAJOR} server with all its programs: ${found}`;
}

async function candidateFolders(): Promise<string[]> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  for (const name of await list('/usr/lib/postgresql'))
    folders.push(join('/usr/lib/postgresql', name, 'bin'));
  for (const name of await list('/usr'))
    if (name.startsWith('pgsql-')) folders.push(join('/usr', name, 'bin'));
  return [...new Set(folders)];
}

async function missingPrograms(folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (const program of REQUIRED_PROGRAMS) {
    await access(join(folder, program), constants.X_OK).catch(() => missing.push(program));
  }
  return missing;
}

async function readVersion(binDir: string): Promise<string> {
  const result = await runProgram([join(binDir, 'postgres'), '--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  if (result.kind !== 'exited') return '';
  return /^postgres \(PostgreSQL\) (.+)$/m.exec(result.stdout)?.[1] ?? '';
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
