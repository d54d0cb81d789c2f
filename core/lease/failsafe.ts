/**
 * Failsafe mode, the holder's side: it cannot renew because DynamoDB does not answer, and asks every member directly for a promise
 * not to take over. Only with all promises its hold goes on, by one ttl counted from before the first was asked (invariant
 * D1): whoever may seal has promised for longer than that. One refusal, or one member that is silent, and the deadline stands.
 */
import type { Lease, NodeId } from '../model/lease.ts';
import type { Writer } from './lease-write.ts';

/** What the holder asks of each member. */
export interface FailsafeAsk {
  readonly cluster: string;
  readonly holder: NodeId;
  readonly incarnation: string;
  readonly epoch: number;
  readonly ttlMs: number;
  /** Made anew for each ask: an answer to another ask counts for nothing. */
  readonly nonce: string;
}

export interface FailsafeAnswer {
  /** Who answers. */
  readonly member: NodeId;
  readonly promised: boolean;
  /** The row of the member's table that decided. */
  readonly rule: string;
  readonly epoch: number;
  readonly incarnation: string;
  readonly nonce: string;
}

/** What the holder knows when it would ask, and again when it would rely on the answers. */
export interface FailsafeStanding {
  /** The cluster's specification wants failsafe mode. */
  readonly enabled: boolean;
  readonly lease: Lease | null;
  readonly writer: Writer;
  /**
   * The lease was proven in this tenure, no release has been sent since, and the deadline has not passed: who asks on after it
   * holds the members back from taking over, and nobody is writable.
   */
  readonly proven: boolean;
  /** A renewal was refused, and none was acknowledged since: the lease may be another's. */
  readonly refused: boolean;
  /** The holder renews no more, for its PostgreSQL is beyond saving. */
  readonly letsGo: boolean;
}

interface StandingRow {
  readonly rule: string;
  readonly when: (standing: FailsafeStanding) => boolean;
  readonly may: boolean;
}

/** Whether the holder may ask, and rely on what it was told. */
export const standingTable: readonly StandingRow[] = [
  { rule: 'failsafe-off', when: (s) => !s.enabled, may: false },
  {
    rule: 'not-holder',
    when: (s) =>
      s.lease?.state !== 'held' ||
      s.lease.holder !== s.writer.node ||
      s.lease.incarnation !== s.writer.incarnation,
    may: false,
  },
  { rule: 'hold-unproven', when: (s) => !s.proven, may: false },
  { rule: 'renewal-refused', when: (s) => s.refused, may: false },
  { rule: 'lease-let-go', when: (s) => s.letsGo, may: false },
  { rule: 'ask-all-members', when: () => true, may: true },
];

/** Total: the last row matches always. */
export function decideStanding(standing: FailsafeStanding): { readonly rule: string; readonly may: boolean } {
  const row = standingTable.find((candidate) => candidate.when(standing));
  if (row === undefined) throw new Error('InvariantViolation: the failsafe table has no row for this state');
  return { rule: row.rule, may: row.may };
}

/**
 * Everybody who may seal, whichever of the lists is in the item now: the members as last read, those that a renewal of this
 * holder may have written since, and those of the record, who are about to be. Alone in the cluster: nobody.
 */
export function membersToAsk(holder: NodeId, ...lists: readonly (readonly NodeId[])[]): readonly NodeId[] {
  return [...new Set(lists.flat())].filter((member) => member !== holder).sort();
}

export type FailsafeVerdict =
  | { readonly kind: 'all-promised' }
  | { readonly kind: 'missing'; readonly member: NodeId; readonly rule: string };

/** One answer of each member, null where there was none. All must have promised exactly what was asked now. */
export function judgeAnswers(
  ask: FailsafeAsk,
  members: readonly NodeId[],
  answers: ReadonlyMap<NodeId, FailsafeAnswer | null>,
): FailsafeVerdict {
  for (const member of members) {
    const answer = answers.get(member) ?? null;
    if (answer === null) return { kind: 'missing', member, rule: 'silent' };
    if (!isAnswerTo(ask, member, answer)) return { kind: 'missing', member, rule: 'answers-another-ask' };
    if (!answer.promised) return { kind: 'missing', member, rule: answer.rule };
  }
  return { kind: 'all-promised' };
}

function isAnswerTo(ask: FailsafeAsk, member: NodeId, answer: FailsafeAnswer): boolean {
  return (
    answer.member === member &&
    answer.nonce === ask.nonce &&
    answer.epoch === ask.epoch &&
    answer.incarnation === ask.incarnation
  );
}
