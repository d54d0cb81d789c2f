// Physical replication slots: every member has one on every node, primary or not, so that a new primary still has the log
// that the others need. A slot made too late leaves a silent gap; one that nobody advances fills the disk.

import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import { isSlotName } from './configuration.ts';
import type { LocalConnection, QueryFailure } from './connection.ts';

export type SlotResult =
  | { readonly kind: 'done'; readonly changed: readonly string[] }
  /** Some were changed, then one failed; the call can be repeated. */
  | {
      readonly kind: 'failed';
      readonly changed: readonly string[];
      readonly slot: string;
      readonly failure: QueryFailure;
    };

const OBJECT_IN_USE = '55006';
const ATTEMPTS_TO_DROP = 20;

/** Creates the missing ones of these slots, reserving log from now on; works on standbys too. */
export async function ensurePhysicalSlots(
  connection: LocalConnection,
  names: readonly string[],
  timeoutMs: number,
): Promise<SlotResult> {
  const sql = `
    select pg_create_physical_replication_slot($1, true)
    where not exists (select from pg_replication_slots where slot_name = $1)`;
  return forEachSlot(names, timeoutMs, async (name, remainingMs) =>
    connection.query(sql, remainingMs, [name]),
  );
}

/** Drops these slots where they exist, ending the walsender that uses one. */
export async function dropSlots(
  connection: LocalConnection,
  names: readonly string[],
  timeoutMs: number,
): Promise<SlotResult> {
  const end =
    'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active';
  const drop = `
    select pg_drop_replication_slot(slot_name) from pg_replication_slots
    where slot_name = $1 and slot_type = 'physical'`;
  return forEachSlot(names, timeoutMs, async (name, remainingMs) => {
    let answer = await connection.query(drop, remainingMs, [name]);
    for (let attempt = 1; attempt < ATTEMPTS_TO_DROP && isInUse(answer); attempt += 1) {
      await connection.query(end, remainingMs, [name]);
      answer = await connection.query(drop, remainingMs, [name]);
    }
    return answer;
  });
}

/**
 * Moves idle slots up to a position, as their members report it; never back, and never beyond what this server has. A slot in
 * use is its walsender's business and left alone.
 */
export async function advanceSlots(
  connection: LocalConnection,
  positions: readonly { readonly name: string; readonly lsn: Lsn }[],
  timeoutMs: number,
): Promise<SlotResult> {
  const own = `case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end`;
  const sql = `
    select pg_replication_slot_advance(slot_name, least($2::pg_lsn, ${own})) from pg_replication_slots
    where slot_name = $1 and slot_type = 'physical' and not active and restart_lsn < least($2::pg_lsn, ${own})`;
  const lsnOf = new Map(positions.map(({ name, lsn }) => [name, lsn]));
  return forEachSlot([...lsnOf.keys()], timeoutMs, async (name, remainingMs) => {
    const lsn = lsnOf.get(name);
    if (lsn === undefined) return { kind: 'rows', rows: [] };
    const answer = await connection.query(sql, remainingMs, [name, formatLsn(lsn)]);
    return isInUse(answer) ? { kind: 'rows', rows: [] } : answer;
  });
}

type Answer = Awaited<ReturnType<LocalConnection['query']>>;

function isInUse(answer: Answer): boolean {
  return answer.kind === 'query-failed' && answer.sqlstate === OBJECT_IN_USE;
}

async function forEachSlot(
  names: readonly string[],
  timeoutMs: number,
  change: (name: string, remainingMs: number) => Promise<Answer>,
): Promise<SlotResult> {
  const invalid = names.find((name) => !isSlotName(name));
  if (invalid !== undefined) throw new Error(`not a slot's name: ${invalid}`);
  const deadlineMs = performance.now() + timeoutMs;
  const changed: string[] = [];
  for (const name of names) {
    const answer = await change(name, Math.max(1, deadlineMs - performance.now()));
    if (answer.kind !== 'rows') return { kind: 'failed', changed, slot: name, failure: answer };
    if (answer.rows.length > 0) changed.push(name);
  }
  return { kind: 'done', changed };
}
