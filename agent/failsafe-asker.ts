/**
 * The holder's failsafe as its agent runs it: at the first renewal that could not be made, and again as long as none can, it asks
 * all members at once for the promise, and lets the hold go on only as `core/lease/failsafe.ts` says (invariant D1). It never
 * waits for DynamoDB, and one round of questions is under way at a time.
 *
 * | state  | entered                                  | left                                                            |
 * |--------|------------------------------------------|-----------------------------------------------------------------|
 * | idle   | start, `acknowledged`, `ended`           | `renewalFailed`, with all promises: active                      |
 * | active | all members promised                     | a renewal acknowledged or refused, the lease lost, the deadline |
 */
import { randomUUID } from 'node:crypto';
import {
  decideStanding,
  type FailsafeAnswer,
  type FailsafeAsk,
  type FailsafeStanding,
  judgeAnswers,
  membersToAsk,
} from '../core/lease/failsafe.ts';
import { fenceBudget, type Hold, holdStage } from '../core/lease/lease-clock.ts';
import type { Writer } from '../core/lease/lease-write.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import type { Lease, NodeId } from '../core/model/lease.ts';

export interface FailsafeView {
  /** The hold rests on the members' promises. */
  readonly active: boolean;
  /** Since when, on the host's clock; null while it is not active. */
  readonly sinceMs: number | null;
}

/** How an agent asks, and what it does with the outcome: what differs from host to host. */
export interface FailsafeChannel {
  readonly cluster: string;
  /** Null: no answer in time. */
  readonly ask: (member: NodeId, ask: FailsafeAsk, timeoutMs: number) => Promise<FailsafeAnswer | null>;
  /** Failsafe mode has been under way for a heartbeat, or it ended: for logs, events and metrics. */
  readonly onFailsafe: (active: boolean, reason: string) => void;
}

/** A proxy holds no lease, and has nobody to ask. */
export const noFailsafe: FailsafeChannel = {
  cluster: '',
  ask: async () => null,
  onFailsafe: () => undefined,
};

/** And the keeper as the asker sees it. */
export interface FailsafeAskerDeps extends FailsafeChannel {
  readonly now: () => number;
  readonly writer: Writer;
  readonly facts: () => {
    readonly record: ClusterRecord | null;
    readonly lease: Lease | null;
    readonly hold: Hold | null;
  };
  /** This host lets that lease run out. */
  readonly letsGo: (lease: Lease) => boolean;
  /** The hold goes on for one ttl from `sentAtMs`. */
  readonly extend: (epoch: number, sentAtMs: number, ttlMs: number) => void;
  readonly log: (message: string, fields: Record<string, unknown>) => void;
}

/** After an ask that was not granted: a member may have been about to answer, and the deadline does not move. */
const askAgainAfterMs = 50;

export class FailsafeAsker {
  readonly #deps: FailsafeAskerDeps;
  #asking = false;
  #again = false;
  #sinceMs: number | null = null;
  #announced = false;
  /** A renewal was refused, and none acknowledged since. */
  #refused = false;
  /** Rises with each acknowledgement and refusal: answers to an ask of before decide nothing. */
  #news = 0;
  /** Members that renewals have named whose fate is not known. */
  #offered: { readonly order: number; readonly members: readonly NodeId[] }[] = [];
  #lastMissing = '';
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(deps: FailsafeAskerDeps) {
    this.#deps = deps;
  }

