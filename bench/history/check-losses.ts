/**
 * Which losses a mode allows. Synchronous modes allow none under a single fault, `strict` none ever; asynchronous replication loses what no standby
 * had when its primary was lost, and then the cluster must have said so: the log that was thrown away is reported. Pure.
 */
import type { SynchronousSet } from '../../core/model/lease.ts';
import { keyOf } from './check-rows.ts';
import type { Append, Violation } from './history.ts';

export type SynchronousMode = SynchronousSet['mode'];

export interface LossSurroundings {
  readonly mode: SynchronousMode;
  /** Two faults may have struck at once: mode `on` may then have gone on alone, and lost what only that node had. */
  readonly double: boolean;
  /** How many `wal_discarded` events there were since the last check. */
  readonly discardsReported: number;
  /** How often the lease has changed hands since then. */
  readonly handOvers: number;
}

const maxExamples = 5;

export function checkLosses(lost: readonly Append[], surroundings: LossSurroundings): Violation[] {
  if (lost.length === 0) return [];
  const { mode, double, discardsReported, handOvers } = surroundings;
  const examples = lost.slice(0, maxExamples).map(keyOf).join(', ');
  const which = `${lost.length} (client/sequence ${examples})`;
  const mayLose = mode === 'off' || (mode === 'on' && double);
  if (!mayLose) return [{ rule: 'acknowledged-write-lost', message: `${which} in mode ${mode}` }];
  if (handOvers === 0) {
    return [{ rule: 'acknowledged-write-lost', message: `${which} although no node took over from another` }];
  }
  if (discardsReported > 0) return [];
  return [{ rule: 'loss-not-reported', message: `${which} and no event wal_discarded` }];
}
