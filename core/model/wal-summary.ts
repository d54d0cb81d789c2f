/** What happened in a stretch of the log, as pg_waldump shows it; gathered record by record by `core/wire/parse-waldump.ts`. */
export interface WalSummary {
  readonly records: number;
  readonly bytes: number;
  /** By resource manager: how many records, how many bytes. */
  readonly managers: Readonly<Record<string, { readonly records: number; readonly bytes: number }>>;
  /** Transactions that committed there. */
  readonly committed: number;
  readonly aborted: number;
  /** The first of them, in the order of the log. */
  readonly commits: readonly Commit[];
  /** When the last one committed, by the primary's clock; null without one. */
  readonly lastCommit: string | null;
  /** Tablespace, database and file node of what was changed, as `1663/5/16384`: the first that were met. */
  readonly relations: readonly string[];
  /** More were changed than are listed. */
  readonly moreRelations: boolean;
}

export interface Commit {
  readonly xid: number;
  /** As PostgreSQL prints it, in UTC. */
  readonly time: string;
  /** Where the commit record starts. */
  readonly lsn: string;
}