  view(): FailsafeView {
    return { active: this.#sinceMs !== null, sinceMs: this.#sinceMs };
  }

  stop(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** A write that changes the members is about to be sent as call number `order`. */
  offers(order: number, members: readonly NodeId[]): void {
    // Of equal lists the last sent counts: as many are kept as there are different ones.
    const others = this.#offered.filter((offer) => offer.members.join() !== members.join());
    this.#offered = [...others, { order, members }];
  }

  /** A write of call number `order` proved the lease: what was sent before it and changes something can land no more. */
  acknowledged(order: number): void {
    this.#news += 1;
    this.#refused = false;
    this.#offered = this.#offered.filter((offer) => offer.order > order);
    this.ended('the lease was renewed');
  }

  /** A renewal was refused: nothing but an acknowledged one makes up for that. */
  refused(): void {
    this.#news += 1;
    this.#refused = true;
    this.ended('a renewal was refused');
  }

  /** The agent's loop stood still (L5): what was asked before proves nothing, so all are asked again at once. */
  gapped(): void {
    this.#news += 1;
    if (this.#sinceMs === null) return;
    this.#again = this.#asking;
    this.renewalFailed();
  }

  ended(reason: string): void {
    if (this.#sinceMs === null) return;
    this.#sinceMs = null;
    if (this.#announced) this.#deps.onFailsafe(false, reason);
    this.#announced = false;
  }

  renewalFailed(): void {
    if (this.#asking || this.#closed) return;
    this.#asking = true;
    void this.#ask()
      .catch((error: unknown) => {
        // A bug must not end the agent while it holds the lease: the deadline stands.
        this.#deps.log('asking the members failed', {
          error_kind: 'InvariantViolation',
          error: String(error),
        });
        return true;
      })
      .then((settled) => {
        this.#asking = false;
        if (this.#again) {
          this.#again = false;
          this.renewalFailed();
          return;
        }
        if (settled || this.#closed || !this.#isAlive()) return;
        this.#timer = setTimeout(() => this.renewalFailed(), askAgainAfterMs);
      });
  }

  /** False: worth asking again soon. */
  async #ask(): Promise<boolean> {
    const { cluster, now, writer, facts, ask: askMember } = this.#deps;
    const { record } = facts();
    const before = this.#standing();
    const { lease } = before;
    if (lease === null || record === null || !decideStanding(before).may) return true;
    const ask: FailsafeAsk = {
      cluster,
      holder: writer.node,
      incarnation: writer.incarnation,
      epoch: lease.epoch,
      ttlMs: lease.ttlMs,
      nonce: randomUUID(),
    };
    const offered = this.#offered.flatMap(({ members }) => members);
    const members = membersToAsk(writer.node, lease.members, record.members, offered);
    const { attemptTimeoutMs } = fenceBudget(lease.ttlMs);
    const news = this.#news;
    // Before the first question is sent: every promise lasts for longer than one ttl from here.
    const sentAtMs = now();
    const answers = new Map(
      await Promise.all(
        members.map(async (member) => [member, await askMember(member, ask, attemptTimeoutMs)] as const),
      ),
    );
    if (this.#closed || news !== this.#news) return true;
    const verdict = judgeAnswers(ask, members, answers);
    if (verdict.kind === 'missing') {
      this.#missing(verdict.member, verdict.rule);
      return false;
    }
    const after = this.#standing();
    if (!decideStanding(after).may || after.lease?.epoch !== ask.epoch) return true;
    this.#lastMissing = '';
    this.#sinceMs ??= sentAtMs;
    this.#deps.extend(ask.epoch, sentAtMs, ask.ttlMs);
    if (!this.#announced && now() - this.#sinceMs >= record.spec.heartbeatMs) {
      this.#announced = true;
      this.#deps.onFailsafe(
        true,
        `promised by ${members.length === 0 ? 'nobody: alone' : members.join(', ')}`,
      );
    }
    return true;
  }

  #standing(): FailsafeStanding {
    const { record, lease, hold } = this.#deps.facts();
    return {
      enabled: record?.spec.failsafe ?? false,
      lease,
      writer: this.#deps.writer,
      proven: hold?.epoch === lease?.epoch && this.#isAlive(),
      refused: this.#refused,
      letsGo: lease !== null && this.#deps.letsGo(lease),
    };
  }

  #isAlive(): boolean {
    return !['none', 'expired'].includes(holdStage(this.#deps.facts().hold, this.#deps.now()));
  }

  #missing(member: NodeId, rule: string): void {
    const text = `${member} ${rule}`;
    if (text === this.#lastMissing) return;
    this.#lastMissing = text;
    this.#deps.log('failsafe not granted', { member, rule });
  }
}
