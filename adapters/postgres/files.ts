// Files of a data directory: written whole or not at all, owned by the server's user. Asynchronous throughout, because a
// frozen disk must not stop the loop that fences; a rename is followed by an fsync of its folder, or a power cut undoes it.

import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RunAs } from '../process.ts';

/** Replaces a file's content atomically and durably. */
export async function writeFileAtomically(
  path: string,
  content: string,
  options: { readonly owner: RunAs | null; readonly mode?: number },
): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', options.mode ?? 0o600);
    try {
      await handle.writeFile(content);
      if (options.owner !== null) await handle.chown(options.owner.uid, options.owner.gid);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Writes only when the content differs: an fsync costs more than a read. Says whether it wrote. */
export async function writeFileIfChanged(
  path: string,
  content: string,
  options: { readonly owner: RunAs | null; readonly mode?: number },
): Promise<boolean> {
  if ((await readTextFile(path)) === content) return false;
  await writeFileAtomically(path, content, options);
  return true;
}

/** A file's text, or null when there is no such file. Other errors (I/O, rights) throw. */
export async function readTextFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Removes a file durably; none there is fine. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

/** Renames durably within one folder. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}

/** Makes created, removed and renamed names of a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates a folder for the server's user alone; one that exists is left as it is. */
export async function ensureFolder(path: string, owner: RunAs | null, mode: number): Promise<void> {
  const created = await mkdir(path, { recursive: true, mode });
  if (created === undefined || owner === null) return;
  const handle = await open(path, 'r');
  try {
    await handle.chown(owner.uid, owner.gid);
  } finally {
    await handle.close();
  }
}

/** Whether something is there. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Eight hexadecimal digits for a name that nobody else uses. */
export function newNonce(): string {
  return randomBytes(4).toString('hex');
}

export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
