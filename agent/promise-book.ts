/**
 * What this node has promised to holders in failsafe mode, and what may still be under way of its own (invariant D2): the rules are
 * in `core/lease/promises.ts`, here they are remembered for as long as the agent lives.
 */
import type { FailsafeAnswer, FailsafeAsk } from '../core/lease/failsafe.ts';
import type { LeaseWrite } from '../core/lease/lease-write.ts';
import {
  answerAsk,
  type HeldBack,
  heldBack,
  isHeldBackFrom,
  type Promises,
  sawLease,
  sendsWrite,
  startPromises,
} from '../core/lease/promises.ts';
import type { Lease, NodeId } from '../core/model/lease.ts';

/** Who is asked, and what it knows besides. */
export interface AskedMember {
  readonly cluster: string;
  readonly node: NodeId;
  readonly lease: Lease | null;
  /** This node id is another host's now. */
  readonly registeredElsewhere: boolean;
}

type Log = (message: string, fields: Record<string, unknown>) => void;

export class PromiseBook {
  readonly #now: () => number;
  readonly #log: Log;
  #promises: Promises;

  constructor(now: () => number, log: Log) {
    this.#now = now;
    this.#log = log;
    this.#promises = startPromises(now());
  }

  saw(lease: Lease | null): void {
    this.#promises = sawLease(this.#promises, lease);
  }

  answer(member: AskedMember, ask: FailsafeAsk): FailsafeAnswer {
    const { answer, promises } = answerAsk({ ...member, promises: this.#promises, ask }, this.#now());
    this.#promises = promises;
    return answer;
  }

  /** Why this node may not take over at this instant; null when it may. */
  heldBack(ttlMs: number): HeldBack | null {
    return heldBack(this.#promises, ttlMs, this.#now());
  }

  /** Asked right before a write is sent, and remembers it. Not null: it must not be sent. */
  sends(write: LeaseWrite, lease: Lease | null, ttlMs: number): HeldBack | null {
    const back = isHeldBackFrom(write, lease) ? this.heldBack(ttlMs) : null;
    if (back === null) this.#promises = sendsWrite(this.#promises, write);
    else this.#log('held back from taking over', { write: write.kind, rule: back.rule });
    return back;
  }
}
