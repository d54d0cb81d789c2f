/** What the next step of an upgrade is, and what is in its way. */
import { expect, test } from 'vitest';
import type { NodeReport } from '../../../core/model/node-report.ts';
import { decideUpgrade, hostsToRollBack, type UpgradeView } from '../../../core/upgrade/decide-upgrade.ts';
import { newRelease, oldRelease, otherRelease, UpgradeWorld } from './upgrade-world.ts';

/** With these hosts upgraded. */
function view(upgraded: readonly string[] = [], change: Partial<UpgradeView> = {}): UpgradeView {
  const world = new UpgradeWorld();
  for (const id of upgraded) world.release.set(id, newRelease);
  world.tick();
  const earlier = world.reports();
  world.tick();
  const { record, lease } = world.table;
  return {
    record,
    lease,
    earlier,
    reports: world.reports(),
    wanted: newRelease.sha256,
    mixed: false,
    ...change,
  };
}

const standbys = ['node-2', 'node-3'];
const proxies = ['proxy-1', 'proxy-2'];

test.each([
  [[], 'standby', 'node-2'],
  [['node-2'], 'standby', 'node-3'],
  [['node-2', 'proxy-1', 'proxy-2'], 'standby', 'node-3'],
  [standbys, 'proxy', 'proxy-1'],
  [[...standbys, 'proxy-1'], 'proxy', 'proxy-2'],
])('with %j upgraded, the next is by the rule %s: %s', (upgraded, rule, id) => {
  expect(decideUpgrade(view(upgraded))).toMatchObject({
    kind: 'upgrade',
    rule,
    host: { id, release: oldRelease },
  });
});

test('the primary has its turn only as a standby, last of all', () => {
  expect(decideUpgrade(view([...standbys, ...proxies]))).toEqual({
    ...{ kind: 'switchover', rule: 'switch-over-first', from: 'node-1', epoch: lease?.epoch },
  });
  expect(decideUpgrade(view(['node-1', ...standbys, ...proxies]))).toEqual({
    kind: 'done',
    rule: 'all-upgraded',
  });
});

test('a primary that is alone is upgraded where it is', () => {
  const seen = view(proxies);
  if (seen.record === null) throw new Error('there is a record');
  const alone = { ...seen, record: { ...seen.record, members: ['node-1'] } };
  expect(decideUpgrade(alone)).toMatchObject({
    kind: 'upgrade',
    rule: 'only-primary',
    host: { id: 'node-1' },
  });
});

const changed = (id: string, change: Partial<NodeReport>): Partial<UpgradeView> => {
  const { reports } = view();
  return {
    reports: {
      ...reports,
      nodes: reports.nodes.map((one) => (one.node === id ? { ...one, ...change } : one)),
    },
  };
};
const { record, lease, earlier } = view();
if (record === null || lease === null) throw new Error('there is a cluster');

test.each<[string, boolean, Partial<UpgradeView>]>([
  ['not-bootstrapped', false, { lease: null }],
  ['never-reported', true, { reports: { nodes: [], proxies: [] } }],
  ['paused', false, { record: { ...record, paused: true } }],
  [
    'operation-under-way',
    true,
    { record: { ...record, operation: { id: 'x', kind: 'failover', executionArn: null } } },
  ],
  ['operation-under-way', true, { record: { ...record, failoverState: 'initiated' } }],
  ['no-primary', true, { lease: { ...lease, state: 'sealed' } }],
  ['not-whole', true, changed('node-3', { streaming: false })],
  ['not-whole', true, changed('node-3', { postgres: 'stopped' })],
  ['not-whole', true, { reports: earlier }],
  ['releases-mixed', false, changed('node-3', { agent: otherRelease })],
])('%s is in the way (it may pass: %s)', (rule, passing, change) => {
  expect(decideUpgrade(view([], change))).toMatchObject({ kind: 'refused', rule, passing });
});

test('a host that does not say what it has is in the way, because nothing could bring it back', () => {
  const seen = view();
  const nodes = seen.reports.nodes.map(({ agent: _agent, ...report }) => report);
  const decision = decideUpgrade({ ...seen, reports: { ...seen.reports, nodes } });
  expect(decision).toMatchObject({ kind: 'refused', rule: 'release-unknown', passing: false });
});

test('several other releases are taken when that is said', () => {
  const mixed = { ...view([], changed('node-3', { agent: otherRelease })), mixed: true };
  expect(decideUpgrade(mixed)).toMatchObject({ kind: 'upgrade', host: { id: 'node-2' } });
});

test('all that have it go back: proxies, then standbys, the primary last', () => {
  const seen = view(['node-1', 'node-3', 'proxy-2']);
  if (seen.record === null) throw new Error('there is a record');
  const back = hostsToRollBack(seen.record, seen.lease, seen.reports, newRelease.sha256);
  expect(back.map(({ id }) => id)).toEqual(['proxy-2', 'node-3', 'node-1']);
});
