/** A host of the model's world, and how its messages may fare. */
import type { Hold, LeaseWatch } from '../../core/lease/lease-clock.ts';
import type { Promises } from '../../core/lease/promises.ts';
import type { Lease } from '../../core/model/lease.ts';

export class InvariantBroken extends Error {
  override name = 'InvariantBroken';
}

export interface Host {
  readonly id: string;
  readonly rate: number;
  readonly offsetMs: number;
  incarnation: string;
  alive: boolean;
  /** Until when PostgreSQL accepts writes; survives the agent, because the guard knows it too. */
  hold: Hold | null;
  /** Fenced by proof, durably: no hold of this epoch or an older one is ever taken again. */
  barredEpoch: number;
  /** Answers to what was sent before count no more: PostgreSQL was stopped, to release, at that message. */
  stoppedAt: number;
  watch: LeaseWatch;
  /** The last message that had been sent when the watch changed. */
  watchedAt: number;
  known: Lease | null;
  /** What it promised in failsafe mode, and what of its own may be under way. */
  promises: Promises;
  /** Member lists that its renewals may have written. */
  offered: readonly { readonly ordinal: number; readonly members: readonly string[] }[];
  /** A renewal was refused, and none acknowledged since. */
  refused: boolean;
}

/** `instant`: request and answer arrive now. Else the request, or only its answer, stays under way, or the answer is lost. */
export type Transit = 'instant' | 'request-late' | 'answer-late' | 'answer-lost' | 'twice';

export interface HostClock {
  readonly rate: number;
  readonly offsetMs: number;
}
