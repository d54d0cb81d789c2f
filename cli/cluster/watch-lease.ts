/**
 * How much of the lease is left, as somebody who only reads it can know: nothing in it is a time, so it is watched until the
 * holder renews it. From the request whose answer showed a new `seq` on, at most ttl is left; without a renewal, at most ttl
 * less the time it has been watched.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { sleepMs } from '../../adapters/clock.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import { CliError } from '../cli-error.ts';

const pollMs = 40;

export interface WatchedHead {
  readonly record: ClusterRecord;
  readonly lease: Lease | null;
  /** 0 unless the lease is held. */
  readonly msLeft: number;
}

/** Record and lease; watches for at most the lease's ttl. Throws CliError when there is no such cluster or no answer. */
export async function watchHead(store: ClusterStore): Promise<WatchedHead> {
  const startedMs = performance.now();
  const first = await readHead(store);
  if (first.lease?.state !== 'held') return { ...first, msLeft: 0 };
  const { ttlMs } = first.lease;
  while (performance.now() - startedMs < ttlMs) {
    await sleepMs(pollMs);
    const askedMs = performance.now();
    const now = await readHead(store);
    if (now.lease?.state !== 'held') return { ...now, msLeft: 0 };
    if (now.lease.seq !== first.lease.seq) {
      return { ...now, msLeft: Math.max(0, Math.round(now.lease.ttlMs - (performance.now() - askedMs))) };
    }
  }
  return { ...(await readHead(store)), msLeft: 0 };
}

/** Throws CliError when the store does not answer or the cluster has no record. */
export async function readHead(store: ClusterStore): Promise<{ record: ClusterRecord; lease: Lease | null }> {
  const { record, lease } = answered(await store.readHead());
  if (record === null) throw new CliError('there is no such cluster in that table');
  return { record, lease };
}

/** The value of an answer. Throws CliError with the store's own words when there is none. */
export function answered<T>(answer: { kind: 'ok'; value: T } | { kind: string; message: string }): T {
  if ('value' in answer) return answer.value;
  throw new CliError(`DynamoDB: ${answer.kind}: ${answer.message}`);
}
