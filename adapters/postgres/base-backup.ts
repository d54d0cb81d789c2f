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

export interface BaseBackupOptions {
  readonly source: Upstream;
  readonly nonce?: string;
  readonly signal?: AbortSignal;
  /** Called when the copy is whole, and what is there is about to be replaced by it. */
  readonly onCopied?: () => Promise<void>;
}

/**
 * Copies `source` and puts the copy in the place of the data directory, as a standby that follows `source`. The server must be
 * stopped. Before the swap a failure changes nothing; it also lifts the quarantine, for what was in it is set aside.
 */
export async function baseBackup(host: PostgresHost, options: BaseBackupOptions): Promise<BaseBackupResult> {
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

  await options.onCopied?.();
  const kept = await putCopyInPlace(host, nonce);
  await liftQuarantine(host);
  return { kind: 'rebuilt', kept, ms: performance.now() - startedMs };
}

/**
 * The copy of that nonce takes the place of the data directory, which is kept. Done again after it was interrupted between the
 * two renames, it does the second. Returns where the former directory is; null when there was none.
 */
export async function putCopyInPlace(host: PostgresHost, nonce: string): Promise<string | null> {
  assert.deepEqual(findProcesses(host), [], 'a data directory in use is never replaced');
  const kept = siblings.kept(host, nonce);
  if (await pathExists(host.dataDir)) await renameDurably(host.dataDir, kept);
  await renameDurably(siblings.rebuilding(host, nonce), host.dataDir);
  return (await pathExists(kept)) ? kept : null;
}

/** The directory that was set aside for the copy of that nonce returns. */
export async function putKeptBack(host: PostgresHost, nonce: string): Promise<void> {
  await renameDurably(siblings.kept(host, nonce), host.dataDir);
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
