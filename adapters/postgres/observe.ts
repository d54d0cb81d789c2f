// What a running server says of itself, by one query. Numbers from the server are parsed here, once. Knows the traps: the
// control file shows the old timeline just after a promotion (so a primary is asked for the name of its current log file),
// and a standby has no function that tells its timeline (see `standbyTimeline`).

import { type Lsn, maxLsn, parseLsn } from '../../core/model/lsn.ts';
import { parseSystemIdentifier, type SystemIdentifier } from '../../core/model/system-identifier.ts';
import { LocalConnection, type QueryFailure, type Row } from './connection.ts';
import type { PostgresHost } from './host.ts';

export interface ReceiverObservation {
  /** As pg_stat_wal_receiver has it: 'streaming', 'waiting', ... */
  readonly status: string;
  readonly host: string | null;
  readonly port: number | null;
  readonly slot: string | null;
  readonly timeline: number;
}

export interface ReplicationObservation {
  readonly applicationName: string;
  readonly clientAddress: string | null;
  /** 'startup', 'catchup', 'streaming', 'backup' or 'stopping'. */
  readonly state: string;
  /** 'async', 'potential', 'sync' or 'quorum'. */
  readonly syncState: string;
  readonly sentLsn: Lsn | null;
  readonly flushLsn: Lsn | null;
  readonly replayLsn: Lsn | null;
  /** Since the standby's last answer, by the clocks of both hosts: for people, not for decisions. */
  readonly replyAgeMs: number | null;
}

export interface SlotObservation {
  readonly name: string;
  readonly active: boolean;
  readonly restartLsn: Lsn | null;
}

export interface RunningObservation {
  readonly kind: 'running';
  readonly inRecovery: boolean;
  readonly systemIdentifier: SystemIdentifier;
  readonly timeline: number;
  /** A primary's flushed position; null on a standby. */
  readonly currentLsn: Lsn | null;
  /** A standby's flushed position; null on a primary and before anything was received. */
  readonly receivedLsn: Lsn | null;
  readonly replayedLsn: Lsn | null;
  readonly replayPaused: boolean;
  readonly receiver: ReceiverObservation | null;
  readonly replication: readonly ReplicationObservation[];
  readonly slots: readonly SlotObservation[];
  /** Age of the oldest open transaction of a client, 0 without one. */
  readonly oldestXactAgeMs: number;
  readonly synchronousStandbyNames: string;
  readonly pendingRestart: boolean;
  /** server_version, '15.18 (Debian ...)'. */
  readonly version: string;
}

export type Observation = RunningObservation | QueryFailure;

/** recovery is (not) in progress: the server was promoted between two expressions of the query. */
const NOT_IN_PREREQUISITE_STATE = '55000';

const OBSERVE = `
with recovery as materialized (select pg_is_in_recovery() as on)
select recovery.on as in_recovery,
  (select system_identifier::text from pg_control_system()) as system_identifier,
  case when recovery.on then null else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as primary_timeline,
  case when recovery.on then null else pg_current_wal_flush_lsn()::text end as current_lsn,
  case when recovery.on then pg_last_wal_receive_lsn()::text end as received_lsn,
  case when recovery.on then pg_last_wal_replay_lsn()::text end as replayed_lsn,
  case when recovery.on then pg_is_wal_replay_paused() else false end as replay_paused,
  (select json_build_object('status', status, 'host', sender_host, 'port', sender_port, 'slot', slot_name,
     'timeline', received_tli) from pg_stat_wal_receiver) as receiver,
  (select coalesce(json_agg(json_build_object('application_name', application_name, 'client_address', host(client_addr),
     'state', state, 'sync_state', sync_state, 'sent_lsn', sent_lsn, 'flush_lsn', flush_lsn, 'replay_lsn', replay_lsn,
     'reply_age_ms', extract(epoch from clock_timestamp() - reply_time) * 1000)), '[]')
     from pg_stat_replication where application_name <> 'leasehold-identify') as replication,
  (select coalesce(json_agg(json_build_object('name', slot_name, 'active', active, 'restart_lsn', restart_lsn)), '[]')
     from pg_replication_slots where slot_type = 'physical') as slots,
  (select coalesce(max(extract(epoch from clock_timestamp() - xact_start) * 1000), 0)::float8
     from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()) as oldest_xact_age_ms,
  case when recovery.on then (select greatest(r.min_recovery_end_timeline, c.timeline_id)
     from pg_control_recovery() r, pg_control_checkpoint() c) end as control_timeline,
  current_setting('synchronous_standby_names') as synchronous_standby_names,
  current_setting('server_version') as version
from recovery`;

