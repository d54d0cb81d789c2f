// What may not go on for ever: tasks, heartbeats, executions, histories, payloads and expressions, each ended at its
// limit and not before, under a clock that only moves when the test says so.

import { describe, expect, it } from 'vitest';
import type { Json } from '../../adapters/asl/json.ts';
import { call, callAndWait, createHarness, type Harness, settle } from './asl-harness.ts';

const types = (h: Harness, arn: string) => h.events(arn).map((event) => event.type);

describe('a time-out', () => {
  it('of a task ends it on the millisecond, aborts it, and a later result changes nothing', async () => {
    let answer: (value: Json) => void = () => {};
    const h = createHarness(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    const arn = h.start(
      {
        StartAt: 'Ask',
        States: { Ask: call('f', {}, { TimeoutSeconds: '{% $states.input.limit %}', End: true }) },
      },
      { limit: 5 },
    );
    await h.clock.advance(4999);
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1);
    expect(h.transcript(arn).slice(4)).toEqual([
      '5<4 TaskTimedOut error=States.Timeout',
      '6<5 ExecutionFailed error=States.Timeout',
    ]);
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'States.Timeout', cause: null });
    expect(h.invocations[0]?.signal.aborted).toBe(true);
    answer('late');
    await settle();
    expect(h.transcript(arn)).toHaveLength(6);
  });

  it('of an attempt aborts it, and its late result does not count for the next attempt', async () => {
    const answers: ((value: Json) => void)[] = [];
    const h = createHarness(() => new Promise((resolve) => answers.push(resolve)));
    const Ask = call(
      'f',
      {},
      { TimeoutSeconds: 5, Retry: [{ ErrorEquals: ['States.Timeout'] }], Next: 'Later' },
    );
    const arn = h.start({ StartAt: 'Ask', States: { Ask, Later: { Type: 'Wait', Seconds: 60, End: true } } });
    await h.clock.advance(6000);
    expect(h.invocations.map((task) => task.signal.aborted)).toEqual([true, false]);
    answers[0]?.('first');
    await settle();
    expect(types(h, arn).at(-1)).toBe('TaskStarted');
    answers[1]?.('second');
    await settle();
    // Nothing of the task is left: only the Wait has a timer, and a task that returned is not told to stop.
    expect(h.clock.timers()).toBe(1);
    expect(h.invocations[1]?.signal.aborted).toBe(false);
    await h.clock.advance(60_000);
    expect(h.output(arn)).toBe('second');
  });

  it('of a heartbeat is put off by each heartbeat and is caught by its own name', async () => {
    const h = createHarness(async () => null);
    const States = {
      Act: callAndWait('act', {
        HeartbeatSeconds: 5,
        TimeoutSeconds: 60,
        Catch: [{ ErrorEquals: ['States.HeartbeatTimeout'], Next: 'Silent' }],
        End: true,
      }),
      Silent: { Type: 'Succeed' },
    };
    const arn = h.start({ StartAt: 'Act', States });
    await settle();
    const token = h.invocations[0]?.taskToken ?? '';
    for (let beat = 0; beat < 4; beat += 1) {
      await h.clock.advance(4000);
      expect(h.engine.answer(token, { kind: 'heartbeat' })).toBe('accepted');
    }
    await h.clock.advance(4999);
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1);
    expect(h.output(arn)).toEqual({ Error: 'States.Timeout' });
    expect(h.engine.answer(token, { kind: 'heartbeat' })).toBe('timed-out');
    expect(h.clock.timers()).toBe(0);
  });

  it('of the task as a whole is not put off by heartbeats', async () => {
    const h = createHarness(async () => null);
    const arn = h.start({
      StartAt: 'Act',
      States: { Act: callAndWait('act', { HeartbeatSeconds: 5, TimeoutSeconds: 7, End: true }) },
    });
    await h.clock.advance(4000);
    h.engine.answer(h.invocations[0]?.taskToken ?? '', { kind: 'heartbeat' });
    await h.clock.advance(3000);
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'States.Timeout' });
  });

  it('of the execution ends everything in it, and only the history names it', async () => {
    const h = createHarness();
    const States = {
      Both: {
        Type: 'Parallel',
        Branches: [
          { StartAt: 'A', States: { A: call('f') } },
          { StartAt: 'B', States: { B: { Type: 'Wait', Seconds: 99, End: true } } },
        ],
        Catch: [{ ErrorEquals: ['States.ALL'], Next: 'Z' }],
        Next: 'Z',
      },
      Z: { Type: 'Succeed' },
    };
    const arn = h.start({ StartAt: 'Both', TimeoutSeconds: 10, States });
    await h.clock.advance(10_000);
    expect(h.execution(arn)).toMatchObject({
      status: 'TIMED_OUT',
      error: null,
      cause: null,
      stopMs: h.clock.now(),
    });
    expect(h.transcript(arn).at(-1)).toMatch(/^\d+<0 ExecutionTimedOut error=States.Timeout$/);
    expect(h.invocations[0]?.signal.aborted).toBe(true);
    expect(h.clock.timers()).toBe(0);
  });
});

describe('a limit', () => {
  it('of 256 KiB holds for results and outputs, and States.ALL does not catch it', async () => {
    const big = 'x'.repeat(262_143);
    const h = createHarness(async () => big);
    const Catch = [{ ErrorEquals: ['States.ALL'], Next: 'Done' }];
    const result = h.start(
      {
        StartAt: 'Ask',
        States: { Ask: call('f', {}, { Catch, Output: 'small', End: true }), Done: { Type: 'Succeed' } },
      },
      {},
      'a',
    );
    const output = h.start(
      {
        StartAt: 'Grow',
        States: {
          Grow: {
            Type: 'Pass',
            Output: "{% $join($map([1..300], function($i) { $pad('', 1024, 'x') })) %}",
            End: true,
          },
        },
      },
      {},
      'b',
    );
    await settle();
    await h.engine.whenQuiet();
    expect(h.execution(result)).toMatchObject({ status: 'FAILED', error: 'States.DataLimitExceeded' });
    expect(h.execution(output)).toMatchObject({ status: 'FAILED', error: 'States.DataLimitExceeded' });
  });

  it('of 25,000 events ends an execution that goes round in circles', async () => {
    const h = createHarness();
    const States = {
      Round: { Type: 'Pass', Next: 'And' },
      And: { Type: 'Choice', Choices: [{ Condition: '{% false %}', Next: 'End' }], Default: 'Round' },
      End: { Type: 'Succeed' },
    };
    const arn = h.start({ StartAt: 'Round', States });
    await h.engine.finished(arn);
    expect(h.execution(arn)).toMatchObject({
      status: 'FAILED',
      error: 'States.Runtime',
      cause: 'The execution reached the maximum number of history events (25000).',
    });
    expect(h.events(arn).length).toBeLessThanOrEqual(25_000);
    expect(h.events(arn).length).toBeGreaterThan(24_990);
  });

  it('of steps ends an expression that never would', async () => {
    const h = createHarness();
    const arn = h.start({
      StartAt: 'Spin',
      States: {
        Spin: { Type: 'Pass', Output: '{% ($f := function($n) { $f($n + 1) }; $f(0)) %}', End: true },
      },
    });
    await h.engine.finished(arn);
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'States.QueryEvaluationError' });
    expect(h.execution(arn).cause).toMatch(/more than 200000 steps/);
  });
});
