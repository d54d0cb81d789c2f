/**
 * Who becomes primary: each reason to refuse a node, and the order among those that remain.
 */
import { describe, expect, test } from 'vitest';
import {
  chooseFailoverTarget,
  chooseSwitchoverTarget,
  type FailoverView,
  failoverRefusals,
  type Position,
  type SwitchoverView,
  switchoverRefusals,
} from '../../../core/failover/choose-candidate.ts';
import { type ClusterRecord, defaultSpec, type EpochRecord } from '../../../core/model/cluster-record.ts';
import { alone, asynchronous, type Lease } from '../../../core/model/lease.ts';
import { parseLsn } from '../../../core/model/lsn.ts';
import { defaultTags, type NodeReport } from '../../../core/model/node-report.ts';
import { systemIdentifierOf } from '../../../core/model/system-identifier.ts';

const lsn = (text: string) => parseLsn(text) ?? expect.fail(`not an LSN: ${text}`);
const fork = lsn('0/5000000');
const history = [{ timeline: 1, switchLsn: fork, reason: '' }];
const epochs: readonly EpochRecord[] = [
  { epoch: 1, node: 'z', timeline: 1, forkLsn: null, history: [] },
  { epoch: 2, node: 'a', timeline: 2, forkLsn: fork, history },
];

const record: ClusterRecord = {
  cluster: 'main',
  uid: 'u',
  version: 3,
  spec: defaultSpec,
  members: ['a', 'b', 'c'],
  proxies: [],
  systemIdentifier: systemIdentifierOf(7n),
  bootstrap: null,
  failoverState: 'stable',
  operation: null,
  attempt: 0,
  intendedPrimary: 'a',
  failoverTargetPrimary: null,
  lastFailover: null,
  epochs,
  paused: false,
  fencedHosts: [],
};

const lease: Lease = {
  holder: 'a',
  incarnation: 'i',
  epoch: 2,
  seq: 90,
  ttlMs: 5000,
  state: 'held',
  operation: null,
  successor: null,
  timeline: 2,
  releasedAtLsn: null,
  neverPromoted: false,
  members: ['a', 'b', 'c'],
  sync: asynchronous,
};

const report = (node: string, over: Partial<NodeReport> = {}): NodeReport => ({
  node,
  incarnation: 'i',
  instanceId: `i-${node}`,
  seq: 1,
  role: 'standby',
  postgres: 'running',
  activity: 'none',
  detail: '',
  systemIdentifier: systemIdentifierOf(7n),
  timeline: 2,
  epoch: 2,
  lsn: lsn('0/6000000'),
  replayLsn: lsn('0/6000000'),
  lagBytes: 0,
  streaming: true,
  upstream: 'a',
  slots: [],
  tags: defaultTags,
  addresses: { host: '127.0.0.1', port: 5432, restPort: 8008, wakePort: 8009 },
  version: '15',
  ...over,
});

