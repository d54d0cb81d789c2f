/**
 * Where the peers' programs are, and which Debian packages are missing where they are not. Nothing is installed from here.
 */
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { initInterpreter } from './peer-host.ts';

/** Debian puts daemons where an ordinary user's PATH does not look. */
const daemonFolders = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];

/** The program by its absolute path; null when it is in no folder of PATH, nor where Debian puts daemons. */
export function findPeerProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...daemonFolders];
  return folders.map((folder) => join(folder, name)).find(isProgram) ?? null;
}

/** As above; throws for who did not ask for the missing packages first. */
export function requirePeerProgram(name: string): string {
  const path = findPeerProgram(name);
  if (path === null) throw new Error(`${name} was not found`);
  return path;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Debian's folders of servers, the newest first. */
export function serverFolders(root = '/usr/lib/postgresql'): string[] {
  try {
    return readdirSync(root)
      .filter((name) => /^\d+$/.test(name))
      .sort((left, right) => Number(right) - Number(left))
      .map((name) => join(root, name, 'bin'));
  } catch {
    return [];
  }
}

/** The packages of those programs that are not here, in order, each once. */
export function missingOf(packages: readonly (readonly [present: boolean, name: string])[]): string[] {
  return [...new Set(packages.filter(([present]) => !present).map(([, name]) => name))];
}

/** What both peers need beside their own: an init for their hosts, HAProxy and PgBouncer in front, and PostgreSQL. */
export function commonPackages(): (readonly [boolean, string])[] {
  return [
    [isProgram(initInterpreter), 'python3'],
    [findPeerProgram('haproxy') !== null, 'haproxy'],
    [findPeerProgram('pgbouncer') !== null, 'pgbouncer'],
    [serverFolders().some((folder) => isProgram(join(folder, 'postgres'))), 'postgresql'],
  ];
}
