// Where executions are kept: a journal of records for each, and a summary once it has closed so that listing needs no
// journal. An implementation must make `append` durable against the death of this process (not of the machine) before it
// returns, and must tolerate a last record that was cut off by such a death.

import type { Execution, JournalRecord } from './execution.ts';

export interface StoredExecution {
  key: string;
  /** Undefined while the execution is open, or when the process died while closing it. */
  summary: Execution | undefined;
}

export interface ExecutionStore {
  list(): StoredExecution[];
  /** All whole records, oldest first. Throws `DamagedJournalError` when a record before the last cannot be read. */
  read(key: string): JournalRecord[];
  append(key: string, record: JournalRecord): void;
  close(key: string, summary: Execution): void;
  /** Forgets the summary of an execution that is about to be redriven. */
  reopen(key: string): void;
  remove(key: string): void;
}

export class DamagedJournalError extends Error {}

/** The store could not take a record: nothing has changed, the same step may be tried again. */
export class StoreError extends Error {}

/** Keeps executions in memory only: for tests, and for a run that need not survive its process. */
export function createMemoryStore(): ExecutionStore {
  const journals = new Map<string, { records: string[]; summary: string | undefined }>();
  const at = (key: string) => {
    const journal = journals.get(key) ?? { records: [], summary: undefined };
    journals.set(key, journal);
    return journal;
  };
  return {
    list: () =>
      [...journals].map(([key, { summary }]) => ({
        key,
        summary: summary === undefined ? undefined : (JSON.parse(summary) as Execution),
      })),
    read: (key) => at(key).records.map((text) => JSON.parse(text) as JournalRecord),
    append: (key, record) => {
      at(key).records.push(JSON.stringify(record));
    },
    close: (key, summary) => {
      at(key).summary = JSON.stringify(summary);
    },
    reopen: (key) => {
      at(key).summary = undefined;
    },
    remove: (key) => {
      journals.delete(key);
    },
  };
}
