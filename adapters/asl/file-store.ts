// Keeps each execution in a folder of its own: `journal.jsonl`, one record a line, only ever appended to, and
// `summary.json`, written at the end and replaced atomically. Writes are synchronous and go to the page cache, which
// outlives a SIGKILL; a line that was cut off is dropped (and cut away) when the journal is read again.

import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Execution, JournalRecord } from './execution.ts';
import { DamagedJournalError, type ExecutionStore, StoreError } from './execution-store.ts';

/** File systems take names of 255 bytes; a longer key is known by its hash. */
const LONGEST_NAME = 200;

function folderName(key: string): string {
  const name = encodeURIComponent(key).replaceAll('.', '%2E');
  return name.length <= LONGEST_NAME ? name : `sha256-${createHash('sha256').update(key).digest('hex')}`;
}

/** Creates the store, and its folder where that does not exist. One process at a time may use a folder. */
export function createFileStore(folder: string): ExecutionStore {
  mkdirSync(folder, { recursive: true });
  const journalOf = (key: string) => join(folder, folderName(key), 'journal.jsonl');
  const summaryOf = (key: string) => join(folder, folderName(key), 'summary.json');
  const known = new Set<string>();
  // A failed write may have left half a line, which the next one must not continue.
  const suspect = new Set<string>();
  return {
    list() {
      const stored = [];
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (!entry.isDirectory()) continue;
        const key = textIn(join(folder, entry.name, 'key'));
        if (key === undefined) continue;
        known.add(key);
        stored.push({ key, summary: summaryIn(join(folder, entry.name, 'summary.json')) });
      }
      return stored;
    },
    read: (key) => readJournal(journalOf(key)),
    append(key, record) {
      try {
        if (!known.has(key)) createFolder(join(folder, folderName(key)), key);
        known.add(key);
        if (suspect.has(key)) readJournal(journalOf(key));
        suspect.delete(key);
        appendFileSync(journalOf(key), `${JSON.stringify(record)}\n`);
      } catch (error) {
        suspect.add(key);
        throw new StoreError(`cannot write ${journalOf(key)}`, { cause: error });
      }
    },
    close(key, summary) {
      const path = summaryOf(key);
      try {
        writeFileSync(`${path}.new`, JSON.stringify(summary));
        renameSync(`${path}.new`, path);
      } catch (error) {
        throw new StoreError(`cannot write ${path}`, { cause: error });
      }
    },
    reopen: (key) => rmSync(summaryOf(key), { force: true }),
    remove(key) {
      known.delete(key);
      rmSync(join(folder, folderName(key)), { recursive: true, force: true });
    },
  };
}

/** The key is written before the first record, so that whatever has a journal can be listed. */
function createFolder(path: string, key: string): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'key.new'), key);
  renameSync(join(path, 'key.new'), join(path, 'key'));
}

function textIn(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function summaryIn(path: string): Execution | undefined {
  const text = textIn(path);
  return text === undefined ? undefined : (JSON.parse(text) as Execution);
}

function readJournal(path: string): JournalRecord[] {
  const text = textIn(path) ?? '';
  const end = text.lastIndexOf('\n') + 1;
  if (end < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, end)));
  const lines = text.slice(0, end).split('\n').slice(0, -1);
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as JournalRecord;
    } catch {
      throw new DamagedJournalError(`${path}: line ${index + 1} cannot be read`);
    }
  });
}
