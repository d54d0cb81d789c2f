/** Who may promise, who may rely on it, and what a promise forbids (D1, D2): one story for every row of the two tables. */
import { describe, expect, it } from 'vitest';
import {
  decideStanding,
  type FailsafeAnswer,
  type FailsafeAsk,
  type FailsafeStanding,
  judgeAnswers,
  membersToAsk,
  standingTable,
} from '../../core/lease/failsafe.ts';
import { sealAfterMs } from '../../core/lease/lease-clock.ts';
import { acquire, nameSuccessor, renew, seal } from '../../core/lease/lease-write.ts';
import {
  answerAsk,
  heldBack,
  isHeldBackFrom,
  type Promises,
  type PromiseView,
  promiseTable,
  sawLease,
  sendsWrite,
  startPromises,
} from '../../core/lease/promises.ts';
import { asynchronous } from '../../core/model/lease.ts';
import { aLease } from '../support/host-states.ts';

const ttlMs = 2_000;
const lease = aLease({ ttlMs });
const ask: FailsafeAsk = {
  cluster: 'main',
  holder: 'node1',
  incarnation: 'i1',
  epoch: 1,
  ttlMs,
  nonce: 'n1',
};
const startedMs = 1_000;
/** An agent that has run for long and has seen the lease move. */
const settled: Promises = sawLease(
  sawLease(startPromises(startedMs), { ...lease, seq: lease.seq - 1 }),
  lease,
);
const lateMs = 100_000;
const view: PromiseView = {
  cluster: 'main',
  node: 'node2',
  lease,
  registeredElsewhere: false,
  promises: settled,
  ask,
};

describe('a member that is asked', () => {
  const stories: readonly (readonly [string, Partial<PromiseView>])[] = [
    ['another-cluster', { ask: { ...ask, cluster: 'other' } }],
    ['lease-unread', { lease: null, promises: startPromises(startedMs) }],
    ['holds-the-lease', { lease: { ...lease, holder: 'node2' } }],
    ['lease-not-held', { lease: { ...lease, state: 'sealed' } }],
    ['lease-not-held', { lease: { ...lease, state: 'fenced' } }],
    ['not-the-holder', { lease: { ...lease, holder: 'node3' } }],
    ['not-the-holder', { lease: { ...lease, incarnation: 'i2' } }],
    ['not-the-holder', { lease: { ...lease, epoch: 2 } }],
    ['not-the-holder', { ask: { ...ask, epoch: 2 } }],
    ['another-ttl', { ask: { ...ask, ttlMs: 10 * ttlMs } }],
    ['registered-elsewhere', { registeredElsewhere: true }],
    ['take-over-under-way', { promises: sendsWrite(settled, seal(lease)) }],
    ['take-over-under-way', { promises: sawLease(startPromises(startedMs), lease) }],
    ['promised', {}],
  ];

  it.each(stories)('answers %s', (rule, change) => {
    const { answer, promises } = answerAsk({ ...view, ...change }, lateMs);
    expect(answer).toMatchObject({ rule, promised: rule === 'promised', member: 'node2' });
    if (rule !== 'promised') expect(promises).toEqual((change.promises ?? settled) as Promises);
  });

  it('has a story for every row', () => {
    expect(new Set(stories.map(([rule]) => rule))).toEqual(new Set(promiseTable.map(({ rule }) => rule)));
  });

  it('answers for this ask, epoch and incarnation', () => {
    expect(answerAsk(view, lateMs).answer).toMatchObject({ epoch: 1, incarnation: 'i1', nonce: 'n1' });
  });
});

describe('a seal that was sent', () => {
  const sent = sendsWrite(settled, seal(lease));

  it.each<[string, Parameters<typeof sawLease>[1], boolean]>([
    ['the same lease again', lease, false],
    ['an older answer', { ...lease, seq: lease.seq - 1 }, false],
    ['no lease', null, false],
    ['a renewal', { ...lease, seq: lease.seq + 1 }, true],
    ['the seal itself', { ...lease, seq: lease.seq + 1, state: 'sealed' }, true],
    ['another epoch', { ...lease, epoch: 2, seq: 1 }, true],
  ])('may still land after %s was read, or can land no more: %#', (_what, read, over) => {
    expect(sawLease(sent, read).underWay === null).toBe(over);
  });

  it('counts from the moment before it is sent, an acquire alike; a renewal takes nothing over', () => {
    expect(sent.underWay).toEqual({ epoch: lease.epoch, seq: lease.seq });
    const next = { ttlMs, members: lease.members, sync: asynchronous };
    const take = acquire({ ...lease, state: 'sealed' }, { node: 'node2', incarnation: 'i2' }, 'op', next);
    expect(sendsWrite(settled, take).underWay).not.toBeNull();
    expect(sendsWrite(settled, renew(lease, { node: 'node1', incarnation: 'i1' })).underWay).toBeNull();
  });

  it('may have been sent by a former agent of this node: what is read first proves nothing', () => {
    const first = sawLease(startPromises(startedMs), lease);
    expect(answerAsk({ ...view, promises: first }, lateMs).answer.promised).toBe(false);
    const moved = { ...lease, seq: lease.seq + 1 };
    expect(
      answerAsk({ ...view, lease: moved, promises: sawLease(first, moved) }, lateMs).answer.promised,
    ).toBe(true);
  });
});

