// Makes a new cluster. Everything happens in a sibling folder that is renamed at the end, so that an interrupted attempt
// leaves nothing that looks like a data directory; the next attempt removes its remains. The replication role is made by a
// single-user server: no port is opened and no other process can connect before the directory is complete.

import { chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { SystemIdentifier } from '../../core/model/system-identifier.ts';
import { writeIdentity } from './configuration.ts';
import { readControlFile } from './control-file.ts';
import { newNonce, pathExists, renameDurably } from './files.ts';
import { describeResult, type PostgresHost, runPostgresProgram, siblings, succeeded } from './host.ts';
import { killLeftoverPrograms } from './leftover-programs.ts';

export type Initialisation =
  | { readonly kind: 'initialised'; readonly systemIdentifier: SystemIdentifier; readonly ms: number }
  /** Something is where the data directory should be: it is never touched. */
  | { readonly kind: 'exists' }
  | { readonly kind: 'failed'; readonly step: 'initdb' | 'roles' | 'control-file'; readonly reason: string };

const INITDB_TIMEOUT_MS = 120_000;
const ROLES_TIMEOUT_MS = 60_000;

/** Creates the cluster with checksums, UTF-8, the C locale and SCRAM passwords. `nonce` names the temporary folder. */
export async function initialise(host: PostgresHost, nonce = newNonce()): Promise<Initialisation> {
  const startedMs = performance.now();
  if (await pathExists(host.dataDir)) return { kind: 'exists' };
  await killLeftoverPrograms(host);
  await removeInterrupted(host);
  const folder = siblings.initialising(host, nonce);
  const data = join(folder, 'data');
  try {
    await makeOwnFolder(host, folder);
    const created = await runInitdb(host, folder, data);
    if (created !== null) return { kind: 'failed', step: 'initdb', reason: created };
    await writeIdentity(host, data);
    const roles = await runSingleUser(host, data, roleStatements(host), ROLES_TIMEOUT_MS);
    if (roles !== null) return { kind: 'failed', step: 'roles', reason: roles };
    const control = await readControlFile(data);
    if (control.kind !== 'control-data' || control.state !== 'shut-down') {
      return { kind: 'failed', step: 'control-file', reason: 'the new cluster was not shut down cleanly' };
    }
    await renameDurably(data, host.dataDir);
    const ms = performance.now() - startedMs;
    return { kind: 'initialised', systemIdentifier: control.systemIdentifier, ms };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes what interrupted attempts left: folders that were never a data directory. */
async function removeInterrupted(host: PostgresHost): Promise<void> {
  const parent = dirname(host.dataDir);
  const prefix = `${basename(host.dataDir)}.initialising-`;
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

async function makeOwnFolder(host: PostgresHost, folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  if (host.runAs !== null) await chown(folder, host.runAs.uid, host.runAs.gid);
}

async function runInitdb(host: PostgresHost, folder: string, data: string): Promise<string | null> {
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${host.superuser.password}\n`, { mode: 0o600 });
  if (host.runAs !== null) await chown(passwordFile, host.runAs.uid, host.runAs.gid);
  const args = [
    `--pgdata=${data}`,
    `--username=${host.superuser.name}`,
    `--pwfile=${passwordFile}`,
    '--auth-local=scram-sha-256',
    '--auth-host=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
  ];
  const result = await runPostgresProgram(host, 'initdb', args, { timeoutMs: INITDB_TIMEOUT_MS });
  return succeeded(result) ? null : describeResult(result);
}

/**
 * The role that replicates and rewinds, with exactly the functions that pg_rewind calls. Passing an existing role only sets
 * its password and rights again, so that adopted clusters can be given the same.
 */
export function roleStatements(host: PostgresHost): string[] {
  const role = `"${host.replication.name.replaceAll('"', '""')}"`;
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  const statements =
    host.replication.name === host.superuser.name
      ? []
      : [
          createRoleIfMissing(host.replication.name),
          `ALTER ROLE ${role} WITH LOGIN REPLICATION PASSWORD ${literal(host.replication.password)}`,
        ];
  const functions = [
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text)',
    'pg_read_binary_file(text, bigint, bigint, boolean)',
  ];
  return [
    ...statements,
    ...functions.map((name) => `GRANT EXECUTE ON FUNCTION pg_catalog.${name} TO ${role}`),
  ];
}

/** Without an exception that is caught: a single-user server that is to end at the first error ends at that one too. */
export function createRoleIfMissing(name: string): string {
  const [literal, role] = [`'${name.replaceAll("'", "''")}'`, `"${name.replaceAll('"', '""')}"`];
  return `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal}) THEN CREATE ROLE ${role}; END IF; END $$`;
}

/**
 * Runs statements on a stopped server, one a line, and shuts it down cleanly; without statements this is a crash recovery.
 * Null, or why it failed. Never with standby.signal present: the server refuses that, and so it must.
 */
export async function runSingleUser(
  host: PostgresHost,
  dataDir: string,
  statements: readonly string[],
  timeoutMs: number,
): Promise<string | null> {
  if (await pathExists(join(dataDir, 'standby.signal'))) return 'standby.signal is present';
  const args = [
    '--single',
    '-D',
    dataDir,
    // A statement that fails ends the run with an exit code, instead of a message and the next statement.
    '-c',
    'exit_on_error=on',
    // Nobody can acknowledge: a commit here must not wait.
    '-c',
    'synchronous_standby_names=',
    'postgres',
  ];
  const stdin = statements.map((statement) => `${statement}\n`).join('');
  const result = await runPostgresProgram(host, 'postgres', args, { timeoutMs, stdin });
  return succeeded(result) ? null : describeResult(result);
}
