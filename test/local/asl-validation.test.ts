// What a definition may not contain. Each case is a valid definition with one thing changed, so that the one problem
// reported is that thing's; the unchanged definition has none, here and for an independent validator.

import validateElsewhere from 'asl-validator';
import { describe, expect, it } from 'vitest';
import { compileDefinition, DefinitionError } from '../../adapters/asl/definition.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import { validateDefinition } from '../../adapters/asl/validate-definition.ts';
import { INVOKE, INVOKE_AND_WAIT } from './asl-harness.ts';

/** Uses every state type and nearly every field. */
const full = (): JsonObject => ({
  Comment: 'all of it',
  QueryLanguage: 'JSONata',
  Version: '1.0',
  TimeoutSeconds: 600,
  StartAt: 'Begin',
  States: {
    Begin: { Type: 'Pass', Comment: 'c', Assign: { node: '{% $states.input.node %}' }, Next: 'Ask' },
    Ask: {
      Type: 'Task',
      Resource: INVOKE,
      Arguments: { FunctionName: 'f', Payload: { node: '{% $node %}', fixed: [1, null, true] } },
      TimeoutSeconds: '{% $states.input.limit %}',
      Retry: [
        {
          ErrorEquals: ['A', 'States.Timeout'],
          IntervalSeconds: 1,
          MaxAttempts: 2,
          BackoffRate: 1.5,
          MaxDelaySeconds: 9,
          JitterStrategy: 'FULL',
        },
        { ErrorEquals: ['States.ALL'] },
      ],
      Catch: [
        {
          ErrorEquals: ['States.ALL'],
          Assign: { why: '{% $states.errorOutput.Error %}' },
          Output: '{% $states.input %}',
          Next: 'Broken',
        },
      ],
      Assign: { got: '{% $states.result.Payload %}' },
      Output: '{% $states.result.Payload[lag > 3].node %}',
      Next: 'Act',
    },
    Act: {
      Type: 'Task',
      Resource: INVOKE_AND_WAIT,
      Arguments: { FunctionName: 'g', Payload: { token: '{% $states.context.Task.Token %}' } },
      TimeoutSeconds: 60,
      HeartbeatSeconds: 5,
      Next: 'Which',
    },
    Which: {
      Type: 'Choice',
      Choices: [
        {
          Condition: '{% $got.ready = true and $exists($why) %}',
          Assign: { ready: true },
          Output: 'x',
          Next: 'Nap',
        },
      ],
      Default: 'Each',
    },
    Nap: { Type: 'Wait', Seconds: 3, Next: 'Until' },
    Until: { Type: 'Wait', Timestamp: '{% $states.input.at %}', Next: 'Each' },
    Each: {
      Type: 'Map',
      Items: '{% [$got.nodes] %}',
      ItemSelector: { item: '{% $states.context.Map.Item.Value %}' },
      MaxConcurrency: 2,
      ItemProcessor: {
        ProcessorConfig: { Mode: 'INLINE' },
        StartAt: 'One',
        States: {
          One: {
            Type: 'Pass',
            Assign: { inner: '{% $node %}' },
            Output: '{% $map([1, 2], function($v, $i) { $v + $i }) %}',
            End: true,
          },
        },
      },
      Next: 'Both',
    },
    Both: {
      Type: 'Parallel',
      Arguments: { a: '{% $states.input %}' },
      Branches: [
        { StartAt: 'Left', States: { Left: { Type: 'Succeed', Output: '{% $uuid() %}' } } },
        { StartAt: 'Right', States: { Right: { Type: 'Pass', End: true } } },
      ],
      Output: '{% ($first := $states.result[0]; {"first": $first, "n": $sum($states.result.n)}) %}',
      Next: 'Done',
    },
    Done: { Type: 'Succeed', Output: { ok: '{% $range(1, 3, 1) %}' } },
    Broken: { Type: 'Fail', Error: 'Broken', Cause: "{% 'because ' & $why %}" },
  },
});

/** The full definition with the value at a path replaced, or removed when it is undefined. */
function withChange(path: string, value: Json | undefined): string {
  const definition = full();
  const keys = path.split('/');
  const last = keys.pop() ?? '';
  let at: JsonObject = definition;
  for (const key of keys) at = at[key] as JsonObject;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return JSON.stringify(definition);
}

