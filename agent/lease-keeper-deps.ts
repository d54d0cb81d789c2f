/**
 * What the lease keeper needs, and what it says: apart from `lease-keeper.ts` so that its users can name these without it.
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import type { Hold, HoldStage, LeaseWatch } from '../core/lease/lease-clock.ts';
import type { Writer } from '../core/lease/lease-write.ts';
import type { HeldBack } from '../core/lease/promises.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import type { Lease, NodeId } from '../core/model/lease.ts';
import type { FailsafeChannel, FailsafeView } from './failsafe-asker.ts';

export interface LeaseView {
  readonly headRead: boolean;
  readonly record: ClusterRecord | null;
  readonly watch: LeaseWatch;
  readonly holdStage: HoldStage;
  /** When the store last answered a read or a write of the lease; null: never yet. */
  readonly answeredMs: number | null;
  readonly failsafe: FailsafeView;
  /** Why this node may not take over now: it has promised, or a former agent of it may have. */
  readonly heldBack: HeldBack | null;
}

export interface LeaseKeeperDeps {
  readonly store: ClusterStore;
  readonly writer: Writer;
  /** A clock that counts suspension, in ms. */
  readonly now: () => number;
  /** What the holder wants said in its renewals now; null: it lets this lease run out. */
  readonly renewalChange: (lease: Lease) => { members?: readonly NodeId[]; timeline?: number } | null;
  /** The hold moved: the guard must know (null: nothing to guard). And: no lease is held, and PostgreSQL is down or a standby. */
  readonly onHold: (hold: Hold | null) => void;
  readonly onNotWritable?: () => void;
  /** A renewal was acknowledged, or the lease changed by our hand: wake the others. */
  readonly onBaton: () => void;
  /** Something that a decision rests on may have changed. */
  readonly onChange: () => void;
  /** Absent on a proxy: it holds no lease, and is never asked. */
  readonly failsafe?: FailsafeChannel;
  readonly log: (message: string, fields: Record<string, unknown>) => void;
}

/** What became of a write that this agent made to the lease. */
export type LeaseWriteOutcome =
  | { readonly kind: 'done'; readonly lease: Lease }
  | { readonly kind: 'refused' }
  | { readonly kind: 'uncertain'; readonly message: string };
