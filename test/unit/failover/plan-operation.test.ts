/**
 * Which path an operation takes, whom it orders what, and when there is no plan.
 */
import { describe, expect, test } from 'vitest';
import {
  executionName,
  handoverLagBytes,
  type OperationPlan,
  operationId,
  type PlanView,
  planFailoverAnew,
  planOperation,
  promoteOrder,
  reconfigureOrders,
  releaseOrder,
  standbysWereNotAsked,
} from '../../../core/failover/plan-operation.ts';
import { asynchronous, type Lease } from '../../../core/model/lease.ts';
import { actionVerbs } from '../../../core/model/operation.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

const record = { ...sampleRecord, members: ['a', 'b', 'c'], proxies: ['p'], operation: null };
const lease: Lease = {
  ...sampleLease,
  holder: 'a',
  state: 'held',
  operation: null,
  successor: null,
  releasedAtLsn: null,
  members: ['a', 'b', 'c'],
  sync: asynchronous,
};
const report = (node: string, over = {}) => ({
  ...sampleNodeReport,
  node,
  instanceId: `i-${node}`,
  systemIdentifier: record.systemIdentifier,
  ...over,
});
const reports = [report('a', { role: 'primary', streaming: false }), report('b'), report('c')];
const request = {
  cluster: 'main',
  kind: null,
  target: null,
  reason: 'test',
  requestedBy: 'cli',
  acceptDataLoss: false,
  epoch: null,
} as const;

const view = (over: Partial<PlanView> = {}): PlanView => ({
  request,
  record,
  lease,
  silent: false,
  reports,
  proxies: [{ ...sampleProxyReport, proxy: 'p', instanceId: 'i-p' }],
  operation: 'u1-e3-a3',
  attempt: 3,
  ...over,
});

function planned(over: Partial<PlanView> = {}): OperationPlan {
  const result = planOperation(view(over));
  if (result.kind === 'refused') throw new Error(result.message);
  return result.plan;
}

const refusal = (over: Partial<PlanView>) => {
  const result = planOperation(view(over));
  return result.kind === 'refused' ? result.error : 'planned';
};

const shown = (plan: OperationPlan) =>
  plan.catchup.map(({ verb, node, required }) => `${verb}@${node}${required ? '!' : ''}`);

test('ids name the epoch and the attempt: the same request has the same name', () => {
  expect(operationId({ uid: 'u1' }, 3, 4)).toBe('u1-e3-a4');
  expect(executionName({ uid: 'u1', cluster: 'main' }, 3, 4)).toBe('main-u1-e3-a4');
});

describe('the path', () => {
  test.each<[string, Partial<PlanView>, string, string]>([
    ['held by a living holder, open', {}, 'switchover', 'handover'],
    [
      'held by a living holder, failover',
      { request: { ...request, kind: 'failover' } },
      'failover',
      'handover',
    ],
    ['held by a silent holder, open', { silent: true }, 'failover', 'failover'],
    ['sealed', { lease: { ...lease, state: 'sealed' } }, 'failover', 'failover'],
    ['released', { lease: { ...lease, state: 'released' } }, 'failover', 'failover'],
    ['held, asked for in this epoch', { request: { ...request, epoch: 3 } }, 'switchover', 'handover'],
    ['fenced', { lease: { ...lease, state: 'fenced' } }, 'failover', 'failover'],
  ])('%s', (_lease, over, kind, path) => {
    expect(planned(over)).toMatchObject({ kind, path, from: 'a', epoch: 3 });
  });

  test.each<[string, Partial<PlanView>, string]>([
    [
      'a switchover from a silent holder',
      { silent: true, request: { ...request, kind: 'switchover' } },
      'ClusterNotReady',
    ],
    [
      'a switchover of a sealed lease',
      { lease: { ...lease, state: 'sealed' }, request: { ...request, kind: 'switchover' } },
      'ClusterNotReady',
    ],
    [
      'a cluster that is being bootstrapped',
      { record: { ...record, systemIdentifier: null } },
      'ClusterNotReady',
    ],
    ['a cluster without an epoch', { record: { ...record, epochs: [] } }, 'ClusterNotReady'],
    [
      'a request of an agent in a former epoch: the primary there is now is another',
      { request: { ...request, kind: 'failover', epoch: 2 } },
      'ClusterNotReady',
    ],
    ['a target nobody knows', { request: { ...request, target: 'z' } }, 'UnknownTarget'],
    [
      'a target nobody knows, in a failover',
      { silent: true, request: { ...request, target: 'z' } },
      'UnknownTarget',
    ],
    ['the primary as its own target', { request: { ...request, target: 'a' } }, 'TargetNotEligible'],
    ['no standby at all', { reports: [] }, 'NoCandidate'],
  ])('is none for %s', (_what, over, error) => {
    expect(refusal(over)).toBe(error);
  });
});

