/**
 * Whether a standby has all that the old primary had when it stopped. Upholds that a switchover loses nothing: a lease that was
 * released at a position is taken only by a node whose replay is past it.
 */
import { formatLsn, type Lsn, parseLsn } from '../../core/model/lsn.ts';
import type { HostContext } from './host-context.ts';
import { startStandby } from './standby-work.ts';

const replayLimitMs = 10_000;
/**
 * After so long without a step forward of a standby that lacks log and that nobody streams to, none is expected any more: the old
 * primary has stopped, and clients wait for somebody who has it all.
 */
const noMoreLogMs = 2_000;
const positionTimeoutMs = 1_000;
const betweenQuestionsMs = 2;

const standbyPosition = `select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn()::text as replayed,
  pg_last_wal_receive_lsn()::text as received,
  exists (select from pg_stat_wal_receiver where status = 'streaming') as streams`;

export type ReadyContext = Pick<HostContext, 'server' | 'now'>;

/**
 * Null: ready, its replay is past the old primary's shutdown record. Else why it is not, and will not be soon. `startsAgain` starts a
 * PostgreSQL that is found stopped.
 */
export async function readyToPromote(
  context: ReadyContext,
  releasedAt: Lsn | null,
  startsAgain: () => Promise<string | null>,
): Promise<string | null> {
  const { server, now } = context;
  const deadline = now() + replayLimitMs;
  let last = 'PostgreSQL did not answer';
  let seen = '';
  let movedMs = now();
  // One light question, for clients wait: a full look costs several and a connection of its own.
  while (now() < deadline) {
    const answer = await server.node.query(standbyPosition, positionTimeoutMs);
    if (answer.kind === 'rows') {
      const position = positionOf(answer.rows[0]);
      if (!position.standby) return 'PostgreSQL runs here as a primary';
      if (releasedAt === null || isPast(position.replayed, releasedAt)) return null;
      const at = position.replayed === null ? 'nothing' : formatLsn(position.replayed);
      last = `replay is at ${at}, the old primary stopped at ${formatLsn(releasedAt)}`;
      if (at !== seen || position.streams || isPast(position.received, releasedAt)) movedMs = now();
      seen = at;
      if (now() - movedMs >= noMoreLogMs) return `${last}, and nobody streams the rest`;
    } else if (answer.kind === 'unreachable' && (await server.look()).postgres.kind === 'stopped') {
      const refusal = await startsAgain();
      if (refusal !== null) return refusal;
      movedMs = now();
    }
    await new Promise((resolve) => setTimeout(resolve, betweenQuestionsMs));
  }
  return last;
}

/** As a standby that nobody streams to: its own log is replayed, and no more. */
export async function startAlone(context: HostContext): Promise<string | null> {
  const started = await startStandby(context, null);
  return started.kind === 'failed' ? started.reason : null;
}

interface Position {
  readonly standby: boolean;
  readonly replayed: Lsn | null;
  /** Since its server was started. */
  readonly received: Lsn | null;
  readonly streams: boolean;
}

function positionOf(row: Readonly<Record<string, unknown>> = {}): Position {
  const lsn = (value: unknown) => (typeof value === 'string' ? parseLsn(value) : null);
  return {
    standby: row['standby'] === true,
    replayed: lsn(row['replayed']),
    received: lsn(row['received']),
    streams: row['streams'] === true,
  };
}

function isPast(position: Lsn | null, limit: Lsn): boolean {
  return position !== null && position > limit;
}