describe('the target of a switchover', () => {
  const view = (b: Partial<NodeReport>, over: Partial<SwitchoverView> = {}): SwitchoverView => ({
    record,
    lease,
    reports: [report('a', { role: 'primary', streaming: false }), report('b', b), report('c')],
    requested: 'b',
    ...over,
  });

  const refusals: readonly [string, SwitchoverView][] = [
    ['is-the-primary', view({}, { requested: 'a' })],
    ['not-a-member', view({}, { requested: 'd' })],
    ['no-report', view({}, { reports: [] })],
    ['other-system-identifier', view({ systemIdentifier: systemIdentifierOf(8n) })],
    ['unwell', view({ health: 'disk-full' })],
    ['not-a-running-standby', view({ activity: 'rewinding' })],
    ['not-streaming', view({ streaming: false })],
    ['other-epoch', view({ epoch: 1 })],
    ['nofailover', view({ tags: { nofailover: true, failoverPriority: 9 } })],
    ['lag-over-limit', view({ lagBytes: defaultSpec.maxLagBytes + 1 })],
  ];

  test.each(refusals)('is refused: %s', (rule, given) => {
    expect(chooseSwitchoverTarget(given)).toMatchObject({
      kind: 'none',
      refused: [{ node: given.requested, rule }],
    });
  });

  test('is refused by every row of the table', () => {
    expect(refusals.map(([rule]) => rule)).toEqual(switchoverRefusals);
  });

  test('is refused when it does not know its system or the timeline of the epoch', () => {
    expect(chooseSwitchoverTarget(view({ systemIdentifier: null })).kind).toBe('none');
    expect(chooseSwitchoverTarget(view({ timeline: 1 })).kind).toBe('none');
  });

  test('is the requested node even when another one is ahead', () => {
    expect(chooseSwitchoverTarget(view({ lsn: lsn('0/1') }))).toMatchObject({
      kind: 'chosen',
      node: 'b',
      rule: 'requested',
    });
  });

  test('left open: the most advanced, then a synchronous one, then by priority, then by name', () => {
    const open = { requested: null };
    expect(chooseSwitchoverTarget(view({ lsn: lsn('0/5FFFFFF') }, open))).toMatchObject({ node: 'c' });
    const sync = { ...lease, sync: { ...asynchronous, mode: 'on' as const, k: 1, names: ['c'] } };
    expect(
      chooseSwitchoverTarget(
        view({ tags: { nofailover: false, failoverPriority: 5 } }, { ...open, lease: sync }),
      ),
    ).toMatchObject({
      node: 'c',
    });
    const preferred = view(
      {},
      {
        requested: null,
        reports: [report('b'), report('c', { tags: { nofailover: false, failoverPriority: 1 } })],
      },
    );
    expect(chooseSwitchoverTarget(preferred)).toMatchObject({ node: 'c' });
    expect(chooseSwitchoverTarget(view({}, open))).toMatchObject({ node: 'b', rule: 'first-in-order' });
  });
});

