/**
 * The lease item, read from and written to DynamoDB. A lease that cannot be read in full is no lease: nothing may be
 * decided on a part of it.
 */
import type { Lease, LeaseState, SynchronousMode, SynchronousRule, SynchronousSet } from '../model/lease.ts';
import {
  boolean,
  type Codecs,
  count,
  type Item,
  id,
  itemShape,
  listOf,
  lsn,
  nonEmpty,
  nullable,
  oneOf,
  positive,
  withDefault,
} from './item-shape.ts';

const states: readonly LeaseState[] = ['held', 'released', 'sealed', 'fenced'];

export const synchronousModes: readonly SynchronousMode[] = ['off', 'on', 'strict'];
export const synchronousMethods: readonly SynchronousRule['method'][] = ['any', 'first'];

const ruleCodecs: Codecs<SynchronousRule> = {
  method: withDefault(oneOf(synchronousMethods), 'any'),
  k: count,
  names: listOf(id),
};

const setShape = itemShape<SynchronousSet>({
  ...ruleCodecs,
  mode: oneOf(synchronousModes),
  next: withDefault(nullable(itemShape<SynchronousRule>(ruleCodecs)), null),
});

const leaseShape = itemShape<Lease>({
  holder: id,
  incarnation: nonEmpty,
  epoch: positive,
  seq: positive,
  ttlMs: positive,
  state: oneOf(states),
  operation: nullable(nonEmpty),
  successor: nullable(id),
  timeline: positive,
  releasedAtLsn: nullable(lsn),
  neverPromoted: boolean,
  members: listOf(id),
  sync: setShape,
});

/** Throws InvalidInput, naming the attribute as `lease.<attribute>`. */
export function parseLease(item: unknown): Lease {
  return leaseShape.read(item, 'lease');
}

/** The attributes of a lease, or of those fields that an update sets. */
export function leaseToItem(lease: Partial<Lease>): Item {
  return leaseShape.writePart(lease);
}
