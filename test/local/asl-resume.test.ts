// A process may die between any two records of the journal. The matrix below lets it die after each one in turn and lets
// a second engine go on from what was written.

import { describe, expect, it } from 'vitest';
import { createMemoryStore, type ExecutionStore } from '../../adapters/asl/execution-store.ts';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import type { TaskInvocation } from '../../adapters/asl/run.ts';
import {
  call,
  callAndWait,
  chainProblems,
  createFakeClock,
  createHarness,
  type Harness,
  settle,
} from './asl-harness.ts';

/** Everything that waits, repeats, branches or remembers, in one execution. */
const everything: JsonObject = {
  StartAt: 'Begin',
  TimeoutSeconds: 3600,
  States: {
    Begin: { Type: 'Pass', Assign: { nodes: ['a', 'b', 'c'], bias: 1 }, Next: 'Nap' },
    Nap: { Type: 'Wait', Seconds: 5, Next: 'Flaky' },
    Flaky: call('flaky', '{% $states.context.State.RetryCount %}', {
      Retry: [{ ErrorEquals: ['Busy'], IntervalSeconds: 3 }],
      Assign: { tries: '{% $states.result %}' },
      Next: 'Act',
    }),
    Act: callAndWait('act', {
      TimeoutSeconds: 60,
      HeartbeatSeconds: 20,
      Output: '{% $states.result.done %}',
      Next: 'Each',
    }),
    Each: {
      Type: 'Map',
      Items: '{% $nodes %}',
      MaxConcurrency: 2,
      ItemProcessor: {
        StartAt: 'Ask',
        States: {
          Ask: call(
            'echo',
            { node: '{% $states.input %}', at: '{% $states.context.Map.Item.Index %}' },
            { Assign: { own: '{% $states.result.node & $bias %}' }, Next: 'Rest' },
          ),
          Rest: { Type: 'Wait', Seconds: 1, Output: '{% $own %}', End: true },
        },
      },
      Assign: { asked: '{% $states.result %}' },
      Next: 'Both',
    },
    Both: {
      Type: 'Parallel',
      Branches: [
        {
          StartAt: 'Hand',
          States: { Hand: callAndWait('act', { Output: '{% $states.result.done %}', End: true }) },
        },
        {
          StartAt: 'Fail',
          States: {
            Fail: call(
              'broken',
              {},
              {
                Catch: [
                  { ErrorEquals: ['Broken'], Output: '{% $states.errorOutput.Error %}', Next: 'Caught' },
                ],
                End: true,
              },
            ),
            Caught: { Type: 'Pass', End: true },
          },
        },
      ],
      Next: 'Again',
    },
    Again: {
      Type: 'Parallel',
      Arguments: { before: '{% $states.input %}' },
      Branches: [
        { StartAt: 'Break', States: { Break: call('broken') } },
        { StartAt: 'Long', States: { Long: { Type: 'Wait', Seconds: 900, End: true } } },
      ],
      Catch: [
        {
          ErrorEquals: ['Broken'],
          Output: { before: '{% $states.input %}', tries: '{% $tries %}', asked: '{% $asked %}' },
          Next: 'Done',
        },
      ],
      End: true,
    },
    Done: { Type: 'Succeed' },
  },
};
const expectedOutput = { before: ['ok', 'Broken'], tries: 1, asked: ['a1', 'b1', 'c1'] };

const functions = async ({ arguments: given }: TaskInvocation): Promise<Json> => {
  const { FunctionName, Payload } = given as { FunctionName: string; Payload: Json };
  if (FunctionName === 'broken') throw new AslTaskError('Broken');
  if (FunctionName === 'flaky' && Payload === 0) throw new AslTaskError('Busy');
  return Payload;
};

/** A store whose process dies after some records: what is appended later is never written. */
function dyingAfter(inner: ExecutionStore, records: number): ExecutionStore & { isDead(): boolean } {
  let left = records;
  const alive = () => left > 0;
  return {
    ...inner,
    isDead: () => !alive(),
    append(key, record) {
      if (!alive()) return;
      left -= 1;
      inner.append(key, record);
    },
    close: (key, summary) => {
      if (alive()) inner.close(key, summary);
    },
  };
}

