/**
 * The orderly end of a whole host: PostgreSQL is stopped for good, then what watches over it. Upholds L3: the guard ends and the watchdog is
 * disarmed only when no process of PostgreSQL is left; what does not die is still under the guard's deadline after the agent is gone.
 */
import type { PostgresNode } from '../adapters/postgres/postgres-node.ts';
import type { Guard } from './guard.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { Watchdog } from './watchdog.ts';

/** A start takes far less, unless its disk gives no answer. */
const startEndsMs = 5_000;
const orderlyStopMs = 20_000;

export interface HostToEnd {
  readonly node: Pick<PostgresNode, 'startNoMore' | 'stopFast' | 'killAll'>;
  readonly guard: Pick<Guard, 'quit'>;
  readonly watchdog: Pick<Watchdog, 'notWritable'>;
  readonly keeper: Pick<LeaseKeeper, 'stop'>;
}

/** How many processes of PostgreSQL are left, or may still come. */
export async function endHost({ node, guard, watchdog, keeper }: HostToEnd): Promise<number> {
  const noneToCome = await node.startNoMore(startEndsMs);
  await node.stopFast(orderlyStopMs);
  const { remaining } = await node.killAll('the host shuts down');
  const left = remaining.length + (noneToCome ? 0 : 1);
  if (left === 0) guard.quit();
  // Renews no more: the deadline that the guard was told last comes.
  keeper.stop();
  if (left === 0) watchdog.notWritable();
  return left;
}