describe('a hand-over', () => {
  test('needs the checkpoint and the catch-up; followers repoint and proxies arm where they can', () => {
    expect(shown(planned())).toEqual(['checkpoint@a!', 'await-catchup@b!', 'follow@c', 'pause@p']);
    expect(planned().catchup[1]?.args).toEqual({ node: 'a', maxLagBytes: handoverLagBytes });
    expect(planned().catchup.map(({ instanceId }) => instanceId)).toEqual(['i-a', 'i-b', 'i-c', 'i-p']);
  });

  test('asks no follower to repoint that does not stream', () => {
    const stuck = [report('a', { role: 'primary' }), report('b'), report('c', { streaming: false })];
    expect(shown(planned({ reports: stuck }))).not.toContain('follow@c');
  });

  test.each<[string, Lease['sync'], boolean]>([
    ['the quorum is the target alone', { ...asynchronous, mode: 'strict', k: 1, names: ['b'] }, true],
    [
      'one of two is enough, and the target stays',
      { ...asynchronous, mode: 'strict', k: 1, names: ['b', 'c'] },
      true,
    ],
    ['both are needed', { ...asynchronous, mode: 'strict', k: 2, names: ['b', 'c'] }, false],
    ['the target is no synchronous standby', { ...asynchronous, mode: 'on', k: 1, names: ['c'] }, false],
  ])('lets a synchronous follower go only when the quorum can spare it: %s', (_why, sync, goes) => {
    const plan = planned({ lease: { ...lease, sync }, request: { ...request, target: 'b' } });
    expect(shown(plan).includes('follow@c')).toBe(goes);
  });

  test('waits no longer for a host than the host gives itself, and a second', () => {
    for (const order of planned().catchup)
      expect(order.timeoutSeconds * 1000).toBeGreaterThanOrEqual(order.timeoutMs + 1000);
  });

  test('orders the release only with what must come before it', () => {
    const plan = planned();
    const armed = promoteOrder({ path: 'handover' }, 'b', { epoch: 3, attempt: 1, reports });
    const order = releaseOrder(plan, 'b', { proxies: ['p'], armed: ['acquire-and-promote@b#1'] }, reports);
    expect(order).toMatchObject({
      node: 'a',
      verb: 'stop-and-release',
      epoch: 3,
      args: { node: 'b', proxies: ['p'], armed: ['acquire-and-promote@b#1'] },
    });
    // The armed target waits for as long as the stop may take, and then promotes.
    expect(armed.timeoutMs).toBeGreaterThan(order.timeoutMs);
    expect(plan.settings.handoverSeconds * 1000).toBeGreaterThan(order.timeoutMs);
  });
});

