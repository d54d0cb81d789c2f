/**
 * Faults as data: what can be done to a running cluster of the embedded runtime, on whom, and how it is taken back. One list
 * feeds the chaos run, the fault table and tests, so that each fault means the same everywhere. A fault is real: processes are
 * killed or stopped, packets dropped, services cut; nothing in the product knows that it is being tested.
 */
import type { ClusterHandle } from '../runtime/cluster-handle.ts';

/** `volume`: hosts with volumes of their own; `netns`: hosts with networks of their own. Either needs root. */
export type FaultNeeds = 'any' | 'volume' | 'netns';

/** Whom a fault strikes: `cluster` is no one host, such as a service that is away. */
export type FaultRole = 'primary' | 'standby' | 'proxy' | 'cluster';

/**
 * Takes a fault back, as a repair would: starts what was killed for good, continues what was stopped, brings a service back.
 * Safe when the struck process is gone by now. Throws when it cannot: the cluster is then not fit for another fault.
 */
export type Undo = () => Promise<void>;

export interface Fault {
  /** Such as `primary-agent-stopped`. */
  readonly id: string;
  /** What happens, in a sentence for people. */
  readonly what: string;
  readonly needs: FaultNeeds;
  readonly strikes: FaultRole;
  /**
   * True when all of a host stands still for a while, its watch over PostgreSQL included, and wakes up beyond its lease's
   * deadline. Then two nodes may both accept a write at `synchronous_commit = local` until the woken host's first look
   * (spec/invariants.md, L3); nothing else makes that right.
   */
  readonly freezesHost?: boolean;
  /** True when what it kills comes back by itself, so that there is nothing to take back. */
  readonly mendsItself?: boolean;
  /** Does it, on this host (of the role it strikes; '' for `cluster`). Resolves once it is done. */
  apply(cluster: ClusterHandle, host: string): Promise<Undo>;
}

/** For what mends itself. */
export const nothingToUndo: Undo = async () => undefined;

/** What the fault strikes does not run at this moment: in the middle of an operation it may have ended. */
export class NothingToStrike extends Error {
  override readonly name = 'NothingToStrike';
}
