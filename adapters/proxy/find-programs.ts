/**
 * Finds HAProxy and PgBouncer on this machine and reads their versions, so that a missing or too old one is told by the name of
 * the Debian package before anything is started.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

export interface Program {
  /** Absolute path. */
  readonly path: string;
  /** As the program prints it: `2.6.12`, `1.18.0`. */
  readonly version: string;
}

export type ProgramName = 'haproxy' | 'pgbouncer';

export type ProxyPrograms =
  | { readonly kind: 'found'; readonly haproxy: Program; readonly pgbouncer: Program }
  | {
      readonly kind: 'missing';
      readonly program: ProgramName;
      readonly debianPackage: string;
      readonly detail: string;
    }
  | {
      readonly kind: 'too-old';
      readonly program: ProgramName;
      readonly debianPackage: string;
      readonly detail: string;
    };

/** Servers are added at runtime with health checks from HAProxy 2.5 on; PgBouncer's SCRAM pass-through is whole from 1.16 on. */
const oldest: Readonly<Record<ProgramName, readonly [number, number]>> = {
  haproxy: [2, 5],
  pgbouncer: [1, 16],
};
const versionFlag: Readonly<Record<ProgramName, string>> = { haproxy: '-v', pgbouncer: '--version' };
/** Debian puts daemons where an ordinary user's PATH does not look. */
const daemonFolders = ['/usr/sbin', '/usr/local/sbin', '/sbin'];
const versionTimeoutMs = 5_000;

async function findProgram(name: ProgramName, folders: readonly string[]): Promise<string | null> {
  for (const folder of folders) {
    const path = join(folder, name);
    const runnable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runnable) return path;
  }
  return null;
}

function firstOutput(path: string, flag: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(path, [flag], { timeout: versionTimeoutMs }, (_error, stdout, stderr) =>
      resolve(`${stdout}\n${stderr}`),
    );
  });
}

/**
 * Looks in `searchPath` (as PATH is written; default: this process's PATH), then in `otherFolders` (default: those of daemons).
 * `missing` and `too-old` name the Debian package to install.
 */
export async function findProxyPrograms(
  searchPath: string = process.env.PATH ?? '',
  otherFolders: readonly string[] = daemonFolders,
): Promise<ProxyPrograms> {
  const folders = [...searchPath.split(delimiter).filter((folder) => folder !== ''), ...otherFolders];
  const found: Partial<Record<ProgramName, Program>> = {};
  for (const program of ['haproxy', 'pgbouncer'] as const) {
    const path = await findProgram(program, folders);
    if (path === null)
      return {
        kind: 'missing',
        program,
        debianPackage: program,
        detail: `${program} is in none of ${folders.join(', ')}`,
      };
    const output = await firstOutput(path, versionFlag[program]);
    const version = /(?:version|PgBouncer)\s+(\d+\.\d+[\w.]*)/i.exec(output)?.[1];
    if (version === undefined)
      return { kind: 'missing', program, debianPackage: program, detail: `${path} did not tell its version` };
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const [oldestMajor, oldestMinor] = oldest[program];
    if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
      return {
        kind: 'too-old',
        program,
        debianPackage: program,
        detail: `${path} is ${version}; ${oldestMajor}.${oldestMinor} is the oldest that works`,
      };
    found[program] = { path, version };
  }
  if (!found.haproxy || !found.pgbouncer) throw new Error('both programs were looked for');
  return { kind: 'found', haproxy: found.haproxy, pgbouncer: found.pgbouncer };
}