/** Moves time on and answers each waiting token once, until the execution ends or the process is dead. */
async function run(h: Harness, arn: string, isDead: () => boolean): Promise<void> {
  const answered = new Set<string>();
  for (let seconds = 0; seconds < 120 && !isDead(); seconds += 1) {
    if (h.engine.describe(arn)?.status !== 'RUNNING') return;
    for (const { taskToken: token } of h.invocations) {
      if (token === undefined || answered.has(token)) continue;
      answered.add(token);
      await settle();
      h.engine.answer(token, { kind: 'succeeded', result: { done: 'ok' } });
    }
    await h.clock.advance(1000);
  }
}

/** Runs `everything` with a death after `records` records; returns the second life, which has ended. */
async function withDeath(
  records: number,
  answersLost: boolean,
): Promise<{ second: Harness; arn: string; first: Harness; written: number }> {
  const inner = createMemoryStore();
  let written = 0;
  const counting: ExecutionStore = {
    ...inner,
    append(key, record) {
      written += 1;
      inner.append(key, record);
    },
  };
  const store = dyingAfter(counting, records);
  const clock = createFakeClock();
  const first = createHarness((task) => (store.isDead() ? new Promise(() => {}) : functions(task)), {
    store,
    clock,
  });
  const arn = first.start(everything, { x: 1 });
  await run(first, arn, store.isDead);
  const second = createHarness(functions, { store: counting, clock: createFakeClock(clock.now() + 7000) });
  const report = second.engine.resume();
  expect(report.damaged).toEqual([]);
  if (store.isDead()) expect(report.resumed).toEqual([arn]);
  // Tokens that the first life handed out are still good, whether or not they were answered before.
  if (!answersLost) for (const task of first.invocations) second.invocations.push(task);
  await run(second, arn, () => false);
  return { second, arn, first, written };
}

