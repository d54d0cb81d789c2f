// Makes a new cluster. Everything happens in a sibling folder that is renamed at the end, so that an interrupted attempt
// leaves nothing that looks like a data directory; the next attempt removes its remains. The replication role is made by a
// single-user server: no port is opened and no other process can connect before the directory is complete.

import { chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { baseRole } from '../../core/model/cluster-secrets.ts';
import type { SystemIdentifier } from '../../core/model/system-identifier.ts';
import { quoteRole, writeIdentity } from './configuration.ts';
import { readControlFile } from './control-file.ts';
import { newNonce, pathExists, renameDurably } from './files.ts';
import { describeResult, type PostgresHost, runPostgresProgram, siblings, succeeded } from './host.ts';
import { killLeftoverPrograms } from './leftover-programs.ts';
import { createRoleIfMissing, loginStatements } from './logins.ts';

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
    `--username=${baseRole(host.superuser.name)}`,
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
 * The role that replicates and rewinds, with exactly the functions that pg_rewind calls; and the login in use where that is the other
 * one of its two roles. Passing existing roles only sets passwords and rights again, so that adopted clusters can be given the same.
 */
export function roleStatements(host: PostgresHost): string[] {
  const { superuser, replication } = host;
  const base = baseRole(replication.name);
  const role = quoteRole(base);
  const own =
    base === baseRole(superuser.name)
      ? []
      : base === replication.name
        ? [
            createRoleIfMissing(base),
            ...loginStatements('replication', replication.name, replication.password),
          ]
        : [createRoleIfMissing(base), `ALTER ROLE ${role} WITH REPLICATION`];
  const functions = [
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text)',
    'pg_read_binary_file(text, bigint, bigint, boolean)',
  ];
  return [
    ...own,
    ...functions.map((name) => `GRANT EXECUTE ON FUNCTION pg_catalog.${name} TO ${role}`),
    ...(['superuser', 'replication'] as const).flatMap((kind) => {
      const { name, password } = host[kind];
      return baseRole(name) === name ? [] : loginStatements(kind, name, password);
    }),
  ];
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
