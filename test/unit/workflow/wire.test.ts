/**
 * What comes back into the workflow from outside: a host's proof, the standbys' positions, the input of each state.
 */
import { describe, expect, test } from 'vitest';
import { readFence } from '../../../adapters/workflow/aws-ports.ts';
import {
  parseAbortInput,
  parseBeginInput,
  parseChooseInput,
  parseDemoteInput,
  parseFinishInput,
  parseOrderInput,
  parseSentinelInput,
} from '../../../adapters/workflow/parse-state-input.ts';
import { positionsOf, repointedNodes, silentNodes } from '../../../adapters/workflow/positions.ts';
import type { ActionOrder } from '../../../core/failover/plan-operation.ts';
import { plan } from './workflow-bench.ts';

describe("a host's proof", () => {
  const done = (output: string) =>
    readFence({ state: 'succeeded', status: 'Success', output, errorOutput: '' });

  test('is the last line', () => {
    expect(done('stopping\n{"fenced":true,"epoch":7}\n')).toEqual({ kind: 'fenced', epoch: 7 });
  });

  test.each([
    '',
    '{"fenced":true}',
    '{"fenced":"true","epoch":7}',
    '{"fenced":false,"epoch":7}',
    '{"fenced":true,"epoch":1.5}',
    '{"fenced":true,"epoch":7}\nkilled',
  ])('is not %j', (output) => {
    expect(done(output).kind).toBe('failed');
  });

  test('is not what a command printed that failed, or still runs', () => {
    const output = '{"fenced":true,"epoch":7}';
    expect(readFence({ state: 'failed', status: 'TimedOut', output, errorOutput: '' }).kind).toBe('failed');
    expect(readFence({ state: 'pending', status: 'InProgress', output, errorOutput: '' }).kind).toBe(
      'pending',
    );
  });
});

const order = (verb: ActionOrder['verb'], node: string, args: ActionOrder['args'] = {}): ActionOrder => ({
  node,
  instanceId: null,
  verb,
  args,
  epoch: 3,
  attempt: 1,
  required: false,
  timeoutMs: 2000,
  timeoutSeconds: 3,
});
const answer = (of: ActionOrder, ok: boolean, result: unknown = null) => ({
  order: of,
  ok,
  error: '',
  message: '',
  result,
});

describe("the standbys' positions", () => {
  test('are the larger of received and replayed, with epoch and timeline', () => {
    const result = { receivedLsn: '0/5000000', replayedLsn: '0/6000000', timeline: 2, epoch: 3 };
    expect(positionsOf([answer(order('end-receiver', 'b'), true, result)])).toEqual([
      { node: 'b', epoch: 3, timeline: 2, lsn: 0x6000000n },
    ]);
  });

  test.each([[null], [{}], [{ receivedLsn: 'x', timeline: -1, epoch: '3' }], [{ receivedLsn: 5, epoch: 0 }]])(
    'that cannot be read are unknown: %j',
    (result) => {
      expect(positionsOf([answer(order('end-receiver', 'b'), true, result)])).toEqual([
        { node: 'b', epoch: null, timeline: null, lsn: null },
      ]);
    },
  );

  test('are none of an order that failed, or of another verb', () => {
    expect(
      positionsOf([answer(order('end-receiver', 'b'), false), answer(order('pause', 'p'), true)]),
    ).toEqual([]);
  });

  test('who is silent, and who follows the target already, is told apart', () => {
    const answers = [
      answer(order('end-receiver', 'b'), false),
      answer(order('follow', 'c', { node: 'd' }), true),
      answer(order('follow', 'e', { node: 'd' }), false),
    ];
    expect(silentNodes(answers)).toEqual(['b', 'e']);
    expect(repointedNodes(answers, 'd')).toEqual(['c']);
    expect(repointedNodes(answers, 'x')).toEqual([]);
  });
});

describe('the input of a state', () => {
  const orderInput = {
    cluster: 'main',
    operation: 'u1-e3-a2',
    step: 'waiting_for_catchup',
    order: order('stop-and-release', 'a', { node: 'b', proxies: ['p'], armed: ['acquire-and-promote@b#1'] }),
    token: 't',
  };
  const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

  test('survives the way through the state machine', () => {
    expect(parseOrderInput(asJson(orderInput))).toEqual(orderInput);
    const answers = [answer(orderInput.order, true, { ok: true })];
    const planned = { ...plan, catchup: [orderInput.order] };
    expect(parseDemoteInput(asJson({ plan: planned, answers, token: 't' }))).toEqual({
      plan: planned,
      answers,
      token: 't',
    });
    const choosing = { plan: planned, answers, excluded: ['b'], round: 2 };
    expect(parseChooseInput(asJson(choosing))).toEqual(choosing);
    const demoted = { instanceId: 'i-1', fenceCommand: null, incarnation: 'x', reportSeq: 5, settled: false };
    expect(parseFinishInput(asJson({ plan, target: 'b', demoted }))).toEqual({ plan, target: 'b', demoted });
    expect(
      parseFinishInput(asJson({ plan, target: 'b', demoted: { ok: true, releasedAtLsn: '0/1' } })).demoted,
    ).toEqual({});
    const aborting = {
      request: { cluster: 'main' },
      execution: 'arn:x',
      plan: null,
      failure: { Error: 'E', Cause: '' },
      round: 0,
    };
    expect(parseAbortInput(asJson(aborting))).toEqual(aborting);
    expect(parseBeginInput({ request: 5, execution: 'arn:x' })).toEqual({ request: 5, execution: 'arn:x' });
  });

  test.each<[string, () => unknown]>([
    ['step', () => parseOrderInput({ ...orderInput, step: 'stable' })],
    [
      'order.args.nodes',
      () => parseOrderInput({ ...orderInput, order: order('follow', 'a', { nodes: ['b'] } as object) }),
    ],
    ['order.verb', () => parseOrderInput({ ...orderInput, order: { ...orderInput.order, verb: 'reboot' } })],
    [
      'order.timeoutSeconds',
      () => parseOrderInput({ ...orderInput, order: { ...orderInput.order, timeoutSeconds: 0 } }),
    ],
    ['plan.path', () => parseDemoteInput({ plan: { ...plan, path: 'x' }, answers: [], token: 't' })],
    ['excluded[0]', () => parseChooseInput({ plan, answers: [], excluded: ['B!'], round: 1 })],
    ['demoted.settled', () => parseFinishInput({ plan, target: 'b', demoted: { settled: 'yes' } })],
    ['failure', () => parseAbortInput({ request: {}, execution: 'x', plan: null, round: 0 })],
    ['execution', () => parseBeginInput({ request: {} })],
  ])('is refused by name: %s', (field, parse) => {
    expect(parse).toThrow(
      expect.objectContaining({ name: 'InvalidInput', message: expect.stringContaining(field) }),
    );
  });

  test("of the sentinel is one cluster, or the schedule's own event for all", () => {
    expect(parseSentinelInput({ cluster: 'main' })).toEqual({ cluster: 'main' });
    expect(parseSentinelInput({ id: 'x', source: 'aws.events', detail: {} })).toEqual({ cluster: null });
  });
});
