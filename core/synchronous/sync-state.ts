/**
 * What a standby may say of itself: whether each commit that is acknowledged is on it (`sync`), or on enough of those it belongs to (`quorum`).
 * By the recorded set alone, so it may be asked at any time; the words are Patroni's.
 */
import type { NodeId, SynchronousSet } from '../model/lease.ts';

export interface SyncState {
  readonly sync: boolean;
  readonly quorum: boolean;
}

export function syncStateOf(sync: SynchronousSet | null, node: NodeId): SyncState {
  // Elections wait for nobody while it is off; during a change only what both sets say is true.
  if (sync === null || sync.mode === 'off' || sync.k === 0 || !sync.names.includes(node))
    return { sync: false, quorum: false };
  const { method, k, names, next } = sync;
  const everyone = k >= names.length;
  const among = method === 'first' && names.indexOf(node) < k;
  const stays = next === null || (next.k > 0 && next.names.includes(node));
  return { sync: stays && (everyone || among), quorum: stays && method === 'any' };
}
