// Rebuilds a node from another one: a base backup into a new folder, then a swap by two renames. The old directory is kept
// under another name until `removeKept`, for nothing is deleted that is not elsewhere before the node streams again.

import { strict as assert } from 'node:assert';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  connectionInfo,
  createStandbySignal,
  type Upstream,
  writeIdentity,
  writePasswordFile,
  writeUpstream,
} from './configuration.ts';
import { newNonce, pathExists, renameDurably } from './files.ts';
import { describeResult, type PostgresHost, runPostgresProgram, siblings, succeeded } from './host.ts';
import { killLeftoverPrograms } from './leftover-programs.ts';
import { findProcesses } from './processes.ts';
import { liftQuarantine } from './quarantine.ts';

export type BaseBackupResult =
  /** `kept`: where the directory that was there before is now; null when there was none. */
  | { readonly kind: 'rebuilt'; readonly kept: string | null; readonly ms: number }
  | { readonly kind: 'failed'; readonly output: string };

/** A backup is as long as the data is large; the caller bounds it too, by its signal. */
const LONGEST_BACKUP_MS = 24 * 3_600_000;

/**
 * Copies `source` and puts the copy in the place of the data directory, as a standby that follows `source`. The server must be
 * stopped. Before the swap a failure changes nothing; it also lifts the quarantine, for what was in it is set aside.
 */
export async function baseBackup(
  host: PostgresHost,
  options: { readonly source: Upstream; readonly nonce?: string; readonly signal?: AbortSignal },
): Promise<BaseBackupResult> {
  const startedMs = performance.now();
  const nonce = options.nonce ?? newNonce();
  await killLeftoverPrograms(host);
  await removeUnfinished(host);
  await writePasswordFile(host);
  const folder = siblings.rebuilding(host, nonce);
  const copied = await copy(host, folder, options.source, options.signal);
  if (copied !== null) {
    await rm(folder, { recursive: true, force: true });
    return { kind: 'failed', output: copied };
  }
  await writeIdentity(host, folder);
  await writeUpstream(host, options.source, folder);
  await createStandbySignal(host, folder);

  assert.deepEqual(findProcesses(host), [], 'a data directory in use is never replaced');
  const kept = (await pathExists(host.dataDir)) ? siblings.kept(host, nonce) : null;
  if (kept !== null) await renameDurably(host.dataDir, kept);
  await renameDurably(folder, host.dataDir);
  await liftQuarantine(host);
  return { kind: 'rebuilt', kept, ms: performance.now() - startedMs };
}

async function copy(
  host: PostgresHost,
  folder: string,
  source: Upstream,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const args = [
    `--pgdata=${folder}`,
    `--dbname=${connectionInfo(host, { ...source, applicationName: `${host.nodeName}-copy` }, 'replication')}`,
    '--wal-method=stream',
    '--checkpoint=fast',
    '--no-password',
    ...(source.slot === null ? [] : [`--slot=${source.slot}`]),
  ];
  const bounds = { timeoutMs: LONGEST_BACKUP_MS, ...(signal === undefined ? {} : { signal }) };
  const result = await runPostgresProgram(host, 'pg_basebackup', args, bounds);
  return succeeded(result) ? null : describeResult(result);
}

/** Folders of copies that were interrupted: they were never a data directory. */
async function removeUnfinished(host: PostgresHost): Promise<void> {
  for (const name of await siblingFolders(host, 'rebuilding'))
    await rm(name, { recursive: true, force: true });
}

/** Directories that were set aside, oldest name first; names carry no age. */
export async function listKept(host: PostgresHost): Promise<string[]> {
  return siblingFolders(host, 'kept');
}

/** Removes what was set aside, all but the folders named in `except`. To be called once the node streams. */
export async function removeKept(host: PostgresHost, except: readonly string[] = []): Promise<string[]> {
  const removed: string[] = [];
  for (const folder of await listKept(host)) {
    if (except.includes(folder)) continue;
    await rm(folder, { recursive: true, force: true });
    removed.push(folder);
  }
  return removed;
}

async function siblingFolders(host: PostgresHost, purpose: 'rebuilding' | 'kept'): Promise<string[]> {
  const parent = dirname(host.dataDir);
  const prefix = `${basename(host.dataDir)}.${purpose}-`;
  const names = await readdir(parent);
  return names.filter((name) => name.startsWith(prefix)).map((name) => join(parent, name));
}
