// Puts synchronous_standby_names in force in a running server, and proves it (invariant S1). A reload is an order to each process of its own:
// sessions wait by a flag that the checkpointer sets, walsenders release by what each has read. So: the file is written, the value seen by a
// session that was there before, then by one that was opened afterwards (the postmaster forks it only once it has told every process), then the
// checkpointer is seen to have read it. What has not read it after that, reads it before it sees an answer for anything written later.

import { type Lsn, parseLsn } from '../../core/model/lsn.ts';
import type { Sender } from '../../core/synchronous/barrier.ts';
import { sleepMs } from '../clock.ts';
import { hasPendingSignal, readProcessStatus } from '../process.ts';
import { LocalConnection, type QueryFailure } from './connection.ts';
import type { PostgresHost } from './host.ts';
import { type SettingResult, setSynchronousStandbyNames } from './replication.ts';

const ASK_TIMEOUT_MS = 1_000;
const CHECKPOINTER_WAIT_MS = 500;
const BETWEEN_LOOKS_MS = 3;
const SIGHUP = 1;

export type NamesInForce = SettingResult | { readonly kind: 'unproven'; readonly reason: string };

/** Returns `in-force` when from now on nothing can be acknowledged by an older value, but by a walsender that has yet to read it; the proof takes `limitMs` and some seconds at most. */
export async function putNamesInForce(
  host: PostgresHost,
  connection: LocalConnection,
  value: string,
  limitMs: number,
): Promise<NamesInForce> {
  const deadlineMs = performance.now() + limitMs;
  const set = await setSynchronousStandbyNames(host, connection, value);
  if (set.kind !== 'in-force') return set;
  const later = new LocalConnection(host);
  try {
    const answer = await later.query(
      "select current_setting('synchronous_standby_names') as value",
      ASK_TIMEOUT_MS,
    );
    if (answer.kind !== 'rows') return answer;
    const seen = String(answer.rows[0]?.value);
    if (seen !== value) return { kind: 'overridden', setting: 'synchronous_standby_names', value: seen };
  } finally {
    later.close();
  }
  return checkpointerHasRead(host, connection, deadlineMs);
}

/**
 * The checkpointer sleeps in its loop only after it has read its configuration: seen asleep there, before and after /proc shows that it
 * sleeps and has taken the signal, it has read it. Where it is never seen so (a busy checkpoint), two checkpoints: the second begins at the
 * top of its loop. A checkpoint takes as long as it takes: not proven by `deadlineMs` is not proven.
 */
async function checkpointerHasRead(
  host: PostgresHost,
  connection: LocalConnection,
  deadlineMs: number,
): Promise<NamesInForce> {
  const lookUntilMs = Math.min(deadlineMs, performance.now() + CHECKPOINTER_WAIT_MS);
  while (performance.now() < lookUntilMs) {
    const before = await idleCheckpointer(connection);
    if (typeof before === 'object' && before !== null) return before;
    const asleep =
      before !== null &&
      readProcessStatus(before)?.state === 'S' &&
      hasPendingSignal(before, SIGHUP) === false;
    if (asleep && (await idleCheckpointer(connection)) === before) return { kind: 'in-force' };
    await sleepMs(BETWEEN_LOOKS_MS);
  }
  const patient = new LocalConnection(host, { statementTimeoutMs: 0 });
  try {
    for (let count = 0; count < 2; count += 1) {
      const done = await patient.query('checkpoint', deadlineMs - performance.now());
      if (done.kind !== 'rows') return done;
    }
    return { kind: 'in-force' };
  } finally {
    patient.close();
  }
}

/** Its pid while it waits in its loop, else null. */
async function idleCheckpointer(connection: LocalConnection): Promise<number | null | QueryFailure> {
  const answer = await connection.query(
    `select pid from pg_stat_activity
     where backend_type = 'checkpointer' and wait_event in ('CheckpointerMain', 'CheckpointWriteDelay')`,
    ASK_TIMEOUT_MS,
  );
  if (answer.kind !== 'rows') return answer;
  const pid = answer.rows[0]?.pid;
  return typeof pid === 'number' ? pid : null;
}

/** Writes a record to the log of a primary and returns where it ends: who has flushed past it has all that was there before. */
export async function writeBarrier(connection: LocalConnection): Promise<Lsn | QueryFailure> {
  const answer = await connection.query(
    "select pg_logical_emit_message(true, 'leasehold', 'barrier')::text as lsn",
    ASK_TIMEOUT_MS,
  );
  if (answer.kind !== 'rows') return answer;
  const lsn = parseLsn(String(answer.rows[0]?.lsn));
  return lsn ?? { kind: 'query-failed', sqlstate: 'XX000', message: 'no position of the record' };
}

export interface SendersLook {
  readonly kind: 'senders';
  readonly senders: readonly Sender[];
  /** What a session of this server waits by now. */
  readonly names: string;
  readonly writtenLsn: Lsn | null;
}

const SENDERS = `
select current_setting('synchronous_standby_names') as names, pg_current_wal_flush_lsn()::text as written,
  (select coalesce(json_agg(json_build_object('name', application_name, 'state', state, 'priority', sync_priority,
     'flush', flush_lsn)), '[]') from pg_stat_replication) as senders`;

/** The walsenders of a primary, as they see themselves. */
export async function lookAtSenders(connection: LocalConnection): Promise<SendersLook | QueryFailure> {
  const answer = await connection.query(SENDERS, ASK_TIMEOUT_MS);
  if (answer.kind !== 'rows') return answer;
  const row = answer.rows[0] ?? {};
  const senders = (row.senders ?? []) as readonly Readonly<Record<string, unknown>>[];
  return {
    kind: 'senders',
    names: String(row.names),
    writtenLsn: parseLsn(String(row.written)),
    senders: senders.map((sender) => ({
      name: String(sender.name),
      state: String(sender.state),
      priority: Number(sender.priority),
      flushLsn: typeof sender.flush === 'string' ? parseLsn(sender.flush) : null,
    })),
  };
}
