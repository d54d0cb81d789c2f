/** What agents say to one another in failsafe mode, read from and written to the peer channel. */
import type { FailsafeAnswer, FailsafeAsk } from '../lease/failsafe.ts';
import { boolean, count, id, itemShape, nonEmpty, positive } from './item-shape.ts';

/** Throws InvalidInput, naming the attribute. */
export const askShape = itemShape<FailsafeAsk>({
  cluster: id,
  holder: id,
  incarnation: nonEmpty,
  epoch: positive,
  ttlMs: positive,
  nonce: nonEmpty,
});

export const answerShape = itemShape<FailsafeAnswer>({
  member: id,
  promised: boolean,
  rule: nonEmpty,
  epoch: count,
  incarnation: nonEmpty,
  nonce: nonEmpty,
});

/** Of `/leasehold/action`: which action is to be run now. */
export const actionCallShape = itemShape<{ readonly operation: string; readonly action: string }>({
  operation: nonEmpty,
  action: nonEmpty,
});