describe('a failover', () => {
  const sealed = { lease: { ...lease, state: 'sealed' as const } };

  test('asks every member but the lost holder to end its receiver, none of them required', () => {
    expect(shown(planned(sealed))).toEqual(['end-receiver@b', 'end-receiver@c', 'pause@p']);
  });

  test('asks a holder too that was never promoted: it is a standby like the others', () => {
    expect(shown(planned({ lease: { ...lease, state: 'released', neverPromoted: true } }))).toContain(
      'end-receiver@a',
    );
  });

  test('keeps the slowest answer short, because it is time without a primary', () => {
    for (const { timeoutMs } of planned(sealed).catchup)
      expect(timeoutMs).toBeLessThanOrEqual(Math.max(2000, lease.ttlMs));
  });

  test('planned anew asks for new answers, at the epoch and from the holder as they are now', () => {
    const plan = planned(sealed);
    const lost = { ...lease, state: 'sealed' as const, epoch: 4, holder: 'b' };
    const scene = { record, lease: lost, reports, proxies: [] };
    const anew = planFailoverAnew({ ...plan, target: 'b' }, scene);
    expect(anew).toMatchObject({
      path: 'failover',
      from: 'b',
      epoch: 4,
      target: null,
      replans: 1,
      operation: plan.operation,
    });
    expect(shown(anew)).toEqual(['end-receiver@a', 'end-receiver@c', 'pause@p']);
    expect(anew.catchup.every(({ attempt, epoch }) => attempt === 2 && epoch === 4)).toBe(true);
    expect(planFailoverAnew(anew, scene).catchup.every(({ attempt }) => attempt === 3)).toBe(true);
    expect(planFailoverAnew(plan, { ...scene, lease: { ...lost, neverPromoted: true } }).from).toBe('a');
  });

  test('leaves the standbys with a primary that still holds the lease, and asks them once it does not', () => {
    const scene = { record, lease, reports, proxies: [sampleProxyReport] };
    const first = planFailoverAnew(planned(), scene);
    expect(first).toMatchObject({ path: 'failover', from: 'a', epoch: 3 });
    expect(shown(first)).toEqual(['pause@p']);
    expect(standbysWereNotAsked(first, scene)).toBe(true);
    const fenced = { ...scene, lease: { ...lease, state: 'fenced' as const } };
    const second = planFailoverAnew(first, fenced);
    expect(shown(second)).toEqual(['end-receiver@b', 'end-receiver@c', 'pause@p']);
    expect(standbysWereNotAsked(second, fenced)).toBe(false);
    // A hand-over that breaks takes both, and one is left for a new primary that is lost in its turn.
    expect(second.replans).toBeLessThan(second.settings.replans);
    // Nobody is writable then, however long the lease lived.
    const long = planFailoverAnew(first, { ...fenced, lease: { ...fenced.lease, ttlMs: 60_000 } });
    for (const { timeoutMs } of long.catchup) expect(timeoutMs).toBeLessThanOrEqual(5_000);
    expect(standbysWereNotAsked(first, { ...fenced, record: { ...record, members: ['a'] } })).toBe(false);
  });
});

test('the plans order every verb that hosts know, and no other', () => {
  const handover = planned();
  const after = {
    target: 'b',
    epoch: 3,
    attempt: 2,
    members: ['a'],
    skip: [],
    proxies: ['p'],
    reports,
    proxyReports: [],
  };
  const orders = [
    ...handover.catchup,
    ...planned({ silent: true }).catchup,
    promoteOrder({ path: 'handover' }, 'b', { epoch: 3, attempt: 1, reports }),
    releaseOrder(handover, 'b', { proxies: [], armed: [] }, reports),
    ...reconfigureOrders(after),
  ];
  expect([...new Set(orders.map(({ verb }) => verb))].toSorted()).toEqual(actionVerbs.toSorted());
});

test('afterwards the others follow and the proxies resume, but for those that are left out', () => {
  const after = reconfigureOrders({
    target: 'b',
    epoch: 3,
    attempt: 2,
    members: ['a', 'b', 'c'],
    skip: ['c'],
    proxies: ['p'],
    reports,
    proxyReports: [],
  });
  expect(
    after.map(({ verb, node, args, required, attempt, instanceId }) => [
      verb,
      node,
      args,
      required,
      attempt,
      instanceId,
    ]),
  ).toEqual([
    ['follow', 'a', { node: 'b' }, false, 2, 'i-a'],
    ['resume', 'p', {}, false, 2, null],
  ]);
});
