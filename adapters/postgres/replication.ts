// Whom a standby follows, and whom a primary waits for; changed in a running server by a reload. A reload is an order, not a
// fact: each change is read back from the server, and ALTER SYSTEM's value, which would override ours, is reset.

import { type Lsn, maxLsn, parseLsn } from '../../core/model/lsn.ts';
import { sleepMs } from '../clock.ts';
import { sendSignal } from '../process.ts';
import { connectionInfo, type Upstream, writeSynchronousNames, writeUpstream } from './configuration.ts';
import type { LocalConnection, QueryFailure } from './connection.ts';
import type { PostgresHost } from './host.ts';
import { reload } from './lifecycle.ts';
import { identifySystem } from './observe.ts';
import { findProcesses } from './processes.ts';

const SETTING_TIMEOUT_MS = 2_000;
const BETWEEN_LOOKS_MS = 3;

export type SettingResult =
  | { readonly kind: 'in-force' }
  /** On disk, for the next start; no server runs. */
  | { readonly kind: 'not-running' }
  | { readonly kind: 'overridden'; readonly setting: string; readonly value: string }
  | QueryFailure;

/** Follows an upstream from now on (null: nobody), durably; a running receiver reconnects without a restart. */
export async function follow(
  host: PostgresHost,
  connection: LocalConnection,
  upstream: Upstream | null,
): Promise<SettingResult> {
  await writeUpstream(host, upstream);
  if (!(await reload(host))) return { kind: 'not-running' };
  const slot = await confirmSetting(host, connection, 'primary_slot_name', upstream?.slot ?? '');
  if (slot.kind !== 'in-force') return slot;
  const conninfo = upstream === null ? '' : connectionInfo(host, upstream, 'replication');
  return confirmSetting(host, connection, 'primary_conninfo', conninfo);
}

/** Sets synchronous_standby_names durably and returns when the server has it in force. */
export async function setSynchronousStandbyNames(
  host: PostgresHost,
  connection: LocalConnection,
  value: string,
): Promise<SettingResult> {
  await writeSynchronousNames(host, value);
  if (!(await reload(host))) return { kind: 'not-running' };
  return confirmSetting(host, connection, 'synchronous_standby_names', value);
}

async function confirmSetting(
  host: PostgresHost,
  connection: LocalConnection,
  name: string,
  wanted: string,
): Promise<SettingResult> {
  const deadlineMs = performance.now() + SETTING_TIMEOUT_MS;
  let reset = false;
  for (;;) {
    const remainingMs = deadlineMs - performance.now();
    const answer = await connection.query(
      'select setting, sourcefile from pg_settings where name = $1',
      Math.max(1, remainingMs),
      [name],
    );
    if (answer.kind !== 'rows') return answer;
    const { setting, sourcefile } = answer.rows[0] ?? {};
    if (setting === wanted) return { kind: 'in-force' };
    if (remainingMs <= 0) return { kind: 'overridden', setting: name, value: String(setting) };
    if (!reset && String(sourcefile).endsWith('postgresql.auto.conf')) {
      reset = true;
      await connection.query(`alter system reset ${name}`, Math.max(1, remainingMs));
      await reload(host);
    }
    await sleepMs(BETWEEN_LOOKS_MS);
  }
}

export type StreamingResult =
  | { readonly kind: 'streaming'; readonly timeline: number; readonly ms: number }
  | { readonly kind: 'timed-out'; readonly status: string | null }
  | QueryFailure;

/** Waits until the receiver streams from the server at that port (null: from anybody). */
export async function awaitStreaming(
  connection: LocalConnection,
  from: { readonly host: string; readonly port: number } | null,
  timeoutMs: number,
): Promise<StreamingResult> {
  const startedMs = performance.now();
  const deadlineMs = startedMs + timeoutMs;
  let status: string | null = null;
  for (;;) {
    const remainingMs = deadlineMs - performance.now();
    if (remainingMs <= 0) return { kind: 'timed-out', status };
    const answer = await connection.query(
      'select status, sender_host, sender_port, received_tli from pg_stat_wal_receiver',
      remainingMs,
    );
    if (answer.kind === 'query-failed') return answer;
    const row = answer.kind === 'rows' ? answer.rows[0] : undefined;
    status = row === undefined ? null : String(row.status);
    const expected = from === null || (row?.sender_host === from.host && row.sender_port === from.port);
    if (row !== undefined && status === 'streaming' && expected) {
      return { kind: 'streaming', timeline: Number(row.received_tli), ms: performance.now() - startedMs };
    }
    await sleepMs(BETWEEN_LOOKS_MS);
  }
}

export type ReceiverEnd =
  | {
      readonly kind: 'ended';
      /** Flushed by the receiver since this server started; null when it received nothing since. */
      readonly receivedLsn: Lsn | null;
      readonly replayedLsn: Lsn;
      /** The larger of both: how far this node's log reaches. */
      readonly positionLsn: Lsn;
      readonly timeline: number;
      readonly ms: number;
    }
  /** The receiver may be gone, but how far the log reaches is not known: no statement about freshness. */
  | { readonly kind: 'unknown'; readonly reason: string };

