/**
 * Reads what the standbys answered to `end-receiver` in this operation. The answers have travelled through the state machine:
 * they are parsed again here, and what does not parse is an unknown position, never a guess.
 */
import type { Position } from '../../core/failover/choose-candidate.ts';
import { type Lsn, maxLsn, parseLsn } from '../../core/model/lsn.ts';
import type { OrderAnswer } from '../../core/wire/parse-operation-plan.ts';

export function positionsOf(answers: readonly OrderAnswer[]): readonly Position[] {
  return answers.filter(({ order, ok }) => ok && order.verb === 'end-receiver').map(positionOf);
}

/** Who did not answer an order of the catch-up: asking again would only wait again. */
export function silentNodes(answers: readonly OrderAnswer[]): readonly string[] {
  return answers.filter(({ ok }) => !ok).map(({ order }) => order.node);
}

/** Who follows the target already, by an order of the catch-up. */
export function repointedNodes(answers: readonly OrderAnswer[], target: string): readonly string[] {
  return answers
    .filter(({ order, ok }) => ok && order.verb === 'follow' && order.args.node === target)
    .map(({ order }) => order.node);
}

function positionOf({ order, result }: OrderAnswer): Position {
  const fields: Record<string, unknown> = typeof result === 'object' && result !== null ? { ...result } : {};
  const known = [lsnIn(fields['receivedLsn']), lsnIn(fields['replayedLsn'])].filter((lsn) => lsn !== null);
  return {
    node: order.node,
    epoch: positive(fields['epoch']),
    timeline: positive(fields['timeline']),
    lsn: known.length === 0 ? null : known.reduce(maxLsn),
  };
}

function lsnIn(value: unknown): Lsn | null {
  return typeof value === 'string' ? parseLsn(value) : null;
}

function positive(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null;
}
