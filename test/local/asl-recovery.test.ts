// Failures: which are retried and when, which are caught and with what, and what a failing lane takes with it, all under
// a clock that only moves when the test says so.

import { describe, expect, it } from 'vitest';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import { covers, nextRetry, type Retrier } from '../../adapters/asl/retry.ts';
import type { TaskInvocation } from '../../adapters/asl/run.ts';
import { call, createHarness, type Harness, settle } from './asl-harness.ts';

const failing = (error: string, cause?: string) => async (): Promise<Json> => {
  throw new AslTaskError(error, cause);
};
const failure = (error: string, heartbeat = false) => ({ error, cause: null, heartbeat });
const retrier = (rest: Partial<Retrier>): Retrier => ({
  errorEquals: ['States.ALL'],
  intervalSeconds: 1,
  maxAttempts: 3,
  backoffRate: 2,
  maxDelaySeconds: null,
  jitter: 'NONE',
  ...rest,
});
const types = (h: Harness, arn: string) => h.events(arn).map((event) => event.type);

describe('an error name', () => {
  it('is covered by itself and by the wildcards, as AWS documents them', () => {
    expect(covers(['A', 'B'], failure('B'))).toBe(true);
    expect(covers(['A'], failure('B'))).toBe(false);
    expect(covers(['States.ALL'], failure('States.Timeout'))).toBe(true);
    expect(covers(['States.ALL'], failure('States.DataLimitExceeded'))).toBe(false);
    expect(covers(['States.ALL'], failure('States.Runtime'))).toBe(false);
    expect(covers(['States.Runtime'], failure('States.Runtime'))).toBe(false);
    expect(covers(['States.DataLimitExceeded'], failure('States.DataLimitExceeded'))).toBe(true);
    expect(covers(['States.TaskFailed'], failure('Anything'))).toBe(true);
    expect(covers(['States.TaskFailed'], failure('States.Timeout'))).toBe(false);
    expect(covers(['States.HeartbeatTimeout'], failure('States.Timeout'))).toBe(false);
    expect(covers(['States.HeartbeatTimeout'], failure('States.Timeout', true))).toBe(true);
    expect(covers(['States.Timeout'], failure('States.Timeout', true))).toBe(true);
  });

  it('is decided by the first retrier that covers it, even when that one is exhausted', () => {
    const retriers = [retrier({ errorEquals: ['A'], maxAttempts: 1 }), retrier({ maxAttempts: 5 })];
    expect(nextRetry(retriers, [], failure('A'), () => 0)).toEqual({ retrier: 0, delayMs: 1000 });
    expect(nextRetry(retriers, [1], failure('A'), () => 0)).toBeUndefined();
    expect(nextRetry(retriers, [1, 2], failure('B'), () => 0)).toEqual({ retrier: 1, delayMs: 4000 });
  });

  it('waits as the rate, the cap and the jitter say', () => {
    const delay = (made: number, rest: Partial<Retrier>) =>
      nextRetry([retrier({ maxAttempts: 9, ...rest })], [made], failure('A'), () => 0.25)?.delayMs;
    expect([0, 1, 2, 3].map((made) => delay(made, { intervalSeconds: 2, backoffRate: 1.5 }))).toEqual([
      2000, 3000, 4500, 6750,
    ]);
    expect(delay(5, { maxDelaySeconds: 10 })).toBe(10_000);
    expect(delay(2, { jitter: 'FULL' })).toBe(1000);
  });
});