const problemsOf = (text: string) =>
  validateDefinition(text).map(({ code, location, message }) => `${code} ${location}: ${message}`);
const S = 'SCHEMA_VALIDATION_FAILED';
const U = 'UNSUPPORTED_JSONATA_EXPRESSION';

describe('a definition', () => {
  it('without a problem is accepted, here and by an independent validator', () => {
    expect(problemsOf(JSON.stringify(full()))).toEqual([]);
    const elsewhere = validateElsewhere(full());
    expect(elsewhere.errors).toEqual([]);
  });

  it.each<[string, string, Json | undefined, RegExp]>([
    ['another query language', 'QueryLanguage', 'JSONPath', /\/QueryLanguage: Only 'JSONata'/],
    ['no query language', 'QueryLanguage', undefined, /\/QueryLanguage: Only 'JSONata'/],
    ['JSONPath for one state', 'States/Begin/QueryLanguage', 'JSONPath', /\/States\/Begin\/QueryLanguage/],
    ['an unknown field of the machine', 'Timeout', 3, /\/Timeout: Field 'Timeout' is not supported/],
    ['a machine time-out of zero', 'TimeoutSeconds', 0, /\/TimeoutSeconds/],
    [
      'an unknown state type',
      'States/Nap/Type',
      'Sleep',
      /\/States\/Nap\/Type: There is no state type 'Sleep'/,
    ],
    [
      'a JSONPath field',
      'States/Begin/ResultPath',
      '$.x',
      /but field 'ResultPath' is only supported for the 'JSONPath' QueryLanguage/,
    ],
    ['a Result', 'States/Begin/Result', 1, /but field 'Result' is only supported/],
    [
      'an unknown field',
      'States/Begin/Outputs',
      1,
      /\/States\/Begin\/Outputs: Field 'Outputs' is not supported/,
    ],
    ['a field of another type', 'States/Begin/TimeoutSeconds', 1, /\/States\/Begin\/TimeoutSeconds: Field/],
    ['Retry on a Pass', 'States/Begin/Retry', [], /\/States\/Begin\/Retry: Field/],
    ['credentials', 'States/Ask/Credentials', {}, /Credentials/],
    [
      'another service',
      'States/Ask/Resource',
      'arn:aws:states:::dynamodb:putItem',
      /Nothing here serves the resource/,
    ],
    [
      'a bare function',
      'States/Ask/Resource',
      'arn:aws:lambda:eu-central-1:123456789012:function:f',
      /Nothing here serves/,
    ],
    ['synchronous invocation by suffix', 'States/Ask/Resource', `${INVOKE}.sync`, /Nothing here serves/],
    [
      'a lambda without a function',
      'States/Ask/Arguments/FunctionName',
      undefined,
      /required: \[FunctionName\]/,
    ],
    ['an unknown argument', 'States/Ask/Arguments/Paylod', 1, /'Paylod' of lambda:invoke is not supported/],
    [
      'a distributed Map',
      'States/Each/ItemProcessor/ProcessorConfig/Mode',
      'DISTRIBUTED',
      /Only the mode 'INLINE'/,
    ],
    ['an item reader', 'States/Each/ItemReader', {}, /Field 'ItemReader' is not supported/],
    [
      'tolerated failures',
      'States/Each/ToleratedFailureCount',
      1,
      /Field 'ToleratedFailureCount' is not supported/,
    ],
    [
      'a query language on a branch',
      'States/Each/ItemProcessor/QueryLanguage',
      'JSONata',
      /Field 'QueryLanguage' is not supported/,
    ],
    ['neither Next nor End', 'States/Until/Next', undefined, /Exactly one of 'Next' and 'End'/],
    ['both Next and End', 'States/Begin/End', true, /Exactly one of 'Next' and 'End'/],
    [
      'two kinds of waiting',
      'States/Nap/Timestamp',
      '2026-01-01T00:00:00Z',
      /Exactly one of 'Seconds' and 'Timestamp'/,
    ],
    ['a negative wait', 'States/Nap/Seconds', -1, /\/States\/Nap\/Seconds: must be an integer/],
    ['half a second', 'States/Nap/Seconds', 0.5, /\/States\/Nap\/Seconds: must be an integer/],
    ['no time', 'States/Until/Timestamp', 'tomorrow', /must be an RFC 3339 time/],
    ['a heartbeat as long as the time-out', 'States/Act/HeartbeatSeconds', 60, /smaller than TimeoutSeconds/],
    ['a heartbeat without a token', 'States/Ask/HeartbeatSeconds', 3, /Only a task that waits for its token/],
    [
      'a rate under one',
      'States/Ask/Retry/0/BackoffRate',
      0.5,
      /BackoffRate: must be a number of at least 1/,
    ],
    ['an unknown field of a retrier', 'States/Ask/Retry/0/Interval', 1, /Interval: Field/],
    ['States.ALL among others', 'States/Ask/Retry/1/ErrorEquals', ['States.ALL', 'B'], /must stand alone/],
    ['States.ALL before others', 'States/Ask/Retry/0/ErrorEquals', ['States.ALL'], /must be the last/],
    [
      'an unknown error name of AWS',
      'States/Ask/Retry/0/ErrorEquals',
      ['States.Timeouts'],
      /no error name 'States.Timeouts'/,
    ],
    ['no error names', 'States/Ask/Catch/0/ErrorEquals', [], /must be a list of error names/],
    [
      'a JSONPath choice',
      'States/Which/Choices/0/Variable',
      '$.x',
      /Variable: Field 'Variable' is not supported/,
    ],
    ['a condition that is no expression', 'States/Which/Choices/0/Condition', true, /must be an expression/],
    ['an assignment to $states', 'States/Begin/Assign/states', 1, /reserved variable 'states'/],
    ['a variable with a dash', 'States/Begin/Assign/a-b', 1, /'a-b' is no variable name/],
    [
      'an inner variable of an outer name',
      'States/Each/ItemProcessor/States/One/Assign',
      { node: 1 },
      /'node' is a variable of an enclosing scope/,
    ],
    ['a JSONPath in a value', 'States/Begin/Output', { a: '$.node' }, /is a JSONPath/],
    ['a JSONPath key', 'States/Begin/Output', { 'a.$': 'x' }, /A key that ends in '\.\$'/],
    ['an intrinsic', 'States/Begin/Output', "States.Format('{}', 1)", /is an intrinsic/],
    [
      'a substitution not made',
      'States/Ask/Arguments/FunctionName',
      '${PromoteFunction}',
      /substitution '\$\{PromoteFunction\}' was not made/,
    ],
    ['spaces around an expression', 'States/Begin/Output', ' {% 1 %}', /without spaces around/],
    ['half an expression', 'States/Begin/Output', '{% 1', /must start with '\{%' and end with '%\}'/],
  ])(`with %s is refused`, (_what, path, value, expected) => {
    const problems = problemsOf(withChange(path, value));
    expect(problems).toEqual([expect.stringMatching(expected)]);
    expect(problems[0]).toMatch(new RegExp(`^${S}`));
    expect(() => compileDefinition(withChange(path, value))).toThrow(DefinitionError);
  });

  it.each<[string, string, Json, string]>([
    [
      'that does not parse',
      'States/Begin/Output',
      '{% 1 + %}',
      'INVALID_JSONATA_EXPRESSION /States/Begin/Output',
    ],
    [
      'with $eval',
      'States/Begin/Output',
      "{% $eval('1') %}",
      `${U} /States/Begin/Output: The function '$eval'`,
    ],
    [
      'with $$',
      'States/Begin/Output',
      '{% $$.x %}',
      `${U} /States/Begin/Output: Reference to '$$' is not supported`,
    ],
    [
      'with $ at the top',
      'States/Begin/Output',
      '{% $.x %}',
      `${U} /States/Begin/Output: Reference to '$' at the top level`,
    ],
    [
      'with a bare name',
      'States/Begin/Output',
      { a: ['{% phone %}'] },
      `${U} /States/Begin/Output/a[0]: Reference to 'phone' at the top level`,
    ],
    [
      'with a bare name in a lambda',
      'States/Begin/Output',
      '{% $map([1], function($x) { b }) %}',
      `${U} /States/Begin/Output: Reference to 'b'`,
    ],
    [
      'with an unassigned variable',
      'States/Begin/Output',
      '{% $nobody %}',
      `${U} /States/Begin/Output: Nothing assigns '$nobody'`,
    ],
    [
      'with an inner variable from outside',
      'States/Done/Output',
      '{% $inner %}',
      `${U} /States/Done/Output: Nothing assigns '$inner'`,
    ],
    [
      'with an unknown function',
      'States/Begin/Output',
      "{% $format('x') %}",
      `${U} /States/Begin/Output: Nothing assigns '$format'`,
    ],
    [
      'with the result where there is none',
      'States/Begin/Output',
      '{% $states.result %}',
      `${U} /States/Begin/Output: Reference to '$states.result' is not supported in this field`,
    ],
    [
      'with the error outside a catcher',
      'States/Ask/Output',
      '{% $states.errorOutput %}',
      `${U} /States/Ask/Output: Reference to '$states.errorOutput' is not supported in this field`,
    ],
    [
      'with an unknown member of $states',
      'States/Ask/Output',
      '{% $states.inputs %}',
      `${U} /States/Ask/Output: Reference to '$states.inputs' is not supported.`,
    ],
    [
      'with a bound $states',
      'States/Begin/Output',
      '{% ($states := 1; 2) %}',
      `${U} /States/Begin/Output: The reserved variable 'states'`,
    ],
  ])('with an expression %s is refused', (_what, path, value, expected) => {
    const problems = problemsOf(withChange(path, value));
    expect(problems).toHaveLength(1);
    expect(problems[0]?.startsWith(expected)).toBe(true);
  });

  it.each<[string, string, Json | undefined, string[]]>([
    [
      'to a state that is not there',
      'States/Begin/Next',
      'Nowhere',
      ["/States/Begin: Missing transition target 'Nowhere'"],
    ],
    ['from StartAt to nowhere', 'StartAt', 'Nowhere', ["/StartAt: Missing transition target 'Nowhere'"]],
    [
      'from a rule to nowhere',
      'States/Which/Choices/0/Next',
      'Nowhere',
      ["/States/Which: Missing transition target 'Nowhere'"],
    ],
    [
      'out of a branch',
      'States/Each/ItemProcessor/States/One/Next',
      'Done',
      ["Missing transition target 'Done'"],
    ],
  ])('with a transition %s is refused', (_what, path, value, expected) => {
    const problems = problemsOf(withChange(path, value)).filter((problem) =>
      problem.startsWith('MISSING_TRANSITION_TARGET'),
    );
    for (const each of expected) expect(problems.join('\n')).toContain(each);
  });

  it('with a state that nothing leads to, a name used twice or no end is refused', () => {
    expect(problemsOf(withChange('States/Lost', { Type: 'Succeed' }))).toEqual([
      "MISSING_TRANSITION_TARGET /States/Lost: No transition leads to 'Lost'",
    ]);
    const twice = withChange('States/Each/ItemProcessor', {
      StartAt: 'Done',
      States: { Done: { Type: 'Succeed' } },
    });
    expect(problemsOf(twice)).toEqual([expect.stringMatching(/^DUPLICATE_STATE_NAME/)]);
    const circle = { QueryLanguage: 'JSONata', StartAt: 'A', States: { A: { Type: 'Pass', Next: 'A' } } };
    expect(problemsOf(JSON.stringify(circle))).toEqual([
      'MISSING_END_STATE /States: No state ends the block',
    ]);
  });

  it('that is no JSON object is refused', () => {
    expect(problemsOf('{')).toEqual([expect.stringMatching(/^INVALID_JSON_DESCRIPTION/)]);
    expect(problemsOf('[]')).toEqual([expect.stringMatching(/^INVALID_JSON_DESCRIPTION/)]);
  });

  it('takes the resources of every partition, and those it is told to', () => {
    expect(problemsOf(withChange('States/Ask/Resource', 'arn:aws-us-gov:states:::lambda:invoke'))).toEqual(
      [],
    );
    expect(problemsOf(withChange('States/Ask/Resource', 'arn:aws-cn:states:::lambda:invoke'))).toEqual([]);
    const other = withChange('States/Ask/Resource', 'arn:test:other');
    expect(validateDefinition(other, /^arn:(test:other|aws:states:::lambda:.*)$/)).toEqual([]);
  });
});
