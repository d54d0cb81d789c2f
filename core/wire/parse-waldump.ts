/**
 * Reads what pg_waldump prints, line by line, and gathers it. Lists are bounded: a lost stretch of log can hold millions of
 * transactions, and the log itself is kept.
 */
import { formatLsn, parseLsn } from '../model/lsn.ts';
import type { Commit, WalSummary } from '../model/wal-summary.ts';

export interface WalRecord {
  readonly manager: string;
  readonly bytes: number;
  readonly xid: number;
  readonly lsn: string;
  /** The rest of the line. */
  readonly text: string;
}

const LINE =
  /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), prev [0-9A-F]+\/[0-9A-F]+, desc: (.*)$/;

/** Null for a line that is no record. */
export function parseWalRecord(line: string): WalRecord | null {
  const match = LINE.exec(line);
  if (match === null) return null;
  const [, manager = '', bytes, xid, lsn = '', text = ''] = match;
  return { manager, bytes: Number(bytes), xid: Number(xid), lsn, text };
}

const TIME = String.raw`(\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [^\s;]+)`;
const COMMIT = new RegExp(`^COMMIT ${TIME}`);
const COMMIT_PREPARED = new RegExp(`^COMMIT_PREPARED (\\d+): ${TIME}`);
const ABORT = /^ABORT(?:_PREPARED)? /;
const RELATION = /\brel (\d+\/\d+\/\d+)/g;

/** Null when the record is not a commit. */
export function parseCommit(record: WalRecord): Commit | null {
  if (record.manager !== 'Transaction') return null;
  const plain = COMMIT.exec(record.text);
  const lsn = plainLsn(record.lsn);
  if (plain !== null) return { xid: record.xid, time: plain[1] ?? '', lsn };
  const prepared = COMMIT_PREPARED.exec(record.text);
  if (prepared === null) return null;
  return { xid: Number(prepared[1]), time: prepared[2] ?? '', lsn };
}

/** pg_waldump pads with zeros; nobody else does. */
function plainLsn(text: string): string {
  const lsn = parseLsn(text);
  return lsn === null ? text : formatLsn(lsn);
}

export const mostCommits = 1_000;
export const mostRelations = 100;

export class WalSummaryBuilder {
  #records = 0;
  #bytes = 0;
  #committed = 0;
  #aborted = 0;
  #lastCommit: string | null = null;
  readonly #managers = new Map<string, { records: number; bytes: number }>();
  readonly #commits: Commit[] = [];
  readonly #relations = new Set<string>();
  #moreRelations = false;

  add(line: string): void {
    const record = parseWalRecord(line);
    if (record === null) return;
    this.#records += 1;
    this.#bytes += record.bytes;
    const manager = this.#managers.get(record.manager) ?? { records: 0, bytes: 0 };
    this.#managers.set(record.manager, {
      records: manager.records + 1,
      bytes: manager.bytes + record.bytes,
    });
    if (record.manager === 'Transaction') this.#transaction(record);
    for (const [, relation = ''] of record.text.matchAll(RELATION)) this.#relation(relation);
  }

  summary(): WalSummary {
    return {
      records: this.#records,
      bytes: this.#bytes,
      managers: Object.fromEntries(this.#managers),
      committed: this.#committed,
      aborted: this.#aborted,
      commits: [...this.#commits],
      lastCommit: this.#lastCommit,
      relations: [...this.#relations],
      moreRelations: this.#moreRelations,
    };
  }

  #transaction(record: WalRecord): void {
    if (ABORT.test(record.text)) this.#aborted += 1;
    const commit = parseCommit(record);
    if (commit === null) return;
    this.#committed += 1;
    this.#lastCommit = commit.time;
    if (this.#commits.length < mostCommits) this.#commits.push(commit);
  }

  #relation(relation: string): void {
    if (this.#relations.has(relation)) return;
    if (this.#relations.size >= mostRelations) this.#moreRelations = true;
    else this.#relations.add(relation);
  }
}
