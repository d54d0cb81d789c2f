// Promotes a standby and finds out, by trying, when it accepts writes. pg_promote() and pg_ctl wait in steps of 100 ms; a
// probe every 5 ms on a connection that is already open costs nothing and sees the first writable moment.
//
// The probing write is a transactional logical message: it takes a transaction id and flushes a commit record, so it fails
// exactly where a client's write would (recovery, full disk, frozen log), but needs no table, leaves no dead row, and is
// ignored by logical subscribers. The session commits locally: it must not wait for a standby that has yet to come.

import type { Lsn } from '../../core/model/lsn.ts';
import type { TimelineHistory } from '../../core/model/timeline.ts';
import { sleepMs } from '../clock.ts';
import type { LocalConnection, QueryFailure } from './connection.ts';
import { readHistoryFile } from './control-file.ts';
import { describeResult, type PostgresHost, runPostgresProgram, succeeded } from './host.ts';

const PG_CTL_TIMEOUT_MS = 5_000;
const ASK_TIMEOUT_MS = 500;
const BETWEEN_PROBES_MS = 5;

export type PromoteOrder =
  | { readonly kind: 'ordered' }
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * Orders the promotion by the connection that will probe, and returns at once. Where the server does not take it that way, by
 * pg_ctl, which does the same and takes 5 to 20 ms to start.
 */
export async function orderPromotion(host: PostgresHost, connection: LocalConnection): Promise<PromoteOrder> {
  const asked = await connection.query('select pg_promote(false) as ordered', ASK_TIMEOUT_MS);
  if (asked.kind === 'rows' && asked.rows[0]?.ordered === true) return { kind: 'ordered' };
  const args = ['promote', '--no-wait', '--silent', `--pgdata=${host.dataDir}`];
  const result = await runPostgresProgram(host, 'pg_ctl', args, { timeoutMs: PG_CTL_TIMEOUT_MS });
  return succeeded(result) ? { kind: 'ordered' } : { kind: 'failed', reason: describeResult(result) };
}

const SETTING_TIMEOUT_MS = 1_000;

/**
 * A startup process that finds no upstream sleeps wal_retrieve_retry_interval, and notices a promotion only after that: up to
 * 100 ms of every hand-over. Shortened on a standby that is about to be promoted, and reset afterwards; not for good, and not
 * further, for each retry forks a receiver. A failure costs time only, and is told by the value.
 */
export async function expectPromotion(connection: LocalConnection, expected: boolean): Promise<boolean> {
  const change = expected
    ? "alter system set wal_retrieve_retry_interval = '20ms'"
    : 'alter system reset wal_retrieve_retry_interval';
  const changed = await connection.query(change, SETTING_TIMEOUT_MS);
  if (changed.kind !== 'rows') return false;
  return (await connection.query('select pg_reload_conf()', SETTING_TIMEOUT_MS)).kind === 'rows';
}

export type WritableResult =
  | {
      readonly kind: 'writable';
      readonly timeline: number;
      /** Where the new timeline left its parent: all that is at or before it is kept. Null on timeline 1. */
      readonly forkLsn: Lsn | null;
      readonly history: TimelineHistory;
      readonly ms: number;
    }
  | { readonly kind: 'timed-out'; readonly last: QueryFailure | { readonly kind: 'in-recovery' } };

/** Null while it recovers, and then nothing is written; else the timeline, once the write is committed. */
const PROBE = `
select case when pg_is_in_recovery() then null else substr(pg_walfile_name(
  pg_logical_emit_message(true, 'leasehold', 'writable')), 1, 8) end as timeline`;

/** Waits until a write was accepted, flushed and committed here. */
export async function awaitWritable(
  host: PostgresHost,
  connection: LocalConnection,
  timeoutMs: number,
): Promise<WritableResult> {
  const startedMs = performance.now();
  const deadlineMs = startedMs + timeoutMs;
  let last: (WritableResult & { kind: 'timed-out' })['last'] = { kind: 'in-recovery' };
  for (;;) {
    const remainingMs = deadlineMs - performance.now();
    if (remainingMs <= 0) return { kind: 'timed-out', last };
    const answer = await connection.query(PROBE, remainingMs);
    if (answer.kind !== 'rows') last = answer;
    else if (answer.rows[0]?.timeline == null) last = { kind: 'in-recovery' };
    else return describeBranch(host, String(answer.rows[0].timeline), startedMs);
    await sleepMs(BETWEEN_PROBES_MS);
  }
}

async function describeBranch(
  host: PostgresHost,
  timelineHex: string,
  startedMs: number,
): Promise<WritableResult> {
  const timeline = Number.parseInt(timelineHex, 16);
  const reading = await readHistoryFile(host.dataDir, timeline);
  // The server writes the file before it opens: without it the branch cannot be told from another one.
  if (reading.kind !== 'history') throw new Error(`history of timeline ${timeline}: ${reading.kind}`);
  const { history } = reading;
  const forkLsn = history.ancestors.at(-1)?.switchLsn ?? null;
  return { kind: 'writable', timeline, forkLsn, history, ms: performance.now() - startedMs };
}
