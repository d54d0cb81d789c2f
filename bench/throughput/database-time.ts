/**
 * How much of the clients' time the database was at work for them: PostgreSQL's own count of the time its sessions spend in statements
 * (`pg_stat_database.active_time`, 14 and later). A session passes its count on once a second at most, so both readings are taken
 * in the middle of the run, and the time between them is what they are divided by.
 */
import { sleepMs } from '../../adapters/clock.ts';
import { withClient } from './prepare-data.ts';

const afterStartMs = 1_500;
const beforeEndMs = 500;
/** Shorter, and what the sessions have not passed on yet would count for too much. */
const leastMs = 2_000;

/** Of the time of so many clients, 0 to 1; null where PostgreSQL does not count it, or for too short a run. Never rejects. */
export async function databaseShare(
  dsn: string,
  run: { readonly seconds: number; readonly clients: number; readonly signal: AbortSignal },
): Promise<number | null> {
  const betweenMs = run.seconds * 1_000 - afterStartMs - beforeEndMs;
  if (betweenMs < leastMs) return null;
  try {
    return await withClient(dsn, async (client) => {
      const read = async () => {
        const { rows } = await client.query<{ ms: number }>(
          'select active_time as ms from pg_stat_database where datname = current_database()',
        );
        return { ms: Number(rows[0]?.ms), atMs: performance.now() };
      };
      await sleepMs(afterStartMs);
      const first = await read();
      await sleepMs(betweenMs);
      run.signal.throwIfAborted();
      const last = await read();
      const share = (last.ms - first.ms) / ((last.atMs - first.atMs) * run.clients);
      return Number.isFinite(share) ? share : null;
    });
  } catch {
    return null;
  }
}