/** Changes rarely and takes as long as all the rest: asked only now and then. */
const PENDING_RESTART = 'select exists (select from pg_settings where pending_restart) as pending';
const PENDING_RESTART_EVERY_MS = 10_000;

/** Observes one server over a kept connection, with a second one for the rare question only a walsender answers. */
export class Observer {
  readonly #host: PostgresHost;
  readonly #connection: LocalConnection;
  #identified: { readonly replayedLsn: string; readonly timeline: number } | null = null;
  #pendingRestart: { readonly value: boolean; readonly atMs: number } | null = null;

  constructor(host: PostgresHost, connection: LocalConnection) {
    this.#host = host;
    this.#connection = connection;
  }

  /** Never throws for what a server does; `timeoutMs` bounds it all. */
  async observe(timeoutMs: number): Promise<Observation> {
    const deadlineMs = performance.now() + timeoutMs;
    const remainingMs = () => Math.max(1, deadlineMs - performance.now());
    let answer = await this.#connection.query(OBSERVE, remainingMs());
    if (answer.kind === 'query-failed' && answer.sqlstate === NOT_IN_PREREQUISITE_STATE) {
      answer = await this.#connection.query(OBSERVE, remainingMs());
    }
    if (answer.kind !== 'rows') return answer;
    const row = answer.rows[0];
    if (row === undefined) return unexpected('no row');
    const timeline = await this.#timeline(row, remainingMs());
    if (typeof timeline !== 'number') return timeline;
    const pendingRestart = await this.#askPendingRestart(remainingMs());
    return parseObservation(row, timeline, pendingRestart);
  }