describe('Retry', () => {
  it('repeats the task after 2, 4 and 8 seconds, counts in the context, and then gives up', async () => {
    const h = createHarness(failing('Busy', 'still'));
    const Ask = call('ask', '{% $states.context.State.RetryCount %}', {
      Retry: [{ ErrorEquals: ['Busy'], IntervalSeconds: 2 }],
      End: true,
    });
    const arn = h.start({ StartAt: 'Ask', States: { Ask } });
    const counts = () => h.invocations.map((each) => (each.arguments as JsonObject).Payload);
    await settle();
    expect(counts()).toEqual([0]);
    await h.clock.advance(1999);
    expect(counts()).toEqual([0]);
    await h.clock.advance(1);
    expect(counts()).toEqual([0, 1]);
    await h.clock.advance(4000);
    expect(counts()).toEqual([0, 1, 2]);
    await h.clock.advance(7999);
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1);
    expect(counts()).toEqual([0, 1, 2, 3]);
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'Busy', cause: 'still' });
    expect(types(h, arn).filter((type) => type === 'TaskStateEntered')).toHaveLength(1);
    expect(types(h, arn).slice(-3)).toEqual(['TaskStarted', 'TaskFailed', 'ExecutionFailed']);
    expect(h.clock.timers()).toBe(0);
  });

  it('counts each retrier for itself and starts anew in the next state', async () => {
    const errors = ['A', 'B', 'A', 'B', 'C', 'A'];
    const h = createHarness(async () => {
      const error = errors.shift();
      if (error !== undefined && error !== 'C') throw new AslTaskError(error);
      return null;
    });
    const Retry = [
      { ErrorEquals: ['A'], MaxAttempts: 2, BackoffRate: 1 },
      { ErrorEquals: ['B'], MaxAttempts: 2, BackoffRate: 1 },
    ];
    const States = {
      One: call('f', {}, { Retry, Next: 'Two' }),
      Two: call('f', '{% $states.context.State.RetryCount %}', { Retry, End: true }),
    };
    const arn = h.start({ StartAt: 'One', States });
    await h.clock.advance(10_000);
    expect(h.execution(arn).status).toBe('SUCCEEDED');
    expect(h.invocations.slice(5).map((each) => (each.arguments as JsonObject).Payload)).toEqual([0, 1]);
  });

  it('covers an evaluation that fails, and a Map as a whole', async () => {
    let calls = 0;
    const h = createHarness(async () => {
      calls += 1;
      if (calls < 3) throw new AslTaskError('Down');
      return 'up';
    });
    const Each = {
      Type: 'Map',
      Items: [1, 2],
      MaxConcurrency: 1,
      ItemProcessor: { StartAt: 'Ask', States: { Ask: call('f') } },
      Retry: [{ ErrorEquals: ['Down'], IntervalSeconds: 5, BackoffRate: 1 }],
      End: true,
    };
    const arn = h.start({ StartAt: 'Each', States: { Each } });
    await h.clock.advance(10_000);
    expect(h.output(arn)).toEqual(['up', 'up']);
    expect(types(h, arn).filter((type) => /^MapState(Started|Failed|Succeeded)$/.test(type))).toEqual([
      'MapStateStarted',
      'MapStateFailed',
      'MapStateStarted',
      'MapStateFailed',
      'MapStateStarted',
      'MapStateSucceeded',
    ]);
  });
});

