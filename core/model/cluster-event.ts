/**
 * What happened, for people and audits: one line in the log and one item in DynamoDB, kept for 90 days. Every kind is
 * named here, so that whoever reads events can know them all.
 */
export type EventKind =
  | 'cluster_initialised'
  | 'bootstrap_claimed'
  | 'bootstrap_taken_over'
  | 'data_adopted'
  | 'node_joined'
  | 'join_refused'
  | 'lease_adopted'
  | 'lease_sealed'
  | 'lease_lost'
  | 'lease_released'
  | 'lease_acquired'
  | 'lease_fenced'
  | 'epoch_regressed'
  | 'failsafe_entered'
  | 'failsafe_left'
  | 'postgres_started'
  | 'postgres_exited'
  | 'postgres_fenced'
  | 'postgres_restarted_in_place'
  | 'primary_promoted'
  | 'promotion_failed'
  | 'standby_following'
  | 'node_rewound'
  | 'rewind_failed'
  | 'node_rebuilt'
  | 'wal_discarded'
  | 'disk_trouble'
  | 'disk_recovered'
  | 'disk_space_low'
  | 'postgres_hung'
  | 'recovery_decided'
  | 'hand_over_requested'
  | 'operation_requested'
  | 'operation_started'
  | 'operation_step'
  | 'operation_succeeded'
  | 'operation_aborted'
  | 'operation_failed'
  | 'data_loss_accepted'
  | 'synchronous_changed'
  | 'operation_rolled_back'
  | 'action_resumed'
  | 'action_rolled_back'
  | 'proxy_paused'
  | 'proxy_resumed'
  | 'proxy_pause_expired'
  | 'host_fencing_requested'
  | 'host_fenced'
  | 'host_isolated'
  | 'host_unfenced'
  | 'host_forgotten'
  | 'host_upgraded'
  | 'host_rolled_back'
  | 'upgrade_failed'
  | 'sentinel_acted'
  | 'authority_made'
  | 'secret_rotation'
  | 'drill_started'
  | 'drill_ended';

export interface ClusterEvent {
  /** ULID: sorts by time. */
  readonly id: string;
  readonly kind: EventKind;
  /** ISO 8601. */
  readonly time: string;
  /** A node, a proxy, or the function that wrote it. */
  readonly who: string;
  /** The row of the decision table that led to it, or ''. */
  readonly rule: string;
  readonly epoch: number | null;
  readonly operation: string | null;
  readonly message: string;
  /** The facts behind the message, by name; missing where the message says it all. */
  readonly details?: EventDetails;
}

export type EventDetails = Readonly<Record<string, string | number | boolean | null>>;

/** An event is one small item: what is more is left out, and that is said. */
const mostDetails = 32;
const longestDetail = 1_000;

export function boundedDetails(details: EventDetails): EventDetails {
  const entries = Object.entries(details);
  const kept = entries
    .slice(0, mostDetails)
    .map(([name, value]) => [name, typeof value === 'string' ? value.slice(0, longestDetail) : value]);
  const left = entries.length - kept.length;
  return { ...Object.fromEntries(kept), ...(left > 0 ? { left_out: left } : {}) };
}
