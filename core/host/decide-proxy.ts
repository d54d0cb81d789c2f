/**
 * What a proxy should do now: an ordered table, first match wins, over the lease and the record alone. A proxy needs no
 * order to do the right thing; the workflow's `pause` and `resume` only make it look closely and record what it did.
 * Upholds P1: no proxy routes to a node of an older epoch, and none lets clients into an epoch that is not recorded.
 *
 * States of a proxy: `nowhere` (start), `routing` (entered by `route`), `paused` (entered by `pause`, left by `route`),
 * `cut` (entered by `cut`, left by `route`).
 */
import { type ClusterRecord, epochRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';

export interface ProxyState {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  /** The epoch whose primary clients reach now; null: none. */
  readonly routedEpoch: number | null;
  readonly paused: boolean;
  /** Connections to the former primary were cut. */
  readonly cut: boolean;
  /** The operation whose hand-over this proxy could not pause for in time: it is not tried again. */
  readonly pauseFailedFor: string | null;
  /** How long it has been paused, in ms. */
  readonly pausedForMs: number;
  /** TLS is required and this proxy does not serve it yet. */
  readonly lacksCertificate: boolean;
  /** The address of the holder is known. */
  readonly holderKnown: boolean;
}

export type ProxyOrder =
  | { readonly kind: 'none' }
  | { readonly kind: 'pause'; readonly operation: string }
  | { readonly kind: 'route'; readonly to: NodeId; readonly epoch: number }
  | { readonly kind: 'cut' };

export interface ProxyDecision {
  readonly rule: string;
  readonly order: ProxyOrder;
  readonly reason: string;
}

/** A pause for a hand-over that was announced and neither came nor was withdrawn ends by itself after this long. */
export const announcedPauseLimitMs = 15_000;

interface Row {
  readonly rule: string;
  readonly when: (state: ProxyState) => boolean;
  readonly order: (state: ProxyState) => ProxyOrder;
  readonly reason: string;
}

function announced(state: ProxyState): string | null {
  const lease = state.lease;
  if (lease === null || lease.state !== 'held' || lease.successor === null) return null;
  return lease.operation;
}

function open(state: ProxyState): { to: NodeId; epoch: number } | null {
  const lease = state.lease;
  if (lease === null || lease.state !== 'held' || state.record === null) return null;
  const recorded = epochRecord(state.record, lease.epoch);
  if (recorded === null) return null;
  if (recorded.node !== lease.holder)
    throw new Error('InvariantViolation: an epoch is recorded for another node');
  return { to: lease.holder, epoch: lease.epoch };
}

const openOr = (state: ProxyState): { to: NodeId; epoch: number } => {
  const way = open(state);
  if (way === null) throw new Error('InvariantViolation: a way was ordered that is not open');
  return way;
};

export const proxyTable: readonly Row[] = [
  {
    rule: 'lease-unknown',
    when: (s) => s.lease === null || s.record === null,
    order: () => ({ kind: 'none' }),
    reason: 'the lease is not known',
  },
  {
    rule: 'certificate-missing',
    when: (s) => s.lacksCertificate && s.routedEpoch === null,
    order: () => ({ kind: 'none' }),
    reason:
      'TLS is required, and this proxy waits for its first certificate: the control plane signs each minute',
  },
  {
    rule: 'hand-over-announced',
    when: (s) =>
      announced(s) !== null &&
      announced(s) !== s.pauseFailedFor &&
      s.record?.operation?.id === announced(s) &&
      !s.paused,
    order: (s) => ({ kind: 'pause', operation: announced(s) ?? '' }),
    reason: 'the holder is about to pass the lease on',
  },
  {
    rule: 'hand-over-under-way',
    when: (s) =>
      announced(s) !== null &&
      s.paused &&
      s.record?.operation?.id === announced(s) &&
      s.pausedForMs < announcedPauseLimitMs,
    order: () => ({ kind: 'none' }),
    reason: 'paused for the hand-over',
  },
  {
    rule: 'holder-unknown',
    when: (s) => open(s) !== null && !s.holderKnown,
    order: () => ({ kind: 'none' }),
    reason: 'the primary has not said where it can be reached',
  },
  {
    rule: 'way-open',
    when: (s) => {
      const way = open(s);
      return way !== null && (s.routedEpoch !== way.epoch || s.paused || s.cut);
    },
    order: (s) => ({ kind: 'route', ...openOr(s) }),
    reason: 'the epoch is recorded and its primary holds the lease',
  },
  {
    rule: 'routing',
    when: (s) => open(s) !== null,
    order: () => ({ kind: 'none' }),
    reason: 'clients reach the primary of the current epoch',
  },
  {
    rule: 'primary-gone',
    when: (s) => s.lease?.state === 'sealed' || s.lease?.state === 'fenced',
    order: (s) => ({ kind: s.cut ? 'none' : 'cut' }),
    reason: 'the lease was taken from its holder: connections to it are worthless',
  },
  {
    rule: 'epoch-not-open',
    when: (s) =>
      s.lease?.state === 'held' &&
      s.routedEpoch !== null &&
      s.routedEpoch !== s.lease.epoch &&
      !s.paused &&
      !s.cut,
    order: () => ({ kind: 'cut' }),
    reason: 'a new epoch has begun and is not open yet',
  },
  {
    rule: 'released-unannounced',
    when: (s) => s.lease?.state === 'released' && !s.paused && !s.cut,
    order: () => ({ kind: 'cut' }),
    reason: 'the primary stopped and no hand-over had been announced here',
  },
  {
    rule: 'waiting',
    when: () => true,
    order: () => ({ kind: 'none' }),
    reason: 'no primary is open; clients wait',
  },
];

/** Total: the last row matches always. */
export function decideProxy(state: ProxyState): ProxyDecision {
  const row = proxyTable.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: the proxy table has no row for this state');
  return { rule: row.rule, order: row.order(state), reason: row.reason };
}