describe('an execution whose process dies', () => {
  it('after any record goes on to the same end', async () => {
    const whole = await withDeath(Number.MAX_SAFE_INTEGER, false);
    expect(whole.second.output(whole.arn)).toEqual(expectedOutput);
    expect(whole.written).toBeGreaterThan(40);
    const calls = whole.first.invocations.length;
    for (let records = 1; records < whole.written; records += 1) {
      const { second, arn, first } = await withDeath(records, false);
      expect(second.execution(arn), `death after record ${records}`).toMatchObject({ status: 'SUCCEEDED' });
      expect(second.output(arn), `death after record ${records}`).toEqual(expectedOutput);
      expect(chainProblems(second.events(arn))).toEqual([]);
      // At least once, and only what was in flight is repeated: at most the two iterations that may run together.
      const all =
        new Set(second.invocations).size +
        first.invocations.filter((task) => !second.invocations.includes(task)).length;
      expect(all, `death after record ${records}`).toBeGreaterThanOrEqual(calls);
      expect(all, `death after record ${records}`).toBeLessThanOrEqual(calls + 2);
      expect(second.clock.timers(), `death after record ${records}`).toBe(0);
    }
  });

  it('while a task is in flight invokes it again with the same arguments', async () => {
    const store = createMemoryStore();
    const h = createHarness(undefined, { store });
    const arn = h.start({
      StartAt: 'Ask',
      States: { Ask: call('ask', { at: '{% $states.context.State.EnteredTime %}', id: '{% $uuid() %}' }) },
    });
    await settle();
    const again = createHarness(async () => 'answer', {
      store,
      clock: createFakeClock(h.clock.now() + 60_000),
    });
    expect(again.engine.resume()).toEqual({ resumed: [arn], damaged: [] });
    await settle();
    expect(again.invocations[0]?.arguments).toEqual(h.invocations[0]?.arguments);
    expect(again.output(arn)).toBe('answer');
  });

  it('while it waits for a token keeps waiting with it, and does not hand it out again', async () => {
    const store = createMemoryStore();
    const h = createHarness(async () => null, { store });
    const arn = h.start({ StartAt: 'Act', States: { Act: callAndWait('act') } });
    await settle();
    const again = createHarness(async () => null, { store });
    again.engine.resume();
    await settle();
    expect(again.invocations).toEqual([]);
    expect(again.engine.answer(h.invocations[0]?.taskToken ?? '', { kind: 'succeeded', result: 5 })).toBe(
      'accepted',
    );
    await settle();
    expect(again.output(arn)).toBe(5);
  });

  it('before its token was handed out hands out the same one', async () => {
    const store = createMemoryStore();
    const h = createHarness(undefined, { store });
    h.start({ StartAt: 'Act', States: { Act: callAndWait('act') } });
    await settle();
    const again = createHarness(undefined, { store });
    again.engine.resume();
    await settle();
    expect(again.invocations.map((task) => task.taskToken)).toEqual([h.invocations[0]?.taskToken]);
    expect(again.invocations[0]?.arguments).toEqual(h.invocations[0]?.arguments);
  });

  it('keeps the deadlines it had: a wait and a time-out that passed meanwhile end at once', async () => {
    const store = createMemoryStore();
    const h = createHarness(undefined, { store });
    const nap = h.start(
      { StartAt: 'Nap', States: { Nap: { Type: 'Wait', Seconds: 10, End: true } } },
      {},
      'nap',
    );
    const ask = h.start(
      { StartAt: 'Ask', States: { Ask: call('f', {}, { TimeoutSeconds: 10, End: true }) } },
      {},
      'ask',
    );
    const all = h.start({ StartAt: 'Ask', TimeoutSeconds: 10, States: { Ask: call('f') } }, {}, 'all');
    const left = h.start(
      { StartAt: 'Nap', States: { Nap: { Type: 'Wait', Seconds: 40, End: true } } },
      {},
      'left',
    );
    await settle();
    const again = createHarness(undefined, { store, clock: createFakeClock(h.clock.now() + 30_000) });
    again.engine.resume();
    await again.clock.advance(0);
    expect([nap, ask, all, left].map((arn) => again.execution(arn).status)).toEqual([
      'SUCCEEDED',
      'FAILED',
      'TIMED_OUT',
      'RUNNING',
    ]);
    await again.clock.advance(10_000);
    expect(again.execution(left).status).toBe('SUCCEEDED');
  });

  it('between entering a Wait and setting its timer waits no longer than it was told', async () => {
    const inner = createMemoryStore();
    const h = createHarness(undefined, { store: dyingAfter(inner, 1) });
    const arn = h.start({ StartAt: 'Nap', States: { Nap: { Type: 'Wait', Seconds: 10, End: true } } });
    await settle();
    const again = createHarness(undefined, { store: inner, clock: createFakeClock(h.clock.now() + 8000) });
    again.engine.resume();
    await again.clock.advance(2000);
    expect(again.execution(arn)).toMatchObject({ status: 'SUCCEEDED', stopMs: h.clock.now() + 10_000 });
  });

  it('while it is redriven goes on with the redrive', async () => {
    const store = createMemoryStore();
    const h = createHarness(undefined, { store });
    const arn = h.start({ StartAt: 'Ask', TimeoutSeconds: 5, States: { Ask: call('f') } });
    await h.clock.advance(5000);
    expect(h.engine.redrive(arn, null)).toMatchObject({ kind: 'redriven' });
    const again = createHarness(async () => 'now', { store, clock: createFakeClock(h.clock.now()) });
    expect(again.engine.resume()).toEqual({ resumed: [arn], damaged: [] });
    await settle();
    expect(again.execution(arn)).toMatchObject({ status: 'SUCCEEDED', redriveCount: 1 });
  });

  it('gives a silent task its heartbeat anew, for nobody could have taken one', async () => {
    const store = createMemoryStore();
    const h = createHarness(async () => null, { store });
    const arn = h.start({
      StartAt: 'Act',
      States: { Act: callAndWait('act', { HeartbeatSeconds: 5, End: true }) },
    });
    await settle();
    const again = createHarness(async () => null, { store, clock: createFakeClock(h.clock.now() + 60_000) });
    again.engine.resume();
    await again.clock.advance(4999);
    expect(again.execution(arn).status).toBe('RUNNING');
    await again.clock.advance(1);
    expect(again.execution(arn)).toMatchObject({ status: 'FAILED', error: 'States.Timeout' });
  });
});

describe('an engine that is closed', () => {
  it('stops timers and tasks, writes no more, and leaves the rest to its successor', async () => {
    const store = createMemoryStore();
    let answer: (value: Json) => void = () => {};
    const h = createHarness(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
      { store },
    );
    const arn = h.start({
      StartAt: 'Ask',
      States: { Ask: call('f', {}, { TimeoutSeconds: 10, End: true }) },
    });
    await settle();
    h.engine.close();
    expect(h.clock.timers()).toBe(0);
    expect(h.invocations[0]?.signal.aborted).toBe(true);
    answer('late');
    await settle();
    const again = createHarness(async () => 'new', { store });
    again.engine.resume();
    await settle();
    expect(again.output(arn)).toBe('new');
  });
});