  async #timeline(row: Row, timeoutMs: number): Promise<number | QueryFailure> {
    if (typeof row.primary_timeline === 'string') return Number.parseInt(row.primary_timeline, 16);
    const receiver = row.receiver as { timeline?: number } | null;
    const fromControl = Number(row.control_timeline);
    if (receiver?.timeline) return Math.max(receiver.timeline, fromControl);
    return this.#standbyTimeline(String(row.replayed_lsn), fromControl, timeoutMs);
  }

  /**
   * A standby without a receiver: the control file is behind until the next restartpoint, so a walsender is asked, which
   * knows the timeline of the replay. Asked again only when the replay has moved.
   */
  async #standbyTimeline(
    replayedLsn: string,
    fromControl: number,
    timeoutMs: number,
  ): Promise<number | QueryFailure> {
    if (this.#identified?.replayedLsn === replayedLsn)
      return Math.max(this.#identified.timeline, fromControl);
    const identity = await identifySystem(this.#host, timeoutMs);
    if (identity.kind === 'unreachable') return identity;
    // Without a free walsender the control file has to do: a position below the truth is only a later rewind.
    if (identity.kind !== 'identity') return fromControl;
    this.#identified = { replayedLsn, timeline: identity.timeline };
    return Math.max(identity.timeline, fromControl);
  }

  async #askPendingRestart(timeoutMs: number): Promise<boolean> {
    const known = this.#pendingRestart;
    if (known !== null && performance.now() - known.atMs < PENDING_RESTART_EVERY_MS) return known.value;
    const answer = await this.#connection.query(PENDING_RESTART, timeoutMs);
    if (answer.kind !== 'rows') return known?.value ?? false;
    const value = answer.rows[0]?.pending === true;
    this.#pendingRestart = { value, atMs: performance.now() };
    return value;
  }
}

export type SystemIdentity =
  | {
      readonly kind: 'identity';
      readonly systemIdentifier: SystemIdentifier;
      /** Of the replay on a standby. */
      readonly timeline: number;
      /** Flushed position: on a standby the replayed one, or the received one while it is on the same timeline. */
      readonly lsn: Lsn;
    }
  | QueryFailure;

/** IDENTIFY_SYSTEM on a connection of its own: the one exact source of a standby's timeline. */
export async function identifySystem(host: PostgresHost, timeoutMs: number): Promise<SystemIdentity> {
  const connection = new LocalConnection(host, {
    replication: 'database',
    applicationName: 'leasehold-identify',
  });
  try {
    const answer = await connection.query('IDENTIFY_SYSTEM', timeoutMs);
    if (answer.kind !== 'rows') return answer;
    const row = answer.rows[0] ?? {};
    const systemIdentifier = parseSystemIdentifier(String(row.systemid));
    const lsn = parseLsn(String(row.xlogpos));
    if (systemIdentifier === null || lsn === null) return unexpected('IDENTIFY_SYSTEM');
    return { kind: 'identity', systemIdentifier, timeline: Number(row.timeline), lsn };
  } finally {
    connection.close();
  }
}

/** How far a standby's log reaches: what it received, or what it replayed when that is more. */
export function walPosition(observation: RunningObservation): Lsn | null {
  const { currentLsn, receivedLsn, replayedLsn } = observation;
  if (currentLsn !== null) return currentLsn;
  if (receivedLsn === null || replayedLsn === null) return receivedLsn ?? replayedLsn;
  return maxLsn(receivedLsn, replayedLsn);
}

function parseObservation(row: Row, timeline: number, pendingRestart: boolean): Observation {
  const systemIdentifier = parseSystemIdentifier(String(row.system_identifier));
  if (systemIdentifier === null) return unexpected('system identifier');
  return {
    kind: 'running',
    inRecovery: row.in_recovery === true,
    systemIdentifier,
    timeline,
    currentLsn: lsnOrNull(row.current_lsn),
    receivedLsn: lsnOrNull(row.received_lsn),
    replayedLsn: lsnOrNull(row.replayed_lsn),
    replayPaused: row.replay_paused === true,
    receiver: parseReceiver(row.receiver as Row | null),
    replication: (row.replication as Row[]).map(parseReplication),
    slots: (row.slots as Row[]).map((slot) => ({
      name: String(slot.name),
      active: slot.active === true,
      restartLsn: lsnOrNull(slot.restart_lsn),
    })),
    oldestXactAgeMs: Number(row.oldest_xact_age_ms),
    synchronousStandbyNames: String(row.synchronous_standby_names),
    pendingRestart,
    version: String(row.version),
  };
}

function parseReceiver(row: Row | null): ReceiverObservation | null {
  if (row === null) return null;
  return {
    status: String(row.status),
    host: textOrNull(row.host),
    port: typeof row.port === 'number' ? row.port : null,
    slot: textOrNull(row.slot),
    timeline: Number(row.timeline),
  };
}

function parseReplication(row: Row): ReplicationObservation {
  return {
    applicationName: String(row.application_name),
    clientAddress: textOrNull(row.client_address),
    state: String(row.state),
    syncState: String(row.sync_state),
    sentLsn: lsnOrNull(row.sent_lsn),
    flushLsn: lsnOrNull(row.flush_lsn),
    replayLsn: lsnOrNull(row.replay_lsn),
    replyAgeMs: typeof row.reply_age_ms === 'number' ? row.reply_age_ms : null,
  };
}

function lsnOrNull(value: unknown): Lsn | null {
  return typeof value === 'string' ? parseLsn(value) : null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** An answer this code cannot read: the server is alive, and something is wrong with it or with us. */
function unexpected(what: string): QueryFailure {
  return { kind: 'query-failed', sqlstate: 'XX000', message: `unexpected answer: ${what}` };
}