describe('a promise', () => {
  const promised = answerAsk(view, lateMs).promises;

  it("holds for longer than ttl, counted from the ask's receipt, and then ends", () => {
    expect(heldBack(promised, ttlMs, lateMs + ttlMs)).toMatchObject({ rule: 'promised' });
    expect(heldBack(promised, ttlMs, lateMs + sealAfterMs(ttlMs) - 1)).not.toBeNull();
    expect(heldBack(promised, ttlMs, lateMs + sealAfterMs(ttlMs))).toBeNull();
  });

  it('is made longer by another ask, and never shorter', () => {
    const later = answerAsk({ ...view, promises: promised }, lateMs + 500).promises;
    expect(later.given?.untilMs).toBe(lateMs + 500 + sealAfterMs(ttlMs));
    const earlier = answerAsk({ ...view, promises: later }, lateMs).promises;
    expect(earlier.given).toEqual(later.given);
  });

  it.each<['released' | 'fenced' | 'sealed', boolean]>([
    ['released', true],
    ['fenced', true],
    ['sealed', false],
  ])('ends early, or does not, when its lease is seen %s', (state, over) => {
    const seen = sawLease(promised, { ...lease, seq: lease.seq + 1, state });
    expect(heldBack(seen, ttlMs, lateMs) === null).toBe(over);
  });

  it('is not ended by the end of another epoch', () => {
    const seen = sawLease(promised, { ...lease, epoch: 2, seq: 9, state: 'released' });
    expect(heldBack(seen, ttlMs, lateMs)).not.toBeNull();
  });

  it('forbids to seal, and to take a lease that was sealed; not one that its holder gave up', () => {
    const next = { ttlMs, members: lease.members, sync: asynchronous };
    const me = { node: 'node2', incarnation: 'i2' };
    const take = acquire({ ...lease, state: 'sealed' }, me, 'op', next);
    expect(isHeldBackFrom(seal(lease), lease)).toBe(true);
    expect(isHeldBackFrom(take, { ...lease, state: 'sealed' })).toBe(true);
    expect(isHeldBackFrom(take, { ...lease, state: 'released' })).toBe(false);
    expect(isHeldBackFrom(take, { ...lease, state: 'fenced' })).toBe(false);
    expect(isHeldBackFrom(nameSuccessor(lease, 'op', 'node2'), lease)).toBe(false);
  });
});

it("an agent that has just started keeps what a former one may have promised, for ttl' from its start", () => {
  const fresh = startPromises(startedMs);
  expect(heldBack(fresh, ttlMs, startedMs)).toMatchObject({ rule: 'freshly-started' });
  expect(heldBack(fresh, ttlMs, startedMs + sealAfterMs(ttlMs) - 1)).not.toBeNull();
  expect(heldBack(fresh, ttlMs, startedMs + sealAfterMs(ttlMs))).toBeNull();
});

describe('the holder', () => {
  const standing: FailsafeStanding = {
    enabled: true,
    lease,
    writer: { node: 'node1', incarnation: 'i1' },
    proven: true,
    refused: false,
    letsGo: false,
  };
  const stories: readonly (readonly [string, Partial<FailsafeStanding>])[] = [
    ['failsafe-off', { enabled: false }],
    ['not-holder', { lease: null }],
    ['not-holder', { lease: { ...lease, state: 'sealed' } }],
    ['not-holder', { writer: { node: 'node1', incarnation: 'i2' } }],
    ['hold-unproven', { proven: false }],
    ['renewal-refused', { refused: true }],
    ['lease-let-go', { letsGo: true }],
    ['ask-all-members', {}],
  ];

  it.each(stories)('may ask, or may not: %s', (rule, change) => {
    const decided = decideStanding({ ...standing, ...change });
    expect(decided).toEqual({ rule, may: rule === 'ask-all-members' });
  });

  it('has a story for every row', () => {
    expect(new Set(stories.map(([rule]) => rule))).toEqual(new Set(standingTable.map(({ rule }) => rule)));
  });

  it('asks everybody who may seal, by whichever list, but itself', () => {
    expect(membersToAsk('node1', ['node1', 'node2'], ['node3', 'node1'], ['node4', 'node2'])).toEqual([
      'node2',
      'node3',
      'node4',
    ]);
    expect(membersToAsk('node1', ['node1'], ['node1'])).toEqual([]);
  });
});

describe('the answers', () => {
  const members = ['node2', 'node3'];
  const says = (member: string, change: Partial<FailsafeAnswer> = {}): FailsafeAnswer => ({
    member,
    promised: true,
    rule: 'promised',
    epoch: 1,
    incarnation: 'i1',
    nonce: 'n1',
    ...change,
  });
  const judge = (two: FailsafeAnswer | null, three: FailsafeAnswer | null) =>
    judgeAnswers(ask, members, new Map([['node2', two] as const, ['node3', three] as const]));

  it('are enough when all have promised; alone in the cluster nobody has to', () => {
    expect(judge(says('node2'), says('node3'))).toEqual({ kind: 'all-promised' });
    expect(judgeAnswers(ask, [], new Map())).toEqual({ kind: 'all-promised' });
  });

  it.each<[string, string, FailsafeAnswer | null]>([
    ['silence', 'silent', null],
    ['a refusal', 'take-over-under-way', says('node3', { promised: false, rule: 'take-over-under-way' })],
    ['an answer to another ask', 'answers-another-ask', says('node3', { nonce: 'n0' })],
    ['an answer for another epoch', 'answers-another-ask', says('node3', { epoch: 2 })],
    ['an answer for another incarnation', 'answers-another-ask', says('node3', { incarnation: 'i0' })],
    ['the answer of another', 'answers-another-ask', says('node2')],
  ])('are not enough with %s from one of them', (_what, rule, answer) => {
    expect(judge(says('node2'), answer)).toEqual({ kind: 'missing', member: 'node3', rule });
  });

  it('are not enough where one was not even asked', () => {
    const answers = new Map([['node2', says('node2')] as const]);
    expect(judgeAnswers(ask, members, answers)).toMatchObject({ kind: 'missing', member: 'node3' });
  });
});
