/** One story for every row of the proxy's decision table. */
import { describe, expect, it } from 'vitest';
import {
  announcedPauseLimitMs,
  decideProxy,
  type ProxyState,
  proxyTable,
} from '../../core/host/decide-proxy.ts';
import { aLease, aRecord } from '../support/host-states.ts';

const operation = { id: 'op1', kind: 'switchover', executionArn: null } as const;
const during = aRecord({ operation });
const announcing = aLease({ operation: 'op1', successor: 'node2' });

function routing(change: Partial<ProxyState> = {}): ProxyState {
  return {
    record: aRecord(),
    lease: aLease(),
    routedEpoch: 1,
    paused: false,
    cut: false,
    pauseFailedFor: null,
    pausedForMs: 0,
    lacksCertificate: false,
    holderKnown: true,
    ...change,
  };
}

const stories: readonly (readonly [rule: string, order: string, state: ProxyState])[] = [
  ['lease-unknown', 'none', routing({ lease: null })],
  ['certificate-missing', 'none', routing({ lacksCertificate: true, routedEpoch: null })],
  ['hand-over-announced', 'pause', routing({ record: during, lease: announcing })],
  ['hand-over-under-way', 'none', routing({ record: during, lease: announcing, paused: true })],
  ['holder-unknown', 'none', routing({ routedEpoch: null, holderKnown: false })],
  ['way-open', 'route', routing({ routedEpoch: null })],
  ['way-open', 'route', routing({ paused: true })],
  ['way-open', 'route', routing({ cut: true })],
  ['routing', 'none', routing()],
  ['primary-gone', 'cut', routing({ lease: aLease({ state: 'sealed' }) })],
  ['primary-gone', 'none', routing({ lease: aLease({ state: 'fenced' }), cut: true })],
  ['epoch-not-open', 'cut', routing({ lease: aLease({ epoch: 2, holder: 'node2' }) })],
  ['released-unannounced', 'cut', routing({ lease: aLease({ state: 'released' }) })],
  ['waiting', 'none', routing({ lease: aLease({ state: 'released' }), paused: true })],
];

describe('what a proxy does', () => {
  it.each(stories)('%s orders %s', (rule, order, state) => {
    const decision = decideProxy(state);
    expect({ rule: decision.rule, order: decision.order.kind }).toEqual({ rule, order });
  });

  it('has a story for every row of the table', () => {
    expect(new Set(stories.map(([rule]) => rule))).toEqual(new Set(proxyTable.map((row) => row.rule)));
  });

  it('opens again when the hand-over was withdrawn, or its operation is over', () => {
    expect(decideProxy(routing({ record: during, paused: true })).order).toEqual({
      kind: 'route',
      to: 'node1',
      epoch: 1,
    });
    expect(decideProxy(routing({ lease: announcing, paused: true })).order.kind).toBe('route');
  });

  it('opens again when an announced hand-over never comes', () => {
    const late = routing({
      record: during,
      lease: announcing,
      paused: true,
      pausedForMs: announcedPauseLimitMs,
    });
    expect(decideProxy(late).order.kind).toBe('route');
  });

  it('does not try again to pause for an operation it could not pause for', () => {
    expect(
      decideProxy(routing({ record: during, lease: announcing, pauseFailedFor: 'op1' })).order.kind,
    ).toBe('none');
  });

  it('lets nobody into an epoch that is not recorded', () => {
    const record = aRecord({ epochs: [] });
    expect(decideProxy(routing({ record, routedEpoch: null, paused: true })).order.kind).toBe('none');
  });
});
