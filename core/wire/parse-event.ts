/**
 * An audit event, read from and written to DynamoDB. The table of kinds is exhaustive by its type: a kind that is added to
 * the model and forgotten here does not compile.
 */
import type { ClusterEvent, EventDetails, EventKind } from '../model/cluster-event.ts';
import { InvalidInput, pathOf, readFields } from './fields.ts';
import {
  type Item,
  itemShape,
  nonEmpty,
  nullable,
  oneOf,
  optional,
  plain,
  positive,
  text,
} from './item-shape.ts';

const known: Readonly<Record<EventKind, true>> = {
  cluster_initialised: true,
  bootstrap_claimed: true,
  bootstrap_taken_over: true,
  data_adopted: true,
  node_joined: true,
  join_refused: true,
  lease_adopted: true,
  lease_sealed: true,
  lease_lost: true,
  lease_released: true,
  lease_acquired: true,
  lease_fenced: true,
  epoch_regressed: true,
  failsafe_entered: true,
  failsafe_left: true,
  postgres_started: true,
  postgres_exited: true,
  postgres_fenced: true,
  postgres_restarted_in_place: true,
  primary_promoted: true,
  promotion_failed: true,
  standby_following: true,
  node_rewound: true,
  rewind_failed: true,
  node_rebuilt: true,
  wal_discarded: true,
  disk_trouble: true,
  disk_recovered: true,
  disk_space_low: true,
  postgres_hung: true,
  recovery_decided: true,
  hand_over_requested: true,
  operation_requested: true,
  operation_started: true,
  operation_step: true,
  operation_succeeded: true,
  operation_aborted: true,
  operation_failed: true,
  data_loss_accepted: true,
  synchronous_changed: true,
  operation_rolled_back: true,
  action_resumed: true,
  action_rolled_back: true,
  proxy_paused: true,
  proxy_resumed: true,
  proxy_pause_expired: true,
  host_fencing_requested: true,
  host_fenced: true,
  host_isolated: true,
  host_unfenced: true,
  host_forgotten: true,
  host_upgraded: true,
  host_rolled_back: true,
  upgrade_failed: true,
  sentinel_acted: true,
  authority_made: true,
  drill_started: true,
  drill_ended: true,
  secret_rotation: true,
};

export const eventKinds = Object.keys(known) as readonly EventKind[];

/** Facts of the kinds that an event may carry. */
function readDetails(value: unknown, field: string): EventDetails {
  const fields = readFields(value, field);
  for (const [name, one] of Object.entries(fields)) {
    if (one === null || ['string', 'number', 'boolean'].includes(typeof one)) continue;
    throw new InvalidInput(pathOf(field, name), one, 'text, a number, true, false or null');
  }
  return fields as EventDetails;
}

const eventShape = itemShape<ClusterEvent>({
  id: nonEmpty,
  kind: oneOf(eventKinds),
  time: nonEmpty,
  who: nonEmpty,
  rule: text,
  epoch: nullable(positive),
  operation: nullable(nonEmpty),
  message: text,
  details: optional(plain(readDetails)),
});

/** Throws InvalidInput, naming the attribute as `event.<attribute>`. */
export function parseEvent(item: unknown): ClusterEvent {
  return eventShape.read(item, 'event');
}

export function eventToItem(event: ClusterEvent): Item {
  return eventShape.write(event);
}