describe('Catch', () => {
  it('continues at its state with Assign and Output from the error', async () => {
    const h = createHarness(failing('LeaseLost', 'held by n2'));
    const States = {
      Try: call(
        'f',
        {},
        {
          Catch: [
            { ErrorEquals: ['Other'], Next: 'Never' },
            {
              ErrorEquals: ['LeaseLost'],
              Assign: { why: '{% $states.errorOutput.Cause %}' },
              Output: { error: '{% $states.errorOutput.Error %}', input: '{% $states.input %}' },
              Next: 'Show',
            },
          ],
          End: true,
        },
      ),
      Show: { Type: 'Pass', Output: { why: '{% $why %}', got: '{% $states.input %}' }, End: true },
      Never: { Type: 'Fail' },
    };
    const arn = h.start({ StartAt: 'Try', States }, 3);
    await settle();
    expect(h.output(arn)).toEqual({ why: 'held by n2', got: { error: 'LeaseLost', input: 3 } });
    expect(h.transcript(arn).slice(4, 7)).toEqual([
      '5<4 TaskFailed error=LeaseLost',
      '6<5 TaskStateExited Try output={"error":"LeaseLost","input":3} assigned={"why":"\\"held by n2\\""}',
      '7<6 PassStateEntered Show',
    ]);
  });

  it('hands over error and cause where it has no Output, and comes after the retries', async () => {
    const h = createHarness(failing('E', 'c'));
    const Retry = [{ ErrorEquals: ['States.ALL'], MaxAttempts: 1 }];
    const Catch = [{ ErrorEquals: ['States.ALL'], Next: 'Done' }];
    const arn = h.start({
      StartAt: 'Try',
      States: { Try: call('f', {}, { Retry, Catch, End: true }), Done: { Type: 'Succeed' } },
    });
    await settle();
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1000);
    expect(h.output(arn)).toEqual({ Error: 'E', Cause: 'c' });
    expect(h.invocations).toHaveLength(2);
  });

  it('catches an expression that gives nothing, naming field and state as AWS does', async () => {
    const h = createHarness(async () => ({ Payload: {} }));
    const States = {
      Ask: call(
        'f',
        {},
        {
          Output: { node: '{% $states.result.Payload.node %}' },
          Catch: [{ ErrorEquals: ['States.QueryEvaluationError'], Next: 'Done' }],
          End: true,
        },
      ),
      Done: { Type: 'Succeed' },
    };
    const arn = h.start({ StartAt: 'Ask', States });
    await settle();
    const Cause =
      "An error occurred while executing the state 'Ask' (entered at the event id #2). The JSONata expression '$states.result.Payload.node' specified for the field 'Output/node' returned nothing (undefined).";
    expect(h.output(arn)).toEqual({ Error: 'States.QueryEvaluationError', Cause });
    expect(h.events(arn)[5]).toMatchObject({
      type: 'EvaluationFailed',
      evaluationFailedEventDetails: {
        error: 'States.QueryEvaluationError',
        cause: Cause,
        location: 'Output/node',
        state: 'Ask',
      },
    });
  });

  it('that fails itself ends the execution', async () => {
    const h = createHarness(failing('E'));
    const Catch = [{ ErrorEquals: ['States.ALL'], Output: '{% $states.input.none %}', Next: 'Done' }];
    const arn = h.start({
      StartAt: 'Try',
      States: { Try: call('f', {}, { Catch, End: true }), Done: { Type: 'Succeed' } },
    });
    await settle();
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'States.QueryEvaluationError' });
    expect(types(h, arn).slice(-3)).toEqual(['TaskFailed', 'EvaluationFailed', 'ExecutionFailed']);
  });

  it('of a Parallel leaves nothing of it behind for the next one', async () => {
    const h = createHarness(async (task) => (task.stateName === 'Bad' ? failing('Broken')() : 'fine'));
    const ItemProcessor = { StartAt: 'Ask', States: { Ask: call('f', '{% $states.context.Map.Item %}') } };
    const branch = (name: string) => ({ StartAt: name, States: { [name]: call('f') } });
    const States = {
      Both: {
        Type: 'Parallel',
        Branches: [branch('Good'), branch('Bad')],
        Catch: [{ ErrorEquals: ['Broken'], Next: 'Each' }],
        End: true,
      },
      Each: { Type: 'Map', Items: ['x'], ItemProcessor, Next: 'Last' },
      Last: { Type: 'Parallel', Branches: [branch('One')], End: true },
    };
    const arn = h.start({ StartAt: 'Both', States });
    await settle();
    expect(h.output(arn)).toEqual(['fine']);
    const payload = (index: number) =>
      h.invocations.map((task) => task.arguments as JsonObject)[index]?.Payload;
    expect(payload(2)).toEqual({ Index: 0, Value: 'x' });
  });

  it('of a Parallel stops the other branches where they stand', async () => {
    const h = createHarness((task: TaskInvocation) =>
      task.stateName === 'Bad' ? failing('Broken')() : new Promise(() => {}),
    );
    const States = {
      Both: {
        Type: 'Parallel',
        Branches: [
          { StartAt: 'Slow', States: { Slow: call('f') } },
          { StartAt: 'Bad', States: { Bad: call('f') } },
          { StartAt: 'Nap', States: { Nap: { Type: 'Wait', Seconds: 60, End: true } } },
          { StartAt: 'Quick', States: { Quick: { Type: 'Pass', End: true } } },
        ],
        Catch: [{ ErrorEquals: ['Broken'], Output: 'caught', Next: 'Later' }],
        End: true,
      },
      Later: { Type: 'Wait', Seconds: 1, End: true },
    };
    const arn = h.start({ StartAt: 'Both', States });
    await settle();
    // The branches are stopped at once, not when the execution ends.
    expect(h.invocations[0]?.signal.aborted).toBe(true);
    expect(h.clock.timers()).toBe(1);
    await h.clock.advance(1000);
    expect(h.output(arn)).toBe('caught');
    const lines = h.transcript(arn);
    const at = lines.findIndex((line) => line.includes('TaskFailed error=Broken'));
    const failedId = at + 1;
    expect(lines.slice(at + 1, at + 6)).toEqual([
      `${failedId + 1}<${failedId} TaskStateAborted`,
      `${failedId + 2}<${failedId} TaskStateAborted`,
      `${failedId + 3}<${failedId} WaitStateAborted`,
      `${failedId + 4}<${failedId} ParallelStateFailed`,
      `${failedId + 5}<${failedId + 4} ParallelStateExited Both output="caught"`,
    ]);
  });
});

describe('a failing Map', () => {
  it('names the iteration that failed and those it aborted, and fails the execution with the error', async () => {
    const h = createHarness((task) =>
      JSON.stringify(task.arguments).includes(':1') ? failing('Broken', 'why')() : new Promise(() => {}),
    );
    const Each = {
      Type: 'Map',
      ItemProcessor: { StartAt: 'Ask', States: { Ask: call('f', { n: '{% $states.input %}' }) } },
      End: true,
    };
    const arn = h.start({ StartAt: 'Each', States: { Each } }, [0, 1]);
    await settle();
    const lines = h.transcript(arn);
    const at = lines.findIndex((line) => line.includes('TaskFailed'));
    expect(lines.slice(at).map((line) => line.replace(/^\d+<\d+ /, ''))).toEqual([
      'TaskFailed error=Broken',
      'MapIterationFailed Each index=1',
      'TaskStateAborted',
      'MapIterationAborted Each index=0',
      'TaskStateAborted',
      'MapStateFailed',
      'ExecutionFailed error=Broken',
    ]);
    expect(h.execution(arn)).toMatchObject({ status: 'FAILED', error: 'Broken', cause: 'why' });
    expect(h.invocations[0]?.signal.aborted).toBe(true);
  });
});
