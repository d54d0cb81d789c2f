/**
 * How well a host is, beyond "PostgreSQL runs": what a write to its data disk came to, and whether the server takes a new
 * connection. Facts with their age; what follows from them is in `primary-failure.ts`. A stopped postmaster looks alive from
 * a connection that was made before, and a full disk looks well until the next log file is needed: both are asked for.
 */
import type { NodeHealth } from '../model/node-report.ts';

/** What the last write and fsync in the data directory's file system (and the log's, where it is another) came to. */
export type DiskCondition =
  /** Not probed yet, or there is no data directory. */
  | 'unknown'
  | 'ok'
  /** No space for the probe, or for one more file of the log. */
  | 'full'
  | 'read-only'
  /** The write did not end by its deadline, and has not ended since. */
  | 'frozen'
  /** Any other error: an I/O error, rights. */
  | 'failed';

export interface DiskHealth {
  readonly condition: DiskCondition;
  /** How long it has been so, in ms. */
  readonly forMs: number;
  /** For people. */
  readonly detail: string;
  /** Little space is left, whatever its condition; missing: enough, or not known. */
  readonly low?: true;
}

/** How the postmaster answers a new connection. */
export interface Responsiveness {
  readonly kind: /** Nothing to ask, or not asked yet. */
    | 'unknown'
    | 'answers'
    /** Nobody listens. */
    | 'refused'
    /** The connection is made and nothing comes. */
    | 'silent'
    /** As `silent`, and the kernel says that the postmaster is stopped (state T). */
    | 'stopped';
  /** Since the first question that was not answered was asked; 0 while it answers. */
  readonly forMs: number;
  /** Questions in a row without an answer. */
  readonly misses: number;
}

export interface HostHealth {
  readonly disk: DiskHealth;
  readonly responsiveness: Responsiveness;
}

export const wellHost: HostHealth = {
  disk: { condition: 'ok', forMs: 0, detail: '' },
  responsiveness: { kind: 'answers', forMs: 0, misses: 0 },
};

/** A postmaster that the kernel calls stopped is hung after this long, and not before: a fence stops it too, for a moment. */
export function stoppedIsHungAfterMs(ttlMs: number): number {
  return Math.max(2_000, ttlMs / 2);
}

/** One that is only silent may be slow, on a machine that is: it gets longer. */
export function silentIsHungAfterMs(ttlMs: number): number {
  return Math.max(15_000, 3 * ttlMs);
}

/** One unanswered question may be this agent's own loop that stood still. */
export const missesOfHung = 3;

export function isHung({ responsiveness }: HostHealth, ttlMs: number): boolean {
  const { kind, forMs, misses } = responsiveness;
  if (misses < missesOfHung) return false;
  if (kind === 'stopped') return forMs >= stoppedIsHungAfterMs(ttlMs);
  return kind === 'silent' && forMs >= silentIsHungAfterMs(ttlMs);
}

/** Nothing can be copied or started on such a disk. */
export function isDiskUnfit({ disk }: HostHealth): boolean {
  return disk.condition !== 'ok' && disk.condition !== 'unknown';
}

/** What the node's report says: whoever chooses a candidate refuses all but `ok`. */
export function reportedHealth(health: HostHealth, ttlMs: number): NodeHealth {
  if (isHung(health, ttlMs)) return 'postgres-hung';
  const { condition } = health.disk;
  return condition === 'ok' || condition === 'unknown' ? 'ok' : `disk-${condition}`;
}