/** The receiver must be found absent so many times in a row: the startup process may just be starting another one. */
const ABSENCES = 3;
/** How long an unchanged replay that waits for more log counts as at its end when the tail is half a record. */
const QUIET_MS = 250;

/**
 * Ends the WAL receiver so that this node acknowledges nothing more to its primary, and waits until the replay has reached
 * the end of the local log. Clearing primary_conninfo durably keeps a restart from reconnecting; the SIGTERM is needed
 * because the startup process notices a reload only between records. Undone by `follow`.
 */
export async function endReceiver(
  host: PostgresHost,
  connection: LocalConnection,
  timeoutMs: number,
): Promise<ReceiverEnd> {
  const startedMs = performance.now();
  const deadlineMs = startedMs + timeoutMs;
  const cleared = await follow(host, connection, null);
  if (cleared.kind !== 'in-force') return { kind: 'unknown', reason: describeSetting(cleared) };
  let absences = 0;
  let replayed = { lsn: '', sinceMs: startedMs };
  for (;;) {
    const remainingMs = deadlineMs - performance.now();
    const waitingFor =
      absences < ABSENCES ? 'the receiver to end' : 'the replay to reach the end of the local log';
    const outOfTime = { kind: 'unknown', reason: `out of time waiting for ${waitingFor}` } as const;
    if (remainingMs <= 0) return outOfTime;
    absences = terminateReceivers(host) === 0 ? absences + 1 : 0;
    const answer = await connection.query(RECEIVER_STATE, remainingMs);
    if (answer.kind !== 'rows') {
      return performance.now() < deadlineMs
        ? { kind: 'unknown', reason: describeFailure(answer) }
        : outOfTime;
    }
    const state = parseReceiverState(answer.rows[0] ?? {});
    if (state.paused) return { kind: 'unknown', reason: 'the replay is paused' };
    if (!state.inRecovery) return { kind: 'unknown', reason: 'this server is not a standby' };
    if (state.receiver) absences = 0;
    const nowMs = performance.now();
    if (replayed.lsn !== state.replayed) replayed = { lsn: state.replayed, sinceMs: nowMs };
    const replayedLsn = parseLsn(state.replayed);
    if (absences >= ABSENCES && state.waitsForMore && replayedLsn !== null) {
      const receivedLsn = parseLsn(state.received);
      const complete = receivedLsn === null || replayedLsn >= receivedLsn;
      if (complete || nowMs - replayed.sinceMs >= QUIET_MS) {
        return conclude(host, receivedLsn, replayedLsn, startedMs, deadlineMs);
      }
    }
    await sleepMs(BETWEEN_LOOKS_MS);
  }
}

/**
 * RecoveryRetrieveRetryInterval: "WAL data is not available from any source (pg_wal, archive or streaming)". The startup
 * process waits so only after it has tried everything that lies in pg_wal.
 */
const RECEIVER_STATE = `
select pg_is_in_recovery() as in_recovery,
  exists (select from pg_stat_wal_receiver) as receiver,
  case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end as paused,
  coalesce(pg_last_wal_receive_lsn()::text, '') as received,
  coalesce(pg_last_wal_replay_lsn()::text, '') as replayed,
  exists (select from pg_stat_activity
    where backend_type = 'startup' and wait_event = 'RecoveryRetrieveRetryInterval') as waits_for_more`;

function parseReceiverState(row: Readonly<Record<string, unknown>>) {
  return {
    inRecovery: row.in_recovery === true,
    receiver: row.receiver === true,
    paused: row.paused === true,
    received: String(row.received),
    replayed: String(row.replayed),
    waitsForMore: row.waits_for_more === true,
  };
}

/** The view hides a receiver that is starting up; /proc does not. */
function terminateReceivers(host: PostgresHost): number {
  const receivers = findProcesses(host).filter(({ title }) => /^postgres: .*walreceiver( |$)/.test(title));
  for (const { pid } of receivers) sendSignal(pid, 'SIGTERM');
  return receivers.length;
}

async function conclude(
  host: PostgresHost,
  receivedLsn: Lsn | null,
  replayedLsn: Lsn,
  startedMs: number,
  deadlineMs: number,
): Promise<ReceiverEnd> {
  const identity = await identifySystem(host, Math.max(1, deadlineMs - performance.now()));
  if (identity.kind !== 'identity')
    return { kind: 'unknown', reason: `timeline: ${describeFailure(identity)}` };
  return {
    kind: 'ended',
    receivedLsn,
    replayedLsn,
    positionLsn: receivedLsn === null ? replayedLsn : maxLsn(receivedLsn, replayedLsn),
    timeline: identity.timeline,
    ms: performance.now() - startedMs,
  };
}

function describeSetting(result: Exclude<SettingResult, { kind: 'in-force' }>): string {
  switch (result.kind) {
    case 'not-running':
      return 'the server does not run';
    case 'overridden':
      return `${result.setting} is overridden: ${result.value}`;
    default:
      return describeFailure(result);
  }
}

/** A failure in one line, for reasons and logs. */
export function describeFailure(failure: QueryFailure): string {
  switch (failure.kind) {
    case 'unreachable':
      return `unreachable: ${failure.reason}`;
    case 'starting-up':
      return `starting up: ${failure.message}`;
    case 'query-failed':
      return `${failure.sqlstate}: ${failure.message}`;
  }
}
