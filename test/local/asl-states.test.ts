// One transcript for each state type: the events, their order and their chain are those recorded from AWS.

import { describe, expect, it } from 'vitest';
import type { Json } from '../../adapters/asl/json.ts';
import { call, createHarness, settle } from './asl-harness.ts';

const echo = async ({ arguments: given }: { arguments: Json }) => ({ Payload: given, StatusCode: 200 });

describe('a state machine runs', () => {
  it('Pass states, with output, variables and the context object', async () => {
    const h = createHarness();
    const arn = h.start(
      {
        StartAt: 'Init',
        States: {
          Init: {
            Type: 'Pass',
            Assign: { target: '{% $states.input.node %}', both: ['{% 1 + 1 %}', 'text'] },
            Output: { target: '{% $exists($target) %}', at: '{% $states.context.State.EnteredTime %}' },
            Next: 'Show',
          },
          Show: {
            Type: 'Pass',
            Output:
              '{% {"target": $target, "both": $both, "input": $states.input, "context": $states.context} %}',
            End: true,
          },
        },
      },
      { node: 'n2' },
    );
    await settle();
    expect(h.transcript(arn).map((line) => line.replace(/output=.*?( assigned|$)/, 'output=...$1'))).toEqual([
      '1<0 ExecutionStarted',
      '2<0 PassStateEntered Init',
      '3<2 PassStateExited Init output=... assigned={"target":"\\"n2\\"","both":"[2,\\"text\\"]"}',
      '4<3 PassStateEntered Show',
      '5<4 PassStateExited Show output=...',
      '6<5 ExecutionSucceeded output=...',
    ]);
    expect(h.output(arn)).toEqual({
      target: 'n2',
      both: [2, 'text'],
      input: { target: false, at: '2026-11-20T10:00:00.000Z' },
      context: {
        Execution: {
          Id: arn,
          Input: { node: 'n2' },
          Name: 'one',
          RedriveCount: 0,
          RoleArn: 'arn:aws:iam::123456789012:role/failover',
          StartTime: '2026-11-20T10:00:00.000Z',
        },
        State: { EnteredTime: '2026-11-20T10:00:00.000Z', Name: 'Show' },
        StateMachine: { Id: arn.replace('execution', 'stateMachine').replace(/:one$/, ''), Name: 'failover' },
      },
    });
    expect(h.execution(arn)).toMatchObject({ status: 'SUCCEEDED', stopMs: h.clock.now() });
    expect(h.events(arn)[0]).toEqual({
      id: 1,
      previousEventId: 0,
      timestamp: h.clock.now(),
      type: 'ExecutionStarted',
      executionStartedEventDetails: {
        input: '{"node":"n2"}',
        inputDetails: { truncated: false },
        roleArn: 'arn:aws:iam::123456789012:role/failover',
      },
    });
  });

  it('a Task, whose result is its output and whose schedule shows resource and parameters', async () => {
    const h = createHarness(echo);
    const arn = h.start(
      {
        StartAt: 'Demote',
        States: {
          Demote: call('demote', { node: '{% $states.input.n %}' }, { TimeoutSeconds: 9, End: true }),
        },
      },
      { n: 1 },
    );
    await settle();
    expect(h.transcript(arn)).toEqual([
      '1<0 ExecutionStarted',
      '2<0 TaskStateEntered Demote',
      '3<2 TaskScheduled',
      '4<3 TaskStarted',
      '5<4 TaskSucceeded output={"Payload":{"FunctionName":"demote","Payload":{"node":1}},"StatusCode":200}',
      '6<5 TaskStateExited Demote output={"Payload":{"FunctionName":"demote","Payload":{"node":1}},"StatusCode":200}',
      '7<6 ExecutionSucceeded output={"Payload":{"FunctionName":"demote","Payload":{"node":1}},"StatusCode":200}',
    ]);
    expect(h.events(arn)[2]).toMatchObject({
      taskScheduledEventDetails: {
        resourceType: 'lambda',
        resource: 'invoke',
        region: 'eu-central-1',
        parameters: '{"FunctionName":"demote","Payload":{"node":1}}',
        timeoutInSeconds: 9,
      },
    });
    expect(h.clock.timers()).toBe(0);
  });

  it('a Task whose Output and Assign see the same result and the old variables', async () => {
    const h = createHarness(echo);
    const States = {
      Init: { Type: 'Pass', Assign: { seen: 0 }, Next: 'Ask' },
      Ask: call('ask', 7, {
        Assign: { seen: '{% $seen + $states.result.Payload.Payload %}' },
        Output: '{% {"seen": $seen, "code": $states.result.StatusCode, "input": $states.input} %}',
        Next: 'Show',
      }),
      Show: { Type: 'Pass', Output: { before: '{% $states.input.seen %}', after: '{% $seen %}' }, End: true },
    };
    const arn = h.start({ StartAt: 'Init', States }, { deep: [null, { a: 1 }] });
    await settle();
    expect(h.output(arn)).toEqual({ before: 0, after: 7 });
  });

  it("a Choice, taking the first rule that holds, with the rule's own Assign and Output", async () => {
    const h = createHarness();
    const States = {
      Which: {
        Type: 'Choice',
        Choices: [
          { Condition: '{% $states.input.lag > 100 %}', Next: 'Far' },
          {
            Condition: '{% $states.input.lag > 10 %}',
            Assign: { kind: 'near' },
            Output: { was: '{% $states.input.lag %}' },
            Next: 'Near',
          },
          { Condition: '{% $states.input.lag > 5 %}', Next: 'Far' },
        ],
        Assign: { kind: 'none' },
        Default: 'Near',
      },
      Far: { Type: 'Fail', Error: 'TooFar' },
      Near: { Type: 'Pass', Output: '{% {"kind": $kind, "input": $states.input} %}', End: true },
    };
    const [hit, missed] = [
      h.start({ StartAt: 'Which', States }, { lag: 50 }, 'a'),
      h.start({ StartAt: 'Which', States }, { lag: 1 }, 'b'),
    ];
    await settle();
    expect(h.transcript(hit).slice(1, 4)).toEqual([
      '2<0 ChoiceStateEntered Which',
      '3<2 ChoiceStateExited Which output={"was":50} assigned={"kind":"\\"near\\""}',
      '4<3 PassStateEntered Near',
    ]);
    expect(h.output(hit)).toEqual({ kind: 'near', input: { was: 50 } });
    expect(h.output(missed)).toEqual({ kind: 'none', input: { lag: 1 } });
  });

  it('a Choice that matches nothing as a failure of the execution', async () => {
    const h = createHarness();
    const Which = { Type: 'Choice', Choices: [{ Condition: '{% false %}', Next: 'End' }] };
    const arn = h.start({ StartAt: 'Which', States: { Which, End: { Type: 'Succeed' } } });
    await settle();
    expect(h.execution(arn)).toMatchObject({
      status: 'FAILED',
      error: 'States.Runtime',
      cause:
        "An error occurred while executing the state 'Which' (entered at the event id #2). Failed to transition out of the state. The state does not point to a next state.",
    });
  });

  it('a Wait for seconds and one until a time, to the millisecond', async () => {
    const h = createHarness();
    const States = {
      Some: { Type: 'Wait', Seconds: '{% $states.input.s %}', Next: 'Until' },
      Until: {
        Type: 'Wait',
        Timestamp: '2026-11-20T10:01:00.250Z',
        Assign: { done: true },
        Output: { x: 1 },
        Next: 'Show',
      },
      Show: { Type: 'Pass', Output: ['{% $done %}', '{% $states.input.x %}'], End: true },
    };
    const arn = h.start({ StartAt: 'Some', States }, { s: 3 });
    await h.clock.advance(2999);
    expect(h.transcript(arn)).toHaveLength(2);
    await h.clock.advance(1);
    expect(h.transcript(arn).slice(2)).toEqual([
      '3<2 WaitStateExited Some output={"s":3}',
      '4<3 WaitStateEntered Until',
    ]);
    await h.clock.advance(57_249);
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1);
    expect(h.output(arn)).toEqual([true, 1]);
  });

  it('a Wait that is longer than a timer of Node can be', async () => {
    const h = createHarness();
    const arn = h.start({
      StartAt: 'Long',
      States: { Long: { Type: 'Wait', Seconds: 3_000_000, End: true } },
    });
    await h.clock.advance(2_999_999_999);
    expect(h.execution(arn).status).toBe('RUNNING');
    await h.clock.advance(1);
    expect(h.execution(arn).status).toBe('SUCCEEDED');
  });

  it('Succeed with an output, and Fail with an evaluated error', async () => {
    const h = createHarness();
    const good = h.start(
      { StartAt: 'Good', States: { Good: { Type: 'Succeed', Output: { ok: '{% $states.input %}' } } } },
      5,
      'a',
    );
    const Bad = { Type: 'Fail', Error: "{% 'Lag' & $states.input %}", Cause: 'too far behind' };
    const bad = h.start({ StartAt: 'Bad', States: { Bad } }, 5, 'b');
    await settle();
    expect(h.transcript(good).slice(1)).toEqual([
      '2<0 SucceedStateEntered Good',
      '3<2 SucceedStateExited Good output={"ok":5}',
      '4<3 ExecutionSucceeded output={"ok":5}',
    ]);
    expect(h.transcript(bad).slice(1)).toEqual([
      '2<0 FailStateEntered Bad',
      '3<2 ExecutionFailed error=Lag5',
    ]);
    expect(h.execution(bad)).toMatchObject({
      status: 'FAILED',
      error: 'Lag5',
      cause: 'too far behind',
      output: null,
    });
  });

  it('a Map one by one, each iteration with its item, its selected input and its own variables', async () => {
    const h = createHarness();
    const States = {
      Init: { Type: 'Pass', Assign: { bias: 10 }, Next: 'Each' },
      Each: {
        Type: 'Map',
        Items: '{% [$states.input.nodes] %}',
        ItemSelector: {
          node: '{% $states.context.Map.Item.Value %}',
          at: '{% $states.context.Map.Item.Index %}',
        },
        MaxConcurrency: 1,
        ItemProcessor: {
          ProcessorConfig: { Mode: 'INLINE' },
          StartAt: 'Own',
          States: {
            Own: { Type: 'Pass', Assign: { mine: '{% $states.input.at + $bias %}' }, Next: 'Tell' },
            Tell: {
              Type: 'Pass',
              Output: '{% $states.input.node & $mine & $states.context.Map.Item.Index %}',
              End: true,
            },
          },
        },
        Assign: { told: '{% $states.result %}' },
        Output: '{% $count($states.result) %}',
        Next: 'Show',
      },
      Show: { Type: 'Pass', Output: { count: '{% $states.input %}', told: '{% $told %}' }, End: true },
    };
    const arn = h.start({ StartAt: 'Init', States }, { nodes: ['a', 'b'] });
    await settle();
    expect(h.output(arn)).toEqual({ count: 2, told: ['a100', 'b111'] });
    expect(h.transcript(arn).slice(3, 17)).toEqual([
      '4<3 MapStateEntered Each',
      '5<4 MapStateStarted length=2',
      '6<5 MapIterationStarted Each index=0',
      '7<6 PassStateEntered Own',
      '8<7 PassStateExited Own output={"node":"a","at":0} assigned={"mine":"10"}',
      '9<8 PassStateEntered Tell',
      '10<9 PassStateExited Tell output="a100"',
      '11<10 MapIterationSucceeded Each index=0',
      '12<10 MapIterationStarted Each index=1',
      '13<12 PassStateEntered Own',
      '14<13 PassStateExited Own output={"node":"b","at":1} assigned={"mine":"11"}',
      '15<14 PassStateEntered Tell',
      '16<15 PassStateExited Tell output="b111"',
      '17<16 MapIterationSucceeded Each index=1',
    ]);
    expect(h.transcript(arn)[17]).toBe('18<16 MapStateSucceeded');
  });

  it('a Map with as many iterations at once as allowed, results in the order of the items', async () => {
    const release = new Map<string, () => void>();
    const h = createHarness(
      ({ arguments: given }) =>
        new Promise((resolve) =>
          release.set(JSON.stringify((given as { Payload: Json }).Payload), () =>
            resolve((given as { Payload: Json }).Payload),
          ),
        ),
    );
    const Each = {
      Type: 'Map',
      MaxConcurrency: 2,
      ItemProcessor: { StartAt: 'Ask', States: { Ask: call('ask', '{% $states.input %}') } },
      End: true,
    };
    const arn = h.start({ StartAt: 'Each', States: { Each } }, [1, 2, 3]);
    await settle();
    expect([...release.keys()]).toEqual(['1', '2']);
    release.get('2')?.();
    await settle();
    expect([...release.keys()]).toEqual(['1', '2', '3']);
    release.get('3')?.();
    release.get('1')?.();
    await settle();
    expect(h.output(arn)).toEqual([1, 2, 3]);
  });

  it('a Map over nothing', async () => {
    const h = createHarness();
    const ItemProcessor = { StartAt: 'In', States: { In: { Type: 'Pass', End: true } } };
    const arn = h.start({
      StartAt: 'Each',
      States: { Each: { Type: 'Map', Items: [], ItemProcessor, End: true } },
    });
    await settle();
    expect(h.output(arn)).toEqual([]);
    expect(h.transcript(arn).slice(2, 4)).toEqual(['3<2 MapStateStarted length=0', '4<3 MapStateSucceeded']);
  });

  it('a Parallel, whose branches see outer variables and have their own', async () => {
    const h = createHarness();
    const branch = (name: string) => ({
      StartAt: name,
      States: {
        [name]: { Type: 'Pass', Assign: { own: name }, Next: `${name}2` },
        [`${name}2`]: { Type: 'Pass', Output: '{% $own & $shared & $states.input %}', End: true },
      },
    });
    const States = {
      Init: { Type: 'Pass', Assign: { shared: '-' }, Next: 'Both' },
      Both: {
        Type: 'Parallel',
        Arguments: '{% $states.input.n %}',
        Branches: [branch('A'), branch('B')],
        Next: 'Show',
      },
      Show: {
        Type: 'Pass',
        Output: '{% {"r": $states.input, "leaked": $exists($own)} %}',
        Assign: { own: 'set here only' },
        End: true,
      },
    };
    expect(() => h.start({ StartAt: 'Init', States }, { n: 4 })).toThrow(
      /'own' is a variable of an enclosing scope/,
    );
    const { Assign: _none, ...Show } = States.Show;
    const arn = h.start(
      { StartAt: 'Init', States: { ...States, Show: { ...Show, Output: '{% $states.input %}' } } },
      { n: 4 },
    );
    await settle();
    expect(h.output(arn)).toEqual(['A-4', 'B-4']);
    expect(h.transcript(arn).slice(3, 7)).toEqual([
      '4<3 ParallelStateEntered Both',
      '5<4 ParallelStateStarted',
      '6<5 PassStateEntered A',
      '7<5 PassStateEntered B',
    ]);
    expect(
      h
        .transcript(arn)
        .filter((line) => line.includes('ParallelState'))
        .slice(2),
    ).toEqual([
      expect.stringMatching(/ParallelStateSucceeded$/),
      expect.stringMatching(/ParallelStateExited Both/),
    ]);
  });
});
