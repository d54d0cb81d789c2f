/**
 * JSON files that others read while they are written: each write goes to a file beside it that then takes its name, so a
 * reader sees the old content or the new, never a part. Readable by their owner alone, because most of them hold secrets.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';

/** The content, or null when there is no such file. Throws on anything that is not JSON. */
export function readJsonFile<T>(path: string): T | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return JSON.parse(text) as T;
}

/** Replaces the file at once; with `durable` it also survives a power cut from the return on. */
export function writeJsonFile(path: string, content: unknown, options: { durable?: boolean } = {}): void {
  const draft = `${path}.${process.pid}.draft`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(content, null, 2)}\n`);
    if (options.durable === true) fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}