describe('the target of a failover', () => {
  const at = (node: string, text: string, over: Partial<Position> = {}): Position => ({
    node,
    epoch: 2,
    timeline: 2,
    lsn: lsn(text),
    ...over,
  });
  const view = (over: Partial<FailoverView> = {}): FailoverView => ({
    record,
    lease: { ...lease, state: 'sealed' },
    reports: [report('b'), report('c')],
    positions: [at('b', '0/6000000'), at('c', '0/6000001')],
    excluded: [],
    requested: null,
    releasedAtLsn: null,
    acceptDataLoss: false,
    ...over,
  });
  const refusalOf = (node: string, given: FailoverView) =>
    chooseFailoverTarget(given).refused.find((refusal) => refusal.node === node)?.rule;
  const positions = (over: Partial<Position>) =>
    view({ positions: [at('b', '0/6000000', over), at('c', '0/6000001')] });

  const refusals: readonly [string, FailoverView][] = [
    ['tried-before', view({ excluded: ['b'] })],
    ['not-a-member', view({ lease: { ...lease, state: 'sealed', members: ['a', 'c'] } })],
    ['no-answer', view({ positions: [at('c', '0/6000001')] })],
    [
      'other-system-identifier',
      view({ reports: [report('b', { systemIdentifier: systemIdentifierOf(8n) })] }),
    ],
    ['nofailover', view({ reports: [report('b', { tags: { nofailover: true, failoverPriority: 0 } })] })],
    ['unwell', view({ reports: [report('b', { health: 'disk-frozen' }), report('c')] })],
    ['position-unknown', positions({ lsn: null })],
    ['epoch-unknown', positions({ epoch: null })],
    ['other-branch', positions({ epoch: 1, timeline: 2 })],
    ['diverged', positions({ epoch: 1, timeline: 1, lsn: lsn('0/5000001') })],
    ['behind-the-release', view({ releasedAtLsn: lsn('0/6000000') })],
  ];

  test.each(refusals)('is refused: %s', (rule, given) => {
    expect(refusalOf('b', given)).toBe(rule);
  });

  test('is refused by every row of the table', () => {
    expect(refusals.map(([rule]) => rule)).toEqual(failoverRefusals);
  });

  test('is who has most, by this operation answers and not by reports', () => {
    expect(chooseFailoverTarget(view())).toMatchObject({ kind: 'chosen', node: 'c', rule: 'first-in-order' });
    const flattering = view({ reports: [report('b', { lsn: lsn('9/0') }), report('c')] });
    expect(chooseFailoverTarget(flattering)).toMatchObject({ node: 'c' });
  });

  test('is the requested node only where nobody has more', () => {
    expect(chooseFailoverTarget(view({ requested: 'b' }))).toMatchObject({
      node: 'c',
      rule: 'first-in-order',
    });
    const equal = view({ requested: 'c', positions: [at('b', '0/6000000'), at('c', '0/6000000')] });
    expect(chooseFailoverTarget(equal)).toMatchObject({ node: 'c', rule: 'requested' });
    expect(chooseFailoverTarget({ ...equal, requested: null })).toMatchObject({ node: 'b' });
  });

  test('may be unwell when nobody well could take its place', () => {
    const sick = report('b', { health: 'disk-full' });
    const both = view({ reports: [sick, report('c', { health: 'disk-full' })] });
    expect(chooseFailoverTarget(both)).toMatchObject({ node: 'c' });
    const alone = view({ reports: [sick, report('c')], positions: [at('b', '0/6000000')] });
    expect(chooseFailoverTarget(alone)).toMatchObject({ node: 'b' });
    const tried = view({ reports: [sick, report('c')], excluded: ['c'] });
    expect(chooseFailoverTarget(tried)).toMatchObject({ node: 'b' });
    const behind = view({ reports: [report('c', { health: 'disk-full' }), report('b')] });
    expect(chooseFailoverTarget({ ...behind, releasedAtLsn: lsn('0/6000000') })).toMatchObject({ node: 'c' });
    const never = view({ reports: [sick, report('c', { tags: { nofailover: true, failoverPriority: 0 } })] });
    expect(chooseFailoverTarget(never)).toMatchObject({ node: 'b' });
  });

  test('may be on an ancestor up to the fork', () => {
    const behind = view({ positions: [at('b', '0/5000000', { epoch: 1, timeline: 1 })] });
    expect(chooseFailoverTarget(behind)).toMatchObject({ node: 'b' });
  });

  test('is on the longer history at the same position', () => {
    const same = view({ positions: [at('b', '0/5000000', { epoch: 1, timeline: 1 }), at('c', '0/5000000')] });
    expect(chooseFailoverTarget(same)).toMatchObject({ node: 'c' });
  });

  test('is the last primary itself when nobody else can be, and nobody once that was tried', () => {
    expect(chooseFailoverTarget(view({ positions: [] }))).toMatchObject({
      kind: 'chosen',
      node: 'a',
      rule: 'last-primary',
    });
    expect(chooseFailoverTarget(view({ positions: [], excluded: ['a'] }))).toMatchObject({
      kind: 'none',
      rule: 'none-eligible',
    });
  });

  test('a holder that was never promoted is not the last primary: the one before is', () => {
    const returned = { ...lease, epoch: 3, holder: 'b', state: 'released' as const, neverPromoted: true };
    expect(chooseFailoverTarget(view({ lease: returned, positions: [], excluded: ['b'] }))).toMatchObject({
      node: 'a',
      rule: 'last-primary',
    });
  });

  describe('in synchronous mode', () => {
    const names = ['b', 'c'];
    const sync = (k: number): Lease => ({
      ...lease,
      state: 'sealed',
      sync: { ...asynchronous, mode: 'strict', k, names },
    });

    test('the one that has most is taken although it is unwell: an acknowledged write may be there alone', () => {
      const reports = [report('b'), report('c', { health: 'disk-full' })];
      expect(chooseFailoverTarget(view({ lease: sync(1), reports }))).toMatchObject({ node: 'c' });
      const equal = [at('b', '0/6000001'), at('c', '0/6000001')];
      expect(chooseFailoverTarget(view({ lease: sync(1), reports, positions: equal }))).toMatchObject({
        node: 'b',
      });
    });

    test('n - k + 1 of the recorded set must have answered', () => {
      expect(chooseFailoverTarget(view({ lease: sync(1) }))).toMatchObject({ node: 'c' });
      expect(chooseFailoverTarget(view({ lease: sync(1), positions: [at('b', '0/6000000')] }))).toMatchObject(
        {
          node: 'a',
          rule: 'last-primary',
        },
      );
      expect(
        chooseFailoverTarget(view({ lease: sync(1), positions: [at('b', '0/6000000')], excluded: ['a'] })),
      ).toMatchObject({ kind: 'none', rule: 'too-few-of-the-synchronous-set' });
      expect(chooseFailoverTarget(view({ lease: sync(2), positions: [at('b', '0/6000000')] }))).toMatchObject(
        {
          node: 'b',
        },
      );
    });

    test('an answer without a position does not count', () => {
      const unknown = view({
        lease: sync(1),
        positions: [at('b', '0/6000000'), at('c', '0/1', { lsn: null })],
      });
      expect(chooseFailoverTarget(unknown)).toMatchObject({ node: 'a' });
    });

    test('one that may not be promoted and has more speaks against everybody else', () => {
      const reports = [report('b'), report('c', { tags: { nofailover: true, failoverPriority: 0 } })];
      const positions = [at('b', '0/6000000'), at('c', '0/6000001')];
      expect(chooseFailoverTarget(view({ lease: sync(1), reports, positions }))).toMatchObject({ node: 'a' });
      const equal = [at('b', '0/6000000'), at('c', '0/6000000')];
      expect(chooseFailoverTarget(view({ lease: sync(1), reports, positions: equal }))).toMatchObject({
        node: 'b',
      });
    });

    test('one whose log left the current history has what was before the fork, and no more', () => {
      const positions = [at('b', '0/6000000'), at('c', '0/9000000', { epoch: 1, timeline: 1 })];
      expect(chooseFailoverTarget(view({ lease: sync(1), positions }))).toMatchObject({ node: 'b' });
      const another = [at('b', '0/6000000'), at('c', '0/6000000', { epoch: 1, timeline: 9 })];
      expect(chooseFailoverTarget(view({ lease: sync(1), positions: another }))).toMatchObject({ node: 'a' });
    });

    test('a change under way needs enough of both sets', () => {
      const changing = {
        ...sync(1),
        sync: { ...sync(1).sync, names: ['b'], next: { ...alone, k: 1, names: ['c'] } },
      };
      expect(chooseFailoverTarget(view({ lease: changing }))).toMatchObject({ node: 'c' });
      const positions = [at('b', '0/6000000')];
      expect(chooseFailoverTarget(view({ lease: changing, positions }))).toMatchObject({ node: 'a' });
    });

    test('after the primary acknowledged alone only itself is safe', () => {
      const on = { ...sync(0), sync: { ...asynchronous, mode: 'on' as const } };
      expect(chooseFailoverTarget(view({ lease: on }))).toMatchObject({ node: 'a', rule: 'last-primary' });
      expect(chooseFailoverTarget(view({ lease: on, excluded: ['a'] }))).toMatchObject({
        kind: 'none',
        reason: expect.stringContaining('only the last primary has them all'),
      });
    });

    test('the refusal names who is missing', () => {
      const one = view({ lease: sync(1), positions: [at('b', '0/6000000')], excluded: ['a'] });
      expect(chooseFailoverTarget(one)).toMatchObject({
        reason: expect.stringContaining('2 of these must have answered, and c did not'),
      });
    });

    test('by the word of an operator who accepts the loss the best that answered is promoted, and it says so', () => {
      const one = view({ lease: sync(1), positions: [at('b', '0/6000000')], acceptDataLoss: true });
      expect(chooseFailoverTarget(one)).toMatchObject({
        node: 'b',
        rule: 'data-loss-accepted',
        reason: expect.stringContaining('c did not'),
      });
      expect(chooseFailoverTarget({ ...one, lease: sync(2) })).toMatchObject({ rule: 'first-in-order' });
      expect(chooseFailoverTarget({ ...one, positions: [] })).toMatchObject({
        node: 'a',
        rule: 'last-primary',
      });
    });

    test('after a clean release one that has passed it is enough', () => {
      const released = view({
        lease: { ...sync(1), state: 'released' },
        positions: [at('b', '0/6000000')],
        releasedAtLsn: lsn('0/5FFFF00'),
      });
      expect(chooseFailoverTarget(released)).toMatchObject({ node: 'b' });
    });
  });
});
