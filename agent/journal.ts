/**
 * The journal of a host: what its agent has begun that outlives the agent, in one file of the host's state folder. An entry is
 * on disk (fsync, rename, fsync of the folder) before its first step has any effect, and each later step before the step that
 * follows; it is closed when the work has ended or has been taken back. Upholds H6 with `core/host/journal-rules.ts`, which
 * says what the next agent does about open entries. Nothing waits for it on the path of a hand-over: what is written there is
 * written while the hosts are armed.
 */
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { readTextFile, writeFileAtomically } from '../adapters/postgres/files.ts';
import { type JournalEntry, type JournalStepName, undoOf } from '../core/host/journal-rules.ts';
import { type JournalContent, parseJournal } from '../core/wire/parse-journal.ts';
import type { Log } from './emit.ts';

/** Closed entries are for people: the last ones only. */
const maxClosed = 20;
/** More cannot be open: one of the data directory, one of a follow, one of a promotion; a bug that leaves more is bounded. */
const maxOpen = 10;

export type Begun = Pick<JournalEntry, 'verb' | 'operation' | 'epoch' | 'node'> &
  Partial<Pick<JournalEntry, 'nonce' | 'replaces'>>;

export class Journal {
  readonly #path: string;
  readonly #log: Log;
  #content: JournalContent = { open: [], closed: [] };
  /** Writes are one after the other: the file is always a whole one. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /**
   * As the former agent left it. A file that cannot be understood is set aside and reported: without it the host is judged by
   * what is observed alone, which is safe; what lies beside the data directory is then left for a person.
   */
  static async read(folder: string, log: Log): Promise<Journal> {
    const path = join(folder, 'journal.json');
    const journal = new Journal(path, log);
    const text = await readTextFile(path);
    if (text === null) return journal;
    try {
      journal.#content = parseJournal(JSON.parse(text));
    } catch (error) {
      const aside = `${path}.unreadable-${randomUUID().slice(0, 8)}`;
      renameSync(path, aside);
      log('error', 'the journal cannot be understood', { set_aside: aside, error: String(error) });
    }
    return journal;
  }

  /** Oldest first. */
  open(): readonly JournalEntry[] {
    return this.#content.open;
  }

  /** Returns the entry's id once it is on disk with its first step. An open entry of the same kind of work is superseded. */
  async begin(begun: Begun, step: JournalStepName): Promise<string> {
    const id = randomUUID();
    const entry: JournalEntry = { id, nonce: null, replaces: false, ...begun, steps: [stepNow(step)] };
    for (const former of this.#content.open.filter(({ verb }) => kindOf(verb) === kindOf(begun.verb)))
      this.#move(former.id, `superseded by ${begun.verb} ${id}`);
    if (this.#content.open.length >= maxOpen)
      throw new Error(`InvariantViolation: ${maxOpen} entries of the journal are open`);
    this.#content = { ...this.#content, open: [...this.#content.open, entry] };
    await this.#write();
    return id;
  }

  /** The same for work that must not fail because the journal cannot be written: null, and a line in the log. */
  async tryBegin(begun: Begun, step: JournalStepName): Promise<string | null> {
    try {
      return await this.begin(begun, step);
    } catch (error) {
      this.#log('error', 'the journal was not written', { verb: begun.verb, error: String(error) });
      return null;
    }
  }

  /** Resolves once the step is on disk. */
  async note(id: string, step: JournalStepName): Promise<void> {
    const open = this.#content.open.map((entry) =>
      entry.id === id ? { ...entry, steps: [...entry.steps, stepNow(step)] } : entry,
    );
    this.#content = { ...this.#content, open };
    await this.#write();
  }

  /** Closes one entry; one that is closed already stays as it is. */
  async close(id: string, outcome: string): Promise<void> {
    if (this.#move(id, outcome)) await this.#write();
  }

  /** A closing that a crash may undo: an entry left open is looked at again and closed by the next agent. Never waits, never throws. */
  closeSoon(id: string, outcome: string): void {
    void this.close(id, outcome).catch((error: unknown) =>
      this.#log('error', 'the journal was not written', { entry: id, error: String(error) }),
    );
  }

  #move(id: string, outcome: string): boolean {
    const entry = this.#content.open.find((one) => one.id === id);
    if (entry === undefined) return false;
    this.#content = {
      open: this.#content.open.filter((one) => one !== entry),
      closed: [
        ...this.#content.closed,
        { entry, closedAt: new Date().toISOString(), outcome: outcome.slice(0, 500) },
      ].slice(-maxClosed),
    };
    return true;
  }

  #write(): Promise<void> {
    const written = this.#writing.then(() =>
      writeFileAtomically(this.#path, `${JSON.stringify(this.#content, null, 1)}\n`, { owner: null }),
    );
    this.#writing = written.catch(() => undefined);
    return written;
  }
}

/** Work of one kind cannot be under way twice on a host. */
function kindOf(verb: JournalEntry['verb']): string {
  return verb === 'follow' || verb === 'acquire-and-promote' ? verb : 'data directory';
}

function stepNow(step: JournalStepName): JournalEntry['steps'][number] {
  return { step, at: new Date().toISOString(), undo: undoOf[step] };
}
